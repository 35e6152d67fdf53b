"""Copy a file that somebody may be writing: whole with its digest, or not at all."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

CHUNK_BYTES = 1 << 20
CHANGED = ""
"""Instead of a digest: the file changed or vanished while it was copied."""


@dataclass(frozen=True)
class State:
    """What tells one content of a path from another without reading it."""

    inode: int
    size: int
    modified_ns: int


def state_of(path: Path) -> State | None:
    """The state of a file; None when there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return State(found.st_ino, found.st_size, found.st_mtime_ns)


def copy_whole(source: Path, destination: Path) -> str:
    """SHA-256 of the copy, which takes the destination's place in one go; CHANGED, and no copy, if it was not still."""
    before = state_of(source)
    destination.parent.mkdir(parents=True, exist_ok=True)
    partial = destination.with_name(f".{destination.name}.{os.getpid()}")
    try:
        digest = _copy(source, partial)
    except OSError:
        partial.unlink(missing_ok=True)
        if state_of(source) is None:
            return CHANGED
        raise
    # Deleted meanwhile is no change: the open file was read to its end.
    after = state_of(source)
    if before is None or (after is not None and after != before) or partial.stat().st_size != before.size:
        partial.unlink(missing_ok=True)
        return CHANGED
    partial.replace(destination)
    return digest


def _copy(source: Path, destination: Path) -> str:
    digest = hashlib.sha256()
    with source.open("rb") as reading, destination.open("wb") as writing:
        while chunk := reading.read(CHUNK_BYTES):
            digest.update(chunk)
            writing.write(chunk)
    return digest.hexdigest()
