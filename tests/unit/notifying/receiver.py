"""A real HTTP receiver on loopback that answers as it is told and keeps what it was sent."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Posted:
    """One request."""

    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass
class Receiver:
    """Answers with ``codes`` in turn, the last one for ever; None hangs until the receiver ends."""

    codes: Sequence[int | None] = (200,)
    port: int = 0
    posted: list[Posted] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}/hook"

    def answer(self) -> int | None:
        """For the request that came last."""
        return self.codes[min(len(self.posted), len(self.codes)) - 1]


@contextmanager
def receiving(*codes: int | None) -> Iterator[Receiver]:
    """A receiver that lives for the block."""
    receiver = Receiver(codes or (200,))

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            receiver.posted.append(Posted(self.path, dict(self.headers), body))
            code = receiver.answer()
            if code is None:
                receiver.ended.wait(30)
                return
            self.send_response(code)
            self.send_header("Location", f"http://127.0.0.1:{receiver.port}/elsewhere")
            self.end_headers()

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    receiver.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        receiver.ended.set()
        server.shutdown()
        server.server_close()
        thread.join(5)
