"""A data file as a stream of column batches: read them, or write the file anew batch by batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    import pyarrow as pa

Format = Literal["parquet", "csv"]
Transform = Callable[["pa.RecordBatch", int], "pa.RecordBatch"]


class FileFormat(Protocol):
    """Streams one format; memory is bounded by the largest batch."""

    def schema(self, path: Path) -> pa.Schema:
        """Column names and types; CSV has text columns only."""

    def rows(self, path: Path) -> int:
        """Number of rows."""

    def batches(self, path: Path, columns: Sequence[str] | None = None) -> Iterator[tuple[int, pa.RecordBatch]]:
        """(absolute number of the first row, batch), in file order."""

    def write(self, path: Path, target: Path, transform: Transform) -> None:
        """Write ``target`` from ``path`` through ``transform``, which gets each batch and its first row's number.

        A transform may change values and, the same way in every batch, names and types.
        """
