"""A witness of transparency logs on loopback (https://c2sp.org/tlog-witness): signs what extends the last."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from chaos_tasks.errors import SignatureInvalid
from chaos_tasks.ledger import merkle
from chaos_tasks.model.sealing import WitnessPlace
from chaos_tasks.signing.checkpoint import Checkpoint
from chaos_tasks.signing.cosignature import cosign
from chaos_tasks.signing.keys import COSIGNATURE, SigningKey, VerifyKey, decoded
from chaos_tasks.signing.note import Note

NOW = 1_790_000_000


class Witness:
    """Holds the last head that it signed, of one log."""

    def __init__(self, log_key: VerifyKey) -> None:
        self.key = SigningKey.generate("witness.example/w1", COSIGNATURE)
        self.log_key = log_key
        self.last: Checkpoint | None = None
        self.turn = threading.Lock()

    def add_checkpoint(self, body: str) -> tuple[int, str]:
        """Status and answer, by the rules of the protocol."""
        head, _, raw = body.partition("\n\n")
        old_line, *lines = head.split("\n")
        try:
            note = Note.parse(raw)
            checkpoint = Checkpoint.parse(note.text)
            if checkpoint.origin != self.log_key.name:
                return 404, ""
            note.opened([self.log_key])
        except SignatureInvalid:
            return 403, ""
        old = int(old_line.removeprefix("old "))
        with self.turn:
            return self._judge(old, tuple(decoded(line, "proof") for line in lines), checkpoint)

    def _judge(self, old: int, path: tuple[bytes, ...], new: Checkpoint) -> tuple[int, str]:
        known = self.last.size if self.last else 0
        if old > new.size:
            return 400, ""
        if old != known:
            return 409, f"{known}\n"
        if self.last and old == new.size and self.last.root != new.root:
            return 409, f"{known}\n"
        root = self.last.root if self.last else merkle.EMPTY_ROOT
        if not merkle.verify_consistency(old, new.size, root, new.root, path):
            return 422, ""
        self.last = new
        return 200, cosign(self.key, new.text, NOW)


@contextmanager
def running(witness: Witness) -> Iterator[WitnessPlace]:
    """The witness behind HTTP on loopback."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            status, text = witness.add_checkpoint(body) if self.path == "/add-checkpoint" else (404, "")
            self.send_response(status)
            self.send_header("Content-Type", "text/x.tlog.size" if status == 409 else "text/plain")
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield WitnessPlace(url=f"http://127.0.0.1:{server.server_port}", vkey=witness.key.verify_key.vkey)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
