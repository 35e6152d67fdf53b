"""Tells whoever watches how far a run is: one JSON line per event, flushed at once."""

from __future__ import annotations

import json
import time
from pathlib import Path


class Progress:
    """Appends to `progress.jsonl`, so that a resumed run continues the same story."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()  # nothing to tell is not the same as nothing there
        self._path = path

    def write(self, event: str, **fields: float | int | str | None) -> None:
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"t": time.time(), "event": event, **fields}) + "\n")
