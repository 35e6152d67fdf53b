"""That one record is in a signed log, as one file (https://c2sp.org/tlog-proof): index, path, checkpoint."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass

from chaos_tasks.errors import SignatureInvalid
from chaos_tasks.signing.keys import decoded

MAGIC = "c2sp.org/tlog-proof@v1"
HASH_BYTES = 32
MAX_PATH = 64
INDEX = re.compile(r"index (0|[1-9][0-9]{0,18})", re.ASCII)


@dataclass(frozen=True)
class InclusionProof:
    """Nothing in it is verified: the leaf is not even there, it is the hash of the record's header."""

    index: int
    path: tuple[bytes, ...]
    checkpoint: str
    extra: bytes | None = None

    def __str__(self) -> str:
        extra = "" if self.extra is None else f"extra {base64.b64encode(self.extra).decode()}\n"
        path = "".join(f"{base64.b64encode(step).decode()}\n" for step in self.path)
        return f"{MAGIC}\n{extra}index {self.index}\n{path}\n{self.checkpoint}"

    @classmethod
    def parse(cls, text: str) -> InclusionProof:
        """The proof in a file; raises SignatureInvalid."""
        above, separator, checkpoint = text.partition("\n\n")
        magic, *lines = above.split("\n")
        if magic != MAGIC or not separator:
            raise SignatureInvalid(f"this is no proof of inclusion: it does not begin with {MAGIC}")
        extra = None
        if lines and lines[0].startswith("extra "):
            extra = decoded(lines.pop(0).removeprefix("extra "), "the extra data of the proof")
        index = INDEX.fullmatch(lines.pop(0)) if lines else None
        path = tuple(decoded(line, "a hash of the proof") for line in lines)
        if index is None or len(path) > MAX_PATH or any(len(step) != HASH_BYTES for step in path):
            raise SignatureInvalid("this is no proof of inclusion: its index or its hashes are not of the format")
        return cls(int(index[1]), path, checkpoint, extra)
