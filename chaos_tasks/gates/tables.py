"""Tables of clean versions as data frames, their changed columns, and blocks of rows to resample."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from chaos_tasks.targets.formats.base import Format

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

BLOCKS = 12
"""A table is cut into so many runs of consecutive rows: files that grow by appending are in order of time."""

Tables = Mapping[str, "pd.DataFrame"]


def read(paths: Mapping[str, Path], form: Format) -> dict[str, pd.DataFrame]:
    """Whole tables by name."""
    import pandas as pd

    return {name: pd.read_csv(path) if form == "csv" else pd.read_parquet(path) for name, path in paths.items()}


def changed_columns(clean: Tables, other: Tables) -> set[tuple[str, str]]:
    """(table, column) where two versions differ; every column of a table whose rows differ in number."""
    found = set()
    for name, table in clean.items():
        if name not in other or len(other[name]) != len(table):
            found |= {(name, column) for column in table.columns}
            continue
        found |= {
            (name, column)
            for column in table.columns
            if column not in other[name].columns or not table[column].equals(other[name][column])
        }
    return found


def blocks(table: pd.DataFrame) -> list[pd.DataFrame]:
    """Runs of consecutive rows, as even as can be."""
    edges = [round(len(table) * index / BLOCKS) for index in range(BLOCKS + 1)]
    return [table.iloc[first:last] for first, last in pairwise(edges)]


def of_blocks(table: pd.DataFrame, chosen: np.ndarray[tuple[int], np.dtype[np.int64]]) -> pd.DataFrame:
    """A table of the chosen blocks, in order; a block may come twice."""
    import pandas as pd

    parts = blocks(table)
    return pd.concat([parts[index] for index in sorted(chosen)], ignore_index=True)
