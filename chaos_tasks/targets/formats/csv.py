"""CSV: chunks of rows as text columns; what is not changed keeps its text to the letter, quoting apart."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from chaos_tasks.errors import SetupError
from chaos_tasks.targets.formats.base import Transform

if TYPE_CHECKING:
    import pyarrow as pa

CHUNK_ROWS = 65_536
CHUNK_FIELDS = 1_000_000
"""Of a wide table, chunks have fewer rows: a field is a Python text of some hundred bytes while it is looked at."""


class Csv:
    """Comma-separated UTF-8, one header line; an empty field is null, a blank line none.  Quotes only where needed."""

    def __init__(self, chunk_rows: int = CHUNK_ROWS) -> None:
        self._chunk_rows = chunk_rows

    def schema(self, path: Path) -> pa.Schema:
        """Text columns of the header's names."""
        import pyarrow as pa

        with path.open(newline="", encoding="utf-8") as file:
            return pa.schema([(name, pa.string()) for name in next(csv.reader(file), [])])

    def rows(self, path: Path) -> int:
        """Counted by reading."""
        return sum(batch.num_rows for _, batch in self.batches(path, []))

    def batches(self, path: Path, columns: Sequence[str] | None = None) -> Iterator[tuple[int, pa.RecordBatch]]:
        """Chunks of at most ``chunk_rows`` rows and CHUNK_FIELDS fields."""
        import pyarrow as pa

        first = 0
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.reader(file)
            names = next(reader, [])
            chosen = [names.index(name) for name in (names if columns is None else columns)]
            size = max(1, min(self._chunk_rows, CHUNK_FIELDS // max(1, len(names))))
            while rows := list(islice(filter(None, reader), size)):
                _require_whole(path, rows, len(names), first)
                fields = [pa.array([row[index] or None for row in rows], pa.string()) for index in chosen]
                schema = pa.schema([(names[index], pa.string()) for index in chosen])
                yield first, _batch(fields, schema, len(rows))
                first += len(rows)

    def write(self, path: Path, target: Path, transform: Transform) -> None:
        """Keeps the line ending of the header."""
        import pyarrow as pa

        schema = self.schema(path)
        empty = transform(pa.RecordBatch.from_arrays([pa.array([], pa.string()) for _ in schema], schema=schema), 0)
        with target.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator=_line_ending(path))
            writer.writerow(empty.schema.names)
            for first, batch in self.batches(path):
                columns = [
                    column.cast(pa.string()).fill_null("").to_pylist() for column in transform(batch, first).columns
                ]
                writer.writerows(zip(*columns, strict=True))


def _require_whole(path: Path, rows: Sequence[Sequence[str]], width: int, first: int) -> None:
    short = next((number for number, row in enumerate(rows) if len(row) < width), None)
    if short is not None:
        raise SetupError(
            f"{path}: data row {first + short + 1} has {len(rows[short])} fields, and the header has {width}",
            remedy="mend the file, or leave it out of `source.data`",
        )


def _batch(fields: list[pa.Array], schema: pa.Schema, rows: int) -> pa.RecordBatch:
    import pyarrow as pa

    if fields:
        return pa.RecordBatch.from_arrays(fields, schema=schema)
    return pa.RecordBatch.from_struct_array(pa.array([{}] * rows, pa.struct([])))


def _line_ending(path: Path) -> str:
    with path.open("rb") as file:
        return "\r\n" if file.readline().endswith(b"\r\n") else "\n"
