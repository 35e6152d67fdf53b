"""Files that only their owner may read, replaced whole or not at all."""

from __future__ import annotations

import base64
import os
import secrets
from collections.abc import Callable
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


def secret_once(path: Path, length: int = 32, *, draw: Callable[[int], str] = secrets.token_hex) -> str:
    """The secret kept in `path`; drawn and stored the first time."""
    if not path.exists():
        write_private(path, draw(length))
    return path.read_text(encoding="utf-8").strip()


def fernet_key(length: int) -> str:
    """A key as Airflow's Fernet takes it: URL-safe base64, padding included."""
    return base64.urlsafe_b64encode(secrets.token_bytes(length)).decode()
