"""Appends JSON lines that a watcher can follow."""

from __future__ import annotations

import json
import time
from pathlib import Path


class Lines:
    """One flushed line per record, with the time first."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()  # nothing to tell is not the same as nothing there
        self._path = path

    def write(self, **fields: float | int | str | bool | None) -> None:
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"t": time.time(), **fields}) + "\n")


def read(path: Path) -> list[dict[str, object]]:
    """Every whole line; a torn last one is left out."""
    if not path.exists():
        return []
    whole = [line for line in path.read_text().splitlines(keepends=True) if line.endswith("\n")]
    return [json.loads(line) for line in whole]
