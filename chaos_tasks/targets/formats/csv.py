"""CSV: chunks of rows as text columns; a row of which nothing was changed keeps its text to the letter."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from chaos_tasks.errors import InjectError, SetupError
from chaos_tasks.model.formats import CsvDialect
from chaos_tasks.targets.formats.base import OWN, Transform

if TYPE_CHECKING:
    import pyarrow as pa

CHUNK_ROWS = 65_536
CHUNK_FIELDS = 1_000_000
"""Of a wide table, chunks have fewer rows: a field is a Python text of some hundred bytes while it is looked at."""
LINE = f"{OWN}line"
BOM = b"\xef\xbb\xbf"
PLAIN = CsvDialect()

Row = Sequence[str]


class Csv:
    """An empty field is null, a blank line no row, and a line that was changed has quotes only where they are needed.

    By default commas, UTF-8 and one header line.
    """

    def __init__(self, chunk_rows: int = CHUNK_ROWS, dialect: CsvDialect = PLAIN) -> None:
        self._chunk_rows = chunk_rows
        self._dialect = dialect

    def schema(self, path: Path) -> pa.Schema:
        """Text columns, called as the header or the dialect says."""
        import pyarrow as pa

        return pa.schema([(name, pa.string()) for name in self._names(path)])

    def rows(self, path: Path) -> int:
        """Counted by reading."""
        return sum(batch.num_rows for _, batch in self.batches(path, []))

    def batches(self, path: Path, columns: Sequence[str] | None = None) -> Iterator[tuple[int, pa.RecordBatch]]:
        """Chunks of at most ``chunk_rows`` rows and CHUNK_FIELDS fields."""
        names = self._names(path)
        chosen = list(names if columns is None else columns)
        with self._open(path) as file:
            reader = csv.reader(file, delimiter=self._dialect.delimiter)
            if self._dialect.header:
                next(reader, None)
            yield from self._chunks(path, ((row, "") for row in reader if row), names, chosen)

    def write(self, path: Path, target: Path, transform: Transform) -> None:
        """Keeps the line ending of the first line for lines that are new, and a missing one at the end missing."""
        import pyarrow as pa

        names = self._names(path)
        ending, ended = _line_ending(path), _ends_with_a_line(path)
        schema = pa.schema([(name, pa.string()) for name in names])
        empty = transform(pa.RecordBatch.from_arrays([pa.array([], pa.string()) for _ in names], schema=schema), 0)
        self._require_an_effect(path, names, empty.schema.names)
        with self._open(path) as source, target.open("w", newline="", encoding=self._encoding(path)) as file:
            taken: list[str] = []
            reader = csv.reader(_remembered(source, taken), delimiter=self._dialect.delimiter)
            if self._dialect.header and (header := next(reader, None)) is not None:
                head = _taken(taken)
                said = dict(zip(names, header, strict=True))
                kept = names == empty.schema.names
                file.write(head if kept else self._line([said.get(one, one) for one in empty.schema.names], ending))
            chunks = self._chunks(path, _with_lines(reader, taken), names, [*names, LINE])
            self._write_rows(file, chunks, transform, names, ending)
        if not ended:
            _cut(target, ending)

    # --- reading ------------------------------------------------------------------------------------------------

    def _encoding(self, path: Path) -> str:
        if self._dialect.encoding == "utf-8":
            with path.open("rb") as file:
                return "utf-8-sig" if file.read(len(BOM)) == BOM else "utf-8"
        return self._dialect.encoding

    def _open(self, path: Path) -> IO[str]:
        return path.open(newline="", encoding=self._encoding(path))

    def _names(self, path: Path) -> list[str]:
        with self._open(path) as file:
            reader = csv.reader(file, delimiter=self._dialect.delimiter)
            first = next(reader if self._dialect.header else filter(None, reader), [])
        if self._dialect.header:
            return _unique(first)
        named = list(self._dialect.columns)
        if named and first and len(named) != len(first):
            raise SetupError(
                f"{path}: its rows have {len(first)} fields, and `source.csv.columns` names {len(named)}",
                remedy="name each column, or none of them",
            )
        return named or [str(number) for number in range(len(first))]

    def _chunks(
        self, path: Path, rows: Iterable[tuple[list[str], str]], names: Sequence[str], chosen: Sequence[str]
    ) -> Iterator[tuple[int, pa.RecordBatch]]:
        """(number of the first row, the chosen columns); the column LINE is the text of the row."""
        import pyarrow as pa

        first, rows = 0, iter(rows)
        size = max(1, min(self._chunk_rows, CHUNK_FIELDS // max(1, len(names))))
        places = [None if name == LINE else names.index(name) for name in chosen]
        schema = pa.schema([(name, pa.string()) for name in chosen])
        while part := list(islice(rows, size)):
            _require_whole(path, [row for row, _ in part], len(names), first)
            fields = [
                pa.array([line if at is None else row[at] or None for row, line in part], pa.string()) for at in places
            ]
            yield first, _batch(fields, schema, len(part))
            first += len(part)

    # --- writing ------------------------------------------------------------------------------------------------

    def _require_an_effect(self, path: Path, before: Sequence[str], after: Sequence[str]) -> None:
        if not self._dialect.header and len(before) == len(after) and list(before) != list(after):
            raise InjectError(
                f"{path.name} has no header, so that another name of a column changes nothing in it",
                remedy="drop the column instead",
            )

    def _line(self, values: Row, ending: str) -> str:
        out = io.StringIO()
        csv.writer(out, delimiter=self._dialect.delimiter, lineterminator=ending).writerow(values)
        return out.getvalue()

    def _write_rows(
        self,
        file: IO[str],
        chunks: Iterator[tuple[int, pa.RecordBatch]],
        transform: Transform,
        names: Sequence[str],
        ending: str,
    ) -> None:
        try:
            for first, batch in chunks:
                file.writelines(self._lines(batch, transform(batch, first), names, ending))
        except UnicodeEncodeError as error:
            raise InjectError(
                f"a new value has a letter that {self._dialect.encoding} does not have",
                remedy="choose other parameters, such as another `damage`",
            ) from error

    def _lines(self, before: pa.RecordBatch, after: pa.RecordBatch, names: Sequence[str], ending: str) -> Iterator[str]:
        """Each row's own text where its values are those that it had, else a new line."""
        columns = [name for name in after.schema.names if name != LINE]
        rows = np.flatnonzero(_changed(before, after, columns, names))
        fields = [_texts(after.column(name).take(rows)).to_pylist() for name in columns]
        lines = after.column(LINE).to_pylist()
        for at, row in enumerate(rows.tolist()):
            new = self._anew(lines[row], [column[at] for column in fields], names, columns)
            lines[row] = lines[row] if new is None else self._line(new, ending)
        for line in lines:
            yield line if line.endswith(("\n", "\r")) else line + ending

    def _anew(self, line: str, values: list[str], names: Sequence[str], columns: Sequence[str]) -> Row | None:
        """The fields of a row; None where they are those of the line.  What stands behind the last column stays."""
        had = next(csv.reader(io.StringIO(line, newline=""), delimiter=self._dialect.delimiter))
        if len(columns) == len(names) and had[: len(names)] == values:
            return None
        return [*values, *had[len(names) :]]


