"""Which file a name in somebody's code means, and what form of data it is."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import get_args

from chaos_tasks.discovery.python_reading import DATA
from chaos_tasks.model.target import DvcSource

_BY_SUFFIX: Mapping[str, str] = {
    ".csv": "csv",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".npy": "npy",
    ".npz": "npz",
    ".txt": "text",
}


def resolve(root: Path, script: Path, text: str) -> Path | None:
    """The path below ``root`` that a text in a script stands for: from the root, or from the script's own folder."""
    if not text or len(text) > 300 or "://" in text or "\n" in text or "{" in text:
        return None
    own = text.startswith("@")
    plain = text.removeprefix("@").lstrip("/") if own else text
    bases = (script.parent,) if own else (root, script.parent)
    for base in bases:
        try:
            path = (base / plain).resolve()
        except (OSError, ValueError, RuntimeError):
            return None
        if path.is_file() and path.is_relative_to(root.resolve()):
            return path.relative_to(root.resolve())
    return None


def is_data(path: Path) -> bool:
    """Whether a file is data by its name."""
    return (
        path.suffix.lower() in DATA
        and path.name not in {"requirements.txt", "package.json"}
        and (path.suffix != ".json" or "data" in path.parts)
    )


def formats() -> tuple[str, ...]:
    """Formats that data faults can change."""
    return get_args(DvcSource.model_fields["format"].annotation)


def format_of(path: str) -> str | None:
    """The format of a file that data faults can change, or None."""
    found = _BY_SUFFIX.get(Path(path).suffix.lower())
    return found if found in formats() else None
