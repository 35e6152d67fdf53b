"""A data file as a stream of column batches: read them, or write the file anew batch by batch."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

from chaos_tasks.targets.objects import sync

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


def file_format(name: Format) -> FileFormat:
    """The adapter of that name."""
    if name == "parquet":
        from chaos_tasks.targets.formats.parquet import Parquet

        return Parquet()
    from chaos_tasks.targets.formats.csv import Csv

    return Csv()


def rewrite(name: Format, path: Path, transform: Transform) -> None:
    """Replace a file by its transformation, atomically: readers see the old file or the new one."""
    partial = path.with_name(f".{path.name}.squall-rewrite")
    partial.unlink(missing_ok=True)
    file_format(name).write(path, partial, transform)
    partial.chmod(path.stat().st_mode & 0o777)
    sync(partial)
    os.replace(partial, path)
