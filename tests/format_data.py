"""Small data in each format that faults know, the same rows in all tables."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from chaos_tasks.model.formats import Format

NAMES: dict[Format, str] = {
    "parquet": "raw/a.parquet",
    "csv": "raw/a.csv",
    "jsonl": "raw/a.jsonl",
    "npy": "raw/a.npy",
    "npz": "raw/a.npz",
    "text": "raw/a.txt",
    "images": "raw/images",
    "texts": "raw/texts",
}
"""Where each lies in a repository."""


def table(rows: int, seed: int = 1) -> pa.Table:
    """A number, a text and a label of two values, with some missing."""
    rng = np.random.default_rng(seed)
    return pa.table(
        {
            "x": pa.array(np.round(rng.normal(50, 9, rows), 3), mask=rng.random(rows) < 0.05),
            "count": pa.array(rng.integers(0, 900, rows)),
            "note": pa.array([f"Zürich {number} was rather late" for number in rng.integers(0, 99, rows)]),
            "late": pa.array(rng.integers(0, 2, rows)),
        }
    )


def make(form: Format, path: Path, rows: int = 60, seed: int = 1) -> None:
    """Data of that format at ``path``; of folders, a third as many files."""
    path.parent.mkdir(parents=True, exist_ok=True)
    data = table(rows, seed)
    if form == "parquet":
        pq.write_table(data, path, row_group_size=25)
    elif form == "csv":
        pacsv.write_csv(data, path)
    elif form == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in data.to_pylist()), encoding="utf-8")
    elif form == "npy":
        np.save(path, _matrix(data))
    elif form == "npz":
        matrix = _matrix(data)
        np.savez_compressed(path, features=matrix[:, :2], late=matrix[:, 2].astype(np.int64), names=np.array(["x"]))
    elif form == "text":
        path.write_text("".join(f"{note}\n" for note in data["note"].to_pylist()), encoding="utf-8")
    else:
        folder(form, path, data.slice(0, rows // 3))


def _matrix(data: pa.Table) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    return np.stack([data[name].to_numpy() for name in ("x", "count", "late")], axis=1).astype(np.float64)


def folder(form: Format, path: Path, data: pa.Table) -> None:
    """Files below train/ in folders `early` and `late`, and one file that is no row."""
    for number, row in enumerate(data.to_pylist()):
        file = path / "train" / ("late" if row["late"] else "early") / f"{number:03}"
        file.parent.mkdir(parents=True, exist_ok=True)
        if form == "texts":
            file.with_suffix(".txt").write_text(row["note"] * 3, encoding="utf-8")
        else:
            image(file.with_suffix((".png", ".jpg")[number % 2]), number)
    (path / "LICENSE").write_text("CC0")


def image(path: Path, seed: int, size: Sequence[int] = (12, 16, 3)) -> None:
    """Noise, in the format of the suffix."""
    from PIL import Image

    Image.fromarray(np.random.default_rng(seed).integers(0, 256, size, dtype=np.uint8)).save(path)


def content(path: Path) -> dict[str, bytes]:
    """All bytes of a file or a folder by name."""
    if path.is_file():
        return {path.name: path.read_bytes()}
    return {file.relative_to(path).as_posix(): file.read_bytes() for file in sorted(path.rglob("*")) if file.is_file()}
