"""A log's head as a text to sign (https://c2sp.org/tlog-checkpoint@v1.0.0): origin, size, root."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass

from chaos_tasks.errors import SignatureInvalid
from chaos_tasks.signing.keys import decoded

ROOT_BYTES = 32
SIZE = re.compile(r"0|[1-9][0-9]{0,18}", re.ASCII)


@dataclass(frozen=True)
class Checkpoint:
    """Which log, how many entries, and the root over them; extension lines are kept, and never written by us."""

    origin: str
    size: int
    root: bytes
    extensions: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The text of the note that is signed."""
        lines = (self.origin, str(self.size), base64.b64encode(self.root).decode(), *self.extensions)
        return "".join(f"{line}\n" for line in lines)

    @classmethod
    def parse(cls, text: str) -> Checkpoint:
        """The checkpoint that a note's text says; raises SignatureInvalid."""
        lines = text.split("\n")
        if len(lines) < 4 or lines[-1] or not all(lines[:-1]):
            raise SignatureInvalid("this is no checkpoint: it does not have origin, size and root, each on its line")
        if not SIZE.fullmatch(lines[1]):
            raise SignatureInvalid(f"this is no checkpoint: its size is {lines[1][:40]!r}")
        root = decoded(lines[2], "the root of the checkpoint")
        if len(root) != ROOT_BYTES:
            raise SignatureInvalid(f"this is no checkpoint: its root does not have {ROOT_BYTES} bytes")
        return cls(lines[0], int(lines[1]), root, tuple(lines[3:-1]))