def _changed(
    before: pa.RecordBatch, after: pa.RecordBatch, columns: Sequence[str], names: Sequence[str]
) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Which rows may have been changed: all of them where rows were moved, or columns were added or dropped."""
    import pyarrow.compute as pc

    if len(columns) != len(names) or not after.column(LINE).equals(before.column(LINE)):
        return np.ones(after.num_rows, dtype=np.bool_)
    changed = np.zeros(after.num_rows, dtype=np.bool_)
    for old, new in zip(names, columns, strict=True):
        one, other = before.column(old), after.column(new)
        if not one.equals(other):
            differs = pc.not_equal(_texts(one), _texts(other))
            changed |= np.asarray(differs.to_numpy(zero_copy_only=False), dtype=np.bool_)
    return changed


def _unique(names: Sequence[str]) -> list[str]:
    """Of columns with one name the second is called `name.1`, as pandas has it; the file keeps what it says."""
    found: list[str] = []
    for name in names:
        again = (f"{name}.{number}" for number in range(1, len(names) + 1))
        found.append(name if name not in found else next(one for one in again if one not in (*found, *names)))
    return found


def _texts(column: pa.Array) -> pa.Array:
    import pyarrow as pa

    return column.cast(pa.string()).fill_null("")


def _remembered(lines: Iterable[str], taken: list[str]) -> Iterator[str]:
    """Hands the lines on, and keeps them until somebody takes them: a record may be several."""
    for line in lines:
        taken.append(line)
        yield line


def _with_lines(reader: Iterable[list[str]], taken: list[str]) -> Iterator[tuple[list[str], str]]:
    """Each record that is not blank, with its text."""
    for row in reader:
        line = _taken(taken)
        if row:
            yield row, line


def _taken(taken: list[str]) -> str:
    text = "".join(taken)
    taken.clear()
    return text


def _require_whole(path: Path, rows: Sequence[Row], width: int, first: int) -> None:
    short = next((number for number, row in enumerate(rows) if len(row) < width), None)
    if short is not None:
        raise SetupError(
            f"{path}: data row {first + short + 1} has {len(rows[short])} fields, and there are {width} columns",
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


def _ends_with_a_line(path: Path) -> bool:
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - 1))
        return not size or file.read() in (b"\n", b"\r")


def _cut(target: Path, ending: str) -> None:
    """Take the last line ending away."""
    size, end = target.stat().st_size, ending.encode()
    with target.open("rb+") as file:
        file.seek(max(0, size - len(end)))
        if file.read() == end:
            file.truncate(size - len(end))
