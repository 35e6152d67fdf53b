"""Scores the sealed set with a trained network and writes what it is worth."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import batches
import checkpoints
import metrics
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from model import LateFlights

Scores = np.ndarray[Any, np.dtype[Any]]


def score(model: LateFlights, rows: batches.Batch, device: str = "cpu") -> Scores:
    """The chance of being late, per row."""
    model.eval()
    with torch.inference_mode():
        inputs = (torch.from_numpy(a).to(device) for a in (rows.codes, rows.numbers))
        found: Scores = torch.sigmoid(model(*inputs)).cpu().numpy()
    return found


def write(rows: batches.Batch, scores: Scores, steps: int, out: Path) -> None:
    """`metrics.json` and `predictions.parquet`; a NaN stays NaN in both."""
    measured: dict[str, Any] = {**metrics.overall(rows.labels, scores), "steps": float(steps)}
    measured["slices"] = metrics.slices(rows.labels, scores, rows.columns)
    out.mkdir(parents=True, exist_ok=True)
    (out / "metrics.json").write_text(json.dumps(measured, indent=1) + "\n")
    write_predictions(rows, scores, out / "predictions.parquet")


def write_predictions(rows: batches.Batch, scores: Scores, path: Path) -> None:
    """Built from buffers, as `pa.array` would import pandas."""
    parts: list[tuple[Scores, pa.DataType]] = [
        (rows.keys, pa.int64()),
        (rows.labels.astype(np.int8), pa.int8()),
        (scores.astype(np.float32), pa.float32()),
    ]
    columns = [plain(part, kind) for part, kind in parts] + [words(column) for column in rows.columns.values()]
    pq.write_table(pa.Table.from_arrays(columns, ["flight_id", "late", "score", *rows.columns]), path)


def plain(values: Scores, kind: pa.DataType) -> pa.Array:
    return pa.Array.from_buffers(kind, len(values), [None, pa.py_buffer(np.ascontiguousarray(values))])


def words(column: Scores) -> pa.Array:
    """Text as a dictionary: each distinct value once, and its place per row."""
    names, places = np.unique(column, return_inverse=True)
    texts = [str(name).encode() for name in names]
    ends = np.cumsum([0, *(len(text) for text in texts)]).astype(np.int32)
    buffers = [None, pa.py_buffer(ends), pa.py_buffer(b"".join(texts))]
    values = pa.Array.from_buffers(pa.utf8(), len(texts), buffers)
    return pa.DictionaryArray.from_arrays(plain(places.astype(np.int32), pa.int32()), values)


def restored(path: Path) -> tuple[LateFlights, batches.Encoding, int]:
    state = checkpoints.load(path)
    encoding: batches.Encoding = state["encoding"]
    model = LateFlights(encoding.sizes(), len(encoding.means))
    model.load_state_dict(state["model"])
    return model, encoding, int(state["step"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--sealed", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    model, encoding, steps = restored(args.checkpoint)
    rows = batches.encode(batches.read(args.sealed), encoding)
    write(rows, score(model, rows), steps, args.out)


if __name__ == "__main__":
    main()
