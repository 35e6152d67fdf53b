"""A mail server on loopback that takes everything, and keeps it."""

from __future__ import annotations

import socketserver
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes
from email.message import Message
from threading import Thread


class Mail(socketserver.ThreadingTCPServer):
    """What it took."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Session)
        self.taken: list[Message] = []

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.server_address[1])


class _Session(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        assert isinstance(self.server, Mail)
        self._say("220 ready")
        while line := self.rfile.readline():
            command = line[:4].upper()
            if command == b"DATA":
                self._say("354 go on")
                self.server.taken.append(message_from_bytes(b"".join(iter(self.rfile.readline, b".\r\n"))))
            self._say("221 bye" if command == b"QUIT" else "250 ok")

    def _say(self, text: str) -> None:
        self.wfile.write(f"{text}\r\n".encode())


@contextmanager
def mail_server() -> Iterator[Mail]:
    """Running."""
    with Mail() as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()
