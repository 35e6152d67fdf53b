"""JSON lines: one object a line; a line whose values are not changed keeps its text to the letter.

A key is a column: true or false, whole number, number or text; whatever else (lists, objects, mixed types) is text that
holds JSON.  A key that is absent is null, and stays absent while nothing is put there.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chaos_tasks.errors import InjectError
from chaos_tasks.targets.formats.base import OWN, Transform

if TYPE_CHECKING:
    import pyarrow as pa

BATCH_BYTES = 4 << 20  # of text: as Python objects it is some ten times as much
LINE = f"{OWN}line"
_INT64 = 1 << 63
Kinds = Mapping[str, str]
"""Column -> bool, int, float, text or json, in the order in which keys appear."""


class JsonLines:
    """UTF-8, one JSON object a line; empty lines are left out when it is written."""

    def __init__(self, batch_bytes: int = BATCH_BYTES) -> None:
        self._batch_bytes = batch_bytes

    def schema(self, path: Path) -> pa.Schema:
        """Found by reading the whole file."""
        return _schema(self._kinds(path))

    def rows(self, path: Path) -> int:
        """Counted by reading."""
        with path.open("rb") as file:
            return sum(1 for line in file if line.strip())

    def batches(self, path: Path, columns: Sequence[str] | None = None) -> Iterator[tuple[int, pa.RecordBatch]]:
        """Some megabytes of lines at a time."""
        kinds = self._kinds(path)
        chosen = {name: kinds[name] for name in (kinds if columns is None else columns)}
        for first, lines in _chunks(path, self._batch_bytes):
            yield first, _batch(_objects(lines, first), chosen, len(lines))

    def write(self, path: Path, target: Path, transform: Transform) -> None:
        """A renamed column keeps its place and its values' text."""
        import pyarrow as pa

        kinds = self._kinds(path)
        with target.open("xb") as file:
            for first, lines in _chunks(path, self._batch_bytes):
                batch = _batch(_objects(lines, first), kinds, len(lines))
                batch = batch.append_column(pa.field(LINE, pa.binary()), pa.array(lines, pa.binary()))
                file.writelines(_lines(transform(batch, first), kinds))

    def _kinds(self, path: Path) -> Kinds:
        state = path.stat()
        return _kinds_of(path, (state.st_ino, state.st_size, state.st_mtime_ns), self._batch_bytes)


@lru_cache(maxsize=8)
def _kinds_of(path: Path, state: tuple[int, int, int], batch_bytes: int) -> Kinds:
    """Read once for each state of a file: a fault asks for it at each of its passes."""
    seen: dict[str, set[str]] = {}
    for first, lines in _chunks(path, batch_bytes):
        for entry in _objects(lines, first):
            for name, value in entry.items():
                known = seen.setdefault(name, set())
                if value is not None:
                    known.add(_kind(value))
    return {name: _common(kinds) for name, kinds in seen.items()}


def _chunks(path: Path, size: int) -> Iterator[tuple[int, list[bytes]]]:
    first = 0
    with path.open("rb") as file:
        while lines := file.readlines(size):
            kept = [line for line in lines if line.strip()]
            if kept:
                yield first, kept
            first += len(kept)


def _objects(lines: Sequence[bytes], first: int) -> list[dict[str, Any]]:
    found = []
    for number, line in enumerate(lines, first + 1):
        try:
            entry = json.loads(line)
        except ValueError as error:
            raise InjectError(f"line {number} is no JSON", remedy="declare the format that the file has") from error
        if not isinstance(entry, dict):
            raise InjectError(f"line {number} is no JSON object", remedy="only lines of {...} have columns")
        found.append(entry)
    return found


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int):
        return "int" if -_INT64 <= value < _INT64 else "json"
    if isinstance(value, float):
        return "float"
    return "text" if isinstance(value, str) else "json"


def _common(kinds: set[str]) -> str:
    if len(kinds) == 1:
        return next(iter(kinds))
    return "float" if kinds == {"int", "float"} else "json" if kinds else "text"


def _type(kind: str) -> pa.DataType:
    import pyarrow as pa

    return {"bool": pa.bool_(), "int": pa.int64(), "float": pa.float64()}.get(kind, pa.string())


def _schema(kinds: Kinds) -> pa.Schema:
    import pyarrow as pa

    return pa.schema([(name, _type(kind)) for name, kind in kinds.items()])


def _batch(objects: Sequence[Mapping[str, Any]], kinds: Kinds, rows: int) -> pa.RecordBatch:
    import pyarrow as pa

    if not kinds:
        return pa.RecordBatch.from_struct_array(pa.array([{}] * rows, pa.struct([])))
    columns = [
        pa.array([_decoded(entry.get(name), kind) for entry in objects], _type(kind)) for name, kind in kinds.items()
    ]
    return pa.RecordBatch.from_arrays(columns, schema=_schema(kinds))


def _decoded(value: Any, kind: str) -> Any:
    """A JSON value as the column has it."""
    if kind == "json" and value is not None:
        return json.dumps(value, ensure_ascii=False)
    return float(value) if kind == "float" and value is not None else value


def _lines(batch: pa.RecordBatch, kinds: Kinds) -> Iterator[bytes]:
    names = [name for name in batch.schema.names if name != LINE]
    was = _former(names, kinds)
    columns = [batch.column(name).to_pylist() for name in names]
    for row, line in enumerate(batch.column(LINE).to_pylist()):
        values = {name: column[row] for name, column in zip(names, columns, strict=True)}
        yield _line(line, values, was, kinds)


def _former(names: Sequence[str], kinds: Kinds) -> dict[str, str]:
    """What each column was called: one that vanished while one appeared was renamed."""
    gone, new = [name for name in kinds if name not in names], [name for name in names if name not in kinds]
    renamed = {new[0]: gone[0]} if len(gone) == len(new) == 1 else {}
    return {name: renamed.get(name, name) for name in names}


def _line(line: bytes, values: Mapping[str, Any], was: Mapping[str, str], kinds: Kinds) -> bytes:
    before = json.loads(line)
    now = {old: name for name, old in was.items()}
    after: dict[str, Any] = {}
    for old in (*before, *(old for old in now if old not in before)):
        if old not in now:
            continue  # dropped
        value, kind = values[now[old]], kinds.get(old, "new")
        if value is None and old not in before and kind != "new":
            continue  # absent, and still is
        same = kind != "new" and _equal(_decoded(before.get(old), kind), value)
        after[now[old]] = before.get(old) if same else _encoded(value, kind)
    if list(after) == list(before) and all(_equal(after[name], before[name]) for name in after):
        return line if line.endswith(b"\n") else line + b"\n"
    text = line.decode("utf-8", errors="replace")
    separators = (", ", ": ") if '": ' in text else (",", ":")
    return json.dumps(after, ensure_ascii=text.isascii(), separators=separators).encode() + b"\n"


def _equal(one: Any, other: Any) -> bool:
    return type(one) is type(other) and (one == other or (one != one and other != other))


def _encoded(value: Any, kind: str) -> Any:
    """A column's value as JSON has it."""
    if kind != "json" or value is None or not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return value  # what was JSON is text now: that is the damage
