"""A directory of files as rows: images or texts, whose label is the folder that they lie in, or a column of an index.

Without an index, columns are `path` (without the label's folder), `label` and `content`: train/cats/1.png is path
train/1.png and label cats, so that another label moves the file.  With an index (INDEXES, at the top, with a column of
FILE_NAMES) they are the index's columns and `content`.  What is neither listed nor of the sort is copied as it is.
"""

from __future__ import annotations

import csv
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import count
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, ClassVar

from chaos_tasks.errors import InjectError
from chaos_tasks.targets.formats.base import BATCH_BYTES, OWN, Transform

if TYPE_CHECKING:
    import pyarrow as pa

INDEXES = ("metadata.csv", "labels.csv", "index.csv")
FILE_NAMES = ("file_name", "file", "path", "filename", "image")
CONTENT, WAS = "content", f"{OWN}was"
MOST_ROWS = 16_384


class _Folder:
    """Memory is bounded by the names of all files, some megabytes of content, and the largest file."""

    suffixes: ClassVar[tuple[str, ...]]

    def __init__(self, batch_bytes: int = BATCH_BYTES) -> None:
        self._batch_bytes = batch_bytes

    def schema(self, path: Path) -> pa.Schema:
        """Names are text, the content is bytes."""
        import pyarrow as pa

        names = _listed(path, self.suffixes).names
        return pa.schema([*((name, pa.string()) for name in names), (CONTENT, pa.binary())])

    def rows(self, path: Path) -> int:
        """Files of the sort, or lines of the index."""
        return len(_listed(path, self.suffixes).rows)

    def batches(self, path: Path, columns: Sequence[str] | None = None) -> Iterator[tuple[int, pa.RecordBatch]]:
        """In the order of names or of the index; files are read only where `content` is asked for."""
        listed, schema = _listed(path, self.suffixes), self.schema(path)
        chosen = schema.names if columns is None else list(columns)
        for first, last in self._chunks(path, listed, contents=CONTENT in chosen):
            yield first, _batch(path, listed, first, last, schema, chosen)

    def write(self, path: Path, target: Path, transform: Transform) -> None:
        """A file that comes again, or is moved to where one of its name lies, gets a number behind its name."""
        import pyarrow as pa

        listed, schema = _listed(path, self.suffixes), self.schema(path)
        target.mkdir()
        placed = _Placed(path, target, listed)
        for first, last in self._chunks(path, listed, contents=True):
            batch = _batch(path, listed, first, last, schema, schema.names)
            was = pa.array([row.file for row in listed.rows[first:last]], pa.string())
            placed.add(transform(batch.append_column(pa.field(WAS, pa.string()), was), first))
        placed.finish()

    def _chunks(self, path: Path, listed: _Listed, *, contents: bool) -> Iterator[tuple[int, int]]:
        first = size = 0
        for number, row in enumerate(listed.rows):
            grown = (path / row.file).stat().st_size if contents and row.file in listed.files else 0
            if number > first and (size + grown > self._batch_bytes or number - first == MOST_ROWS):
                yield first, number
                first, size = number, 0
            size += grown
        if first < len(listed.rows):
            yield first, len(listed.rows)


class Images(_Folder):
    """PNG and JPEG."""

    suffixes = (".png", ".jpg", ".jpeg")


class Texts(_Folder):
    """One text a file."""

    suffixes = (".txt", ".text", ".md")


@dataclass(frozen=True)
class _Row:
    file: str
    values: tuple[str | None, ...]


@dataclass(frozen=True)
class _Listed:
    """All files of a directory by name, and which of them are rows."""

    names: tuple[str, ...]
    rows: tuple[_Row, ...]
    files: Mapping[str, None]
    index: str = ""
    file_column: str = ""

    @cached_property
    def others(self) -> list[str]:
        """Files that are no rows."""
        rows = {row.file for row in self.rows}
        return [name for name in self.files if name not in rows and name != self.index]


