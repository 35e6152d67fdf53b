"""Which file a name in somebody's code means, and what form of data it is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from itertools import islice
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

_BY_CONTENT: Mapping[str, tuple[str, ...]] = {"images": (".png", ".jpg", ".jpeg"), "texts": (".txt",)}
FEWEST_FILES, MOSTLY, MOST_LOOKED_AT = 10, 0.8, 5000


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
        inside = path.is_relative_to(root.resolve()) and path != root.resolve()
        if inside and (path.is_file() or folder_format(path) is not None):
            return path.relative_to(root.resolve())
    return None


def is_data(path: Path) -> bool:
    """Whether a file is data by its name, or a folder by what lies in it."""
    return folder_format(path) is not None or (
        path.suffix.lower() in DATA
        and path.name not in {"requirements.txt", "package.json"}
        and (path.suffix != ".json" or "data" in path.parts)
    )


def formats() -> tuple[str, ...]:
    """Formats that data faults can change."""
    return get_args(DvcSource.model_fields["format"].annotation)


def format_of(path: str, root: Path | None = None) -> str | None:
    """The format of a file that data faults can change, by its name; below a root, of a folder too; or None."""
    if root is not None and (root / path).is_dir():
        return folder_format(root / path)
    found = _BY_SUFFIX.get(Path(path).suffix.lower())
    return found if found in formats() else None


def folder_format(path: Path) -> str | None:
    """`images` or `texts` where a folder holds little else; None for any other folder, and for what is none."""
    if not path.is_dir() or path.name.startswith("."):
        return None
    counted = Counter(one.suffix.lower() for one in islice(path.rglob("*"), MOST_LOOKED_AT) if one.is_file())
    for form, suffixes in _BY_CONTENT.items():
        rows = sum(counted[suffix] for suffix in suffixes)
        if rows >= FEWEST_FILES and rows >= MOSTLY * counted.total():
            return form
    return None
