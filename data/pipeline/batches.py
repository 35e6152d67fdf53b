"""Reads a prepared table into arrays of category codes and scaled numbers, without pandas."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from schema import CATEGORICAL, FEATURES, KEY, LABEL, NUMERIC, SLICES

Floats = np.ndarray[Any, np.dtype[np.float32]]
Codes = np.ndarray[Any, np.dtype[np.int64]]
Column = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class Encoding:
    """What was learnt from the training rows about each column; code 0 is for what was never seen."""

    vocabularies: dict[str, list[str]]
    means: Floats
    scales: Floats

    def sizes(self) -> list[int]:
        return [len(self.vocabularies[name]) + 1 for name in CATEGORICAL]


@dataclass(frozen=True)
class Batch:
    keys: Codes
    codes: Codes
    numbers: Floats
    labels: Floats
    columns: dict[str, Column]

    def __len__(self) -> int:
        return len(self.keys)


def read(path: Path, latest: int | None = None) -> pa.Table:
    """The columns that the model needs; a missing one raises KeyError."""
    table = pq.ParquetFile(path).read()  # read_table would import pyarrow.dataset and pandas
    wanted = [KEY, *FEATURES, LABEL]
    if missing := [name for name in wanted if name not in table.column_names]:
        raise KeyError(f"{path.name} has no column {', '.join(missing)}")
    return table.select(wanted).slice(max(0, len(table) - latest) if latest else 0)


def values(column: pa.ChunkedArray, kind: pa.DataType) -> Column:
    """As numpy, null as NaN; `to_numpy` and `pa.scalar` would import pandas, dearer than all the reading."""
    cast = column.cast(kind).combine_chunks()
    if not cast.null_count:
        return np.from_dlpack(cast)
    bare = pa.Array.from_buffers(kind, len(cast), [None, cast.buffers()[1]], offset=cast.offset)
    return np.where(np.from_dlpack(cast.is_null().cast(pa.uint8())), np.nan, np.from_dlpack(bare))


def numbers(table: pa.Table) -> Floats:
    """The numeric columns side by side; missing is NaN."""
    return np.stack([values(table[name], pa.float32()) for name in NUMERIC], axis=1, dtype=np.float32)


def learn(table: pa.Table) -> Encoding:
    """The vocabulary of each category and the centre and width of each number."""
    raw = numbers(table)
    means = np.nanmean(raw, axis=0, dtype=np.float64)
    scales = np.nanstd(raw, axis=0, dtype=np.float64) + 1e-6
    names = {name: sorted(str(v) for v in table[name].unique().to_pylist()) for name in CATEGORICAL}
    return Encoding(names, np.asarray(means, np.float32), np.asarray(scales, np.float32))


def distinct(column: pa.ChunkedArray) -> tuple[list[str], Codes]:
    """The distinct values as text, and for each row the place of its value."""
    seen = column.combine_chunks().dictionary_encode(null_encoding="encode")
    return [str(v) for v in seen.dictionary.to_pylist()], np.asarray(np.from_dlpack(seen.indices), np.int64)


def codes(column: pa.ChunkedArray, vocabulary: list[str]) -> Codes:
    """Places in the vocabulary, from 1; looks each distinct value up once."""
    names, rows = distinct(column)
    place = {value: i + 1 for i, value in enumerate(vocabulary)}
    return np.array([place.get(name, 0) for name in names], dtype=np.int64)[rows]


def text(column: pa.ChunkedArray) -> Column:
    names, rows = distinct(column)
    return np.array(names)[rows]


def encode(table: pa.Table, encoding: Encoding) -> Batch:
    """Model inputs; a missing number becomes the training mean."""
    raw = numbers(table)
    scaled = (raw - encoding.means) / encoding.scales
    scaled[np.isnan(raw)] = 0.0
    places = [codes(table[name], encoding.vocabularies[name]) for name in CATEGORICAL]
    return Batch(
        keys=values(table[KEY], pa.int64()),
        codes=np.stack(places, axis=1),
        numbers=scaled,
        labels=values(table[LABEL], pa.float32()).copy(),
        columns={name: text(table[name]) for name in SLICES},
    )