def _listed(folder: Path, suffixes: tuple[str, ...]) -> _Listed:
    if not folder.is_dir():
        raise InjectError(f"{folder.name} is no directory", remedy="name a directory in source.data, or another format")
    files = dict.fromkeys(sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()))
    for name in INDEXES:
        if name in files and (found := _by_index(folder, name, files)):
            return found
    rows = tuple(_row(name) for name in files if PurePosixPath(name).suffix.lower() in suffixes)
    if not rows:
        raise InjectError(f"{folder.name} holds no {' or '.join(suffixes)} files", remedy="correct source.format")
    return _Listed(("path", "label"), rows, files)


def _row(name: str) -> _Row:
    path = PurePosixPath(name)
    if len(path.parts) == 1:
        return _Row(name, (name, None))
    return _Row(name, ((path.parent.parent / path.name).as_posix(), path.parent.name))


def _by_index(folder: Path, name: str, files: Mapping[str, None]) -> _Listed | None:
    with (folder / name).open(newline="", encoding="utf-8") as stream:
        reader = csv.reader(stream)
        header = next(reader, [])
        column = next((one for one in FILE_NAMES if one in header), None)
        if column is None or CONTENT in header:
            return None
        at = header.index(column)
        rows = tuple(_Row(line[at], tuple(value or None for value in line)) for line in reader if line)
    return _Listed(tuple(header), rows, files, name, column)


def _batch(
    folder: Path, listed: _Listed, first: int, last: int, schema: pa.Schema, chosen: Sequence[str]
) -> pa.RecordBatch:
    import pyarrow as pa

    rows = listed.rows[first:last]
    columns = []
    for name in chosen:
        if name == CONTENT:
            found = [(folder / row.file).read_bytes() if row.file in listed.files else None for row in rows]
            columns.append(pa.array(found, pa.binary()))
        else:
            at = listed.names.index(name)
            columns.append(pa.array([row.values[at] for row in rows], pa.string()))
    return pa.RecordBatch.from_arrays(columns, schema=pa.schema([schema.field(name) for name in chosen]))


class _Placed:
    """Files written one by one, each under a name that no other has."""

    def __init__(self, source: Path, target: Path, listed: _Listed) -> None:
        self._source, self._target, self._listed = source, target, listed
        self._taken = set(listed.files)
        self._stayed: set[str] = set()
        self._lines: list[list[str]] = []

    def add(self, batch: pa.RecordBatch) -> None:
        """The rows of one batch."""
        columns = {name: batch.column(name).to_pylist() for name in batch.schema.names}
        for row, was in enumerate(columns[WAS]):
            values = {name: column[row] for name, column in columns.items()}
            wanted = self._wanted(values)
            name = self._free(wanted, was)
            if values[CONTENT] is not None:
                (self._target / name).parent.mkdir(parents=True, exist_ok=True)
                (self._target / name).write_bytes(values[CONTENT])
            if self._listed.index:
                values[self._listed.file_column] = name
                self._lines.append([values[one] or "" for one in self._listed.names])

    def finish(self) -> None:
        """The index, and what is neither row nor index; folders that lost their last file stay."""
        for name in self._listed.others:
            (self._target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(self._source / name, self._target / name)
        if self._listed.index:
            with (self._target / self._listed.index).open("w", newline="", encoding="utf-8") as stream:
                writer = csv.writer(stream, lineterminator=_line_ending(self._source / self._listed.index))
                writer.writerows([list(self._listed.names), *self._lines])

    def _wanted(self, values: Mapping[str, str | None]) -> str:
        if self._listed.index:
            return str(values[self._listed.file_column])
        path, label = PurePosixPath(str(values["path"])), values["label"]
        return (path.parent / (label or "") / path.name).as_posix()

    def _free(self, wanted: str, was: str) -> str:
        if wanted == was and wanted not in self._stayed:
            self._stayed.add(wanted)
            return wanted
        path = PurePosixPath(wanted)
        named = (path.with_name(f"{path.stem}-{number}{path.suffix}").as_posix() for number in count(2))
        name = wanted if wanted not in self._taken else next(one for one in named if one not in self._taken)
        self._taken.add(name)
        return name


def _line_ending(path: Path) -> str:
    with path.open("rb") as file:
        return "\r\n" if file.readline().endswith(b"\r\n") else "\n"
