"""One NumPy array as rows: its header, some rows at a time as columns, and rows written behind a new header.

The first axis counts the rows.  A vector is one column, a matrix of at most MOST_COLUMNS columns has numbers for names,
a structured array has its fields; of whatever else (images, wider matrices) a row is one column of bytes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from chaos_tasks.errors import InjectError

if TYPE_CHECKING:
    import pyarrow as pa

MOST_COLUMNS = 1000
Rows = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class Layout:
    """What the header of an array says, and what its columns are called."""

    name: str  # "" for a file that is one array
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    by_columns: bool  # in the order of Fortran
    start: int

    @property
    def row_bytes(self) -> int:
        """Of one row."""
        return max(1, self.dtype.itemsize * math.prod(self.shape[1:]))

    @property
    def columns(self) -> tuple[str, ...]:
        """Their names."""
        if self.dtype.names and len(self.shape) == 1:
            return tuple(self._called(field) for field in self.dtype.names)
        if self._is_matrix:
            return tuple(self._called(str(index)) for index in range(self.shape[1]))
        return (self.name or ("value" if len(self.shape) == 1 else "row"),)

    @property
    def _is_matrix(self) -> bool:
        plain = self.dtype.kind in "biufUS"
        return len(self.shape) == 2 and plain and 0 < self.shape[1] <= MOST_COLUMNS

    def _called(self, part: str) -> str:
        return f"{self.name}.{part}" if self.name else part

    def types(self) -> list[pa.DataType]:
        """Of each column."""
        import pyarrow as pa

        if self.dtype.names and len(self.shape) == 1:
            return [_type(self.dtype[field]) for field in self.dtype.names]
        if self._is_matrix or len(self.shape) == 1:
            return [_type(self.dtype)] * len(self.columns)
        return [pa.binary(self.row_bytes)]

    def decode(self, rows: Rows) -> list[pa.Array]:
        """Rows as columns."""
        import pyarrow as pa

        if self.dtype.names and len(self.shape) == 1:
            return [_column(rows[field]) for field in self.dtype.names]
        if self._is_matrix:
            return [_column(rows[:, index]) for index in range(self.shape[1])]
        if len(self.shape) == 1:
            return [_column(rows)]
        flat = np.ascontiguousarray(rows).tobytes()
        size = self.row_bytes
        return [pa.array([flat[at : at + size] for at in range(0, len(flat), size)], pa.binary(size))]

    def encode(self, batch: pa.RecordBatch) -> bytes:
        """Columns as the bytes of rows, in the order of C; raises InjectError for a value that the type cannot hold."""
        missing = [name for name in self.columns if name not in batch.schema.names]
        if missing:
            raise InjectError(f"an array cannot lose its column {missing[0]}", remedy="name a fault that claims arrays")
        values = [batch.column(name) for name in self.columns]
        if self.dtype.names and len(self.shape) == 1:
            rows = np.empty(batch.num_rows, self.dtype)
            for field, name, column in zip(self.dtype.names, self.columns, values, strict=True):
                rows[field] = _values(column, self.dtype[field], name)
            return rows.tobytes()
        if self._is_matrix or len(self.shape) == 1:
            found = [_values(column, self.dtype, name) for name, column in zip(self.columns, values, strict=True)]
            return np.ascontiguousarray(np.stack(found, axis=1), dtype=self.dtype).tobytes()
        return b"".join(values[0].to_pylist())


def read_layout(file: IO[bytes], name: str = "") -> Layout:
    """The header; raises InjectError for pickled objects and for what is no array."""
    try:
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, by_columns, dtype = read(file)
    except ValueError as error:
        raise InjectError(f"{name or 'the file'} is no array of NumPy's", remedy="write it with np.save") from error
    if dtype.hasobject:
        raise InjectError(
            f"{name or 'the array'} holds Python objects, which only unpickling could read",
            remedy="save it with a type of numbers or text",
        )
    return Layout(name, dtype, tuple(shape), by_columns and len(shape) > 1, file.tell())


def read_rows(file: IO[bytes], layout: Layout, first: int, count: int) -> Rows:
    """Some rows; ``file`` stands at the first of them, or can seek where the array is in the order of Fortran."""
    tail = layout.shape[1:]
    if not layout.by_columns:
        data = _exactly(file, count * layout.row_bytes, layout)
        return np.frombuffer(data, layout.dtype).reshape((count, *tail))
    parts = []
    for column in range(math.prod(tail)):
        file.seek(layout.start + (column * layout.shape[0] + first) * layout.dtype.itemsize)
        parts.append(np.frombuffer(_exactly(file, count * layout.dtype.itemsize, layout), layout.dtype))
    return np.stack(parts, axis=1).reshape((count, *tail), order="F")


def steps(rows: int, row_bytes: int, batch_bytes: int) -> Iterator[tuple[int, int]]:
    """(first row, how many) of each batch."""
    size = max(1, batch_bytes // max(1, row_bytes))
    for first in range(0, rows, size):
        yield first, min(size, rows - first)


def write_header(file: IO[bytes], layout: Layout, rows: int) -> int:
    """NumPy leaves room in it for a longer first axis, so that it can be written again; returns its length."""
    header = {
        "descr": np.lib.format.dtype_to_descr(layout.dtype),
        "fortran_order": False,
        "shape": (rows, *layout.shape[1:]),
    }
    file.seek(0)
    try:
        np.lib.format.write_array_header_1_0(file, header)
    except ValueError:  # very many fields
        file.seek(0)
        np.lib.format.write_array_header_2_0(file, header)
    return file.tell()


def _exactly(file: IO[bytes], size: int, layout: Layout) -> bytes:
    data = file.read(size)
    if len(data) != size:
        raise InjectError(f"{layout.name or 'the array'} ends before its last row", remedy="write it again")
    return data


def _type(dtype: np.dtype[Any]) -> pa.DataType:
    import pyarrow as pa

    if dtype.kind in "biuf" and dtype.itemsize <= 8:
        return pa.float32() if dtype == np.float16 else pa.from_numpy_dtype(dtype.newbyteorder("="))
    return {"U": pa.string(), "S": pa.binary()}.get(dtype.kind, pa.binary(max(1, dtype.itemsize)))


def _column(values: Rows) -> pa.Array:
    """An empty text is a missing one, as in CSV."""
    import pyarrow as pa

    kind = _type(values.dtype)
    if pa.types.is_fixed_size_binary(kind):
        size = kind.byte_width
        flat = np.ascontiguousarray(values).tobytes()
        return pa.array([flat[at : at + size] for at in range(0, len(flat), size)], kind)
    if values.dtype.kind in "US":
        return pa.array([value or None for value in values.tolist()], kind)
    return pa.array(np.ascontiguousarray(values).astype(values.dtype.newbyteorder("=")), type=kind)


def _values(column: pa.Array, dtype: np.dtype[Any], name: str) -> Rows:
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_fixed_size_binary(column.type):
        return np.frombuffer(b"".join(column.to_pylist()), dtype)
    if dtype.kind in "US":
        return _texts(column.fill_null("" if dtype.kind == "U" else b"").to_pylist(), dtype, name)
    if dtype.kind == "f":
        return np.asarray(pc.fill_null(column, np.nan).to_numpy(zero_copy_only=False)).astype(dtype)
    if column.null_count:
        raise InjectError(f"column {name} is {dtype}, which has no missing values", remedy="choose a column of floats")
    return np.asarray(column.to_numpy(zero_copy_only=False)).astype(dtype)


def _texts(values: Sequence[Any], dtype: np.dtype[Any], name: str) -> Rows:
    longest = dtype.itemsize // (4 if dtype.kind == "U" else 1)
    if any(len(value) > longest for value in values):
        raise InjectError(f"column {name} holds texts of at most {longest}", remedy="choose a shorter value")
    return np.array(values, dtype)
