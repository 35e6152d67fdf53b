"""Tells whoever watches how far a run is: one JSON line per event, flushed at once."""

from __future__ import annotations

import json
import time
from pathlib import Path


class Progress:
    """Appends to `progress.jsonl`, so that a resumed run continues the same story."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("a", encoding="utf-8", buffering=1)

    def write(self, event: str, **fields: float | int | str | None) -> None:
        self._file.write(json.dumps({"t": time.time(), "event": event, **fields}) + "\n")
