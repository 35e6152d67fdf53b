"""What a process fault did, beside its victim on disk: a process that is gone cannot tell who ended it."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from pydantic import JsonValue

from chaos_tasks.model.handle import Handle
from chaos_tasks.model.place import ProcessPlace

FOLDER = ".squall"


def folder_of(handle: Handle) -> Path:
    """Beside the trial's files; for a task, which has none that we know, this host's temporary folder."""
    if isinstance(handle.place, ProcessPlace):
        return Path(handle.place.out) / FOLDER
    return Path(tempfile.gettempdir()) / f"squall-{os.getuid()}"


def path_of(handle: Handle, suffix: str = "json") -> Path:
    """One file per arming of a handle on one place: ids may hold slashes, and names are short."""
    name = hashlib.sha256(f"{handle.id}\0{handle.place.model_dump_json()}".encode()).hexdigest()[:24]
    return folder_of(handle) / f"{name}.{suffix}"


def read(handle: Handle) -> dict[str, JsonValue]:
    """The mark, or an empty one."""
    with suppress(OSError, ValueError):
        found = json.loads(path_of(handle).read_text(encoding="utf-8"))
        return found if isinstance(found, dict) else {}
    return {}


def write(handle: Handle, mark: Mapping[str, JsonValue]) -> None:
    """Replace the mark at once and for good: it is on disk before the act that it announces."""
    path = path_of(handle)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    with partial.open("w", encoding="utf-8") as stream:
        json.dump(mark, stream)
        stream.flush()
        os.fsync(stream.fileno())
    partial.replace(path)
