"""Arrow columns as numbers and back, whether the file has types (Parquet) or only text (CSV)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue

from chaos_tasks.errors import InjectError

if TYPE_CHECKING:
    import pyarrow as pa


def is_null(column: pa.Array) -> NDArray[np.bool_]:
    """Null, or a floating-point NaN, which is how pandas writes missing numbers."""
    import pyarrow.compute as pc

    return np.asarray(pc.is_null(column, nan_is_null=True).to_numpy(zero_copy_only=False), dtype=np.bool_)


def as_floats(column: pa.Array, name: str) -> NDArray[np.float64]:
    """Numbers, null as NaN; raises InjectError when the column holds something else."""
    import pyarrow as pa
    import pyarrow.compute as pc

    try:
        numbers = pc.cast(plain(column), pa.float64(), safe=False)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise InjectError(f"column {name} is no number ({column.type})", remedy="name a numeric column") from error
    return np.asarray(pc.fill_null(numbers, np.nan).to_numpy(zero_copy_only=False), dtype=np.float64)


def plain(column: pa.Array) -> pa.Array:
    """A dictionary-encoded column decoded."""
    import pyarrow as pa

    return column.dictionary_decode() if pa.types.is_dictionary(column.type) else column


def replaced(column: pa.Array, mask: NDArray[np.bool_], values: pa.Array) -> pa.Array:
    """The column with ``values`` (one per row) where the mask is set; type and dictionary are kept."""
    import pyarrow as pa
    import pyarrow.compute as pc

    changed = pc.if_else(pa.array(mask), values, plain(column))
    return _with_type_of(column, changed)


def nulled(column: pa.Array, mask: NDArray[np.bool_]) -> pa.Array:
    """The column with nulls where the mask is set; type and dictionary are kept."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_dictionary(column.type):
        indices = pc.if_else(pa.array(mask), pa.scalar(None, column.type.index_type), column.indices)
        return pa.DictionaryArray.from_arrays(indices, column.dictionary, ordered=column.type.ordered)
    return pc.if_else(pa.array(mask), pa.scalar(None, column.type), column)


def _with_type_of(column: pa.Array, changed: pa.Array) -> pa.Array:
    import pyarrow as pa
    import pyarrow.compute as pc

    if not pa.types.is_dictionary(column.type):
        return changed.cast(column.type)
    known = column.dictionary
    new = [value for value in pc.unique(changed).to_pylist() if value is not None and value not in known.to_pylist()]
    values = pa.concat_arrays([known, pa.array(new, known.type)])
    indices = pc.index_in(changed, value_set=values).cast(column.type.index_type)
    return pa.DictionaryArray.from_arrays(indices, values, ordered=column.type.ordered)


def from_floats(numbers: NDArray[np.float64], kind: pa.DataType) -> pa.Array:
    """Numbers in a column's type; as text, whole numbers are written without a fraction."""
    import pyarrow as pa

    missing = np.isnan(numbers)
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        texts = [
            None if gone else str(int(x)) if x.is_integer() else repr(x)
            for x, gone in zip(numbers.tolist(), missing, strict=True)
        ]
        return pa.array(texts, kind)
    if pa.types.is_integer(kind):
        return pa.array(np.where(missing, 0, numbers).astype(np.int64), mask=missing).cast(kind)
    return pa.array(numbers, mask=missing).cast(kind)


def equals_any(column: pa.Array, wanted: list[JsonValue]) -> NDArray[np.bool_]:
    """Which rows hold one of the values; in a text column, values are compared as text."""
    import pyarrow.compute as pc

    values = plain(column)
    hit = pc.is_in(values, value_set=scalars(wanted, values.type))
    return np.asarray(hit.to_numpy(zero_copy_only=False), dtype=np.bool_) & ~is_null(column)


def scalars(values: list[JsonValue], kind: pa.DataType) -> pa.Array:
    """Values of a file in a column's type; raises InjectError when they do not fit."""
    import pyarrow as pa

    text = pa.types.is_string(kind) or pa.types.is_large_string(kind)
    try:
        return pa.array([str(value) for value in values] if text else values).cast(kind)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError) as error:
        raise InjectError(
            f"a value does not fit the column's type {kind}", remedy="write values of that type"
        ) from error
