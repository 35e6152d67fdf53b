"""Data as a stream of column batches: read them, or write the data anew batch by batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from chaos_tasks.model.formats import Format as Format

if TYPE_CHECKING:
    import pyarrow as pa

Transform = Callable[["pa.RecordBatch", int], "pa.RecordBatch"]

BATCH_BYTES = 16 << 20
"""An adapter aims at batches of this size (decoded); one row is always a batch."""

OWN = "\0"
"""Begins the name of a column of the adapter's own, which only `write` shows: what a row was before.  It follows the
rows through a transform, and lets an adapter keep to the letter whatever was not changed."""


class FileFormat(Protocol):
    """Streams one format in bounded memory; for a format of folders, ``path`` is the folder.

    Raises InjectError for data that it cannot read, or for values that the format cannot hold.
    """

    def schema(self, path: Path) -> pa.Schema:
        """Column names and types; CSV has text columns only."""

    def rows(self, path: Path) -> int:
        """Number of rows."""

    def batches(self, path: Path, columns: Sequence[str] | None = None) -> Iterator[tuple[int, pa.RecordBatch]]:
        """(absolute number of the first row, batch), in the order of the data."""

    def write(self, path: Path, target: Path, transform: Transform) -> None:
        """Write ``target`` from ``path`` through ``transform``, which gets each batch and its first row's number.

        A transform may change values, repeat or leave out rows and, the same way in every batch, names and types.
        """
