"""Counts of (group, label, decision), for one model or for two on the same rows: all that group rates need.

A million rows become some dozen counts by one `bincount`; every cell is there, those without a row as 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

MAX_CELLS = 4096

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class Table:
    """``counts[group, label, decision]``, or ``[group, label, control's decision, treatment's]`` of a pair."""

    groups: tuple[str, ...]
    counts: Array

    @property
    def n(self) -> int:
        """Rows counted."""
        return int(self.counts.sum())

    @property
    def paired(self) -> bool:
        """Whether it holds the decisions of two models."""
        return self.counts.ndim == 4

    @property
    def sizes(self) -> Array:
        """Rows per group."""
        return np.asarray(self.counts.reshape(len(self.groups), -1).sum(axis=1))

    def control(self) -> Table:
        """The control's own table, of a pair."""
        return Table(self.groups, self.counts.sum(axis=3))

    def treatment(self) -> Table:
        """The treatment's own table, of a pair."""
        return Table(self.groups, self.counts.sum(axis=2))

    def empty_cells(self) -> tuple[str, ...]:
        """Names of the (group, label) cells without a row: their rates do not exist."""
        rows = self.counts.reshape(len(self.groups), 2, -1).sum(axis=2)
        return tuple(f"{self.groups[group]}, label {label}" for group, label in np.argwhere(rows == 0))

    def __add__(self, other: Table) -> Table:
        """The table of both sets of rows; raises ValueError for other groups."""
        if self.groups != other.groups or self.counts.shape != other.counts.shape:
            raise ValueError("only tables of the same groups can be added")
        return Table(self.groups, self.counts + other.counts)


def tabulate(codes: Array, groups: Sequence[str], labels: Array, *decisions: Array) -> Table:
    """Count rows: ``codes`` (n,) are places in ``groups``, ``labels`` and each of one or two ``decisions`` are 0 or 1.

    Raises ValueError for arrays of other lengths, values out of range, or more than 4,096 cells (a column with so many
    values identifies rows rather than groups).
    """
    if len(decisions) not in (1, 2):
        raise ValueError(f"one decision or two, not {len(decisions)}")
    cells = len(groups) * 2 ** (1 + len(decisions))
    if cells > MAX_CELLS:
        raise ValueError(f"{len(groups)} groups make {cells} cells, more than {MAX_CELLS}")
    _require_in_range(codes, len(groups), "codes")
    cell = codes.astype(np.int64)
    for name, bits in (("labels", labels), *(("decisions", bits) for bits in decisions)):
        if len(bits) != len(codes):
            raise ValueError(f"{len(bits)} {name} for {len(codes)} rows")
        _require_in_range(bits, 2, name)
        cell <<= 1
        cell += bits.astype(np.int64)
    shape = (len(groups),) + (2,) * (1 + len(decisions))
    return Table(tuple(groups), np.bincount(cell, minlength=cells).reshape(shape))


def _require_in_range(values: Array, end: int, name: str) -> None:
    if len(values) and not (values.min() >= 0 and values.max() < end):
        raise ValueError(f"{name} must lie within 0 to {end - 1}")
