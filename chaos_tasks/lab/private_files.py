"""Files that only their owner may read, replaced whole or not at all."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

OWNER_ONLY_FILE = 0o600
OWNER_ONLY_FOLDER = 0o700


def write_private(path: Path, text: str) -> None:
    """Replace `path` atomically; at no moment is the content readable by others or half written."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, OWNER_ONLY_FILE)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def secret_once(path: Path, length: int = 32) -> str:
    """The secret kept in `path`; drawn and stored the first time."""
    if not path.exists():
        write_private(path, secrets.token_hex(length))
    return path.read_text(encoding="utf-8").strip()
