"""The shape of a data file, from its own schema: which columns are numbers, flags or small sets of groups."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import JsonValue

from chaos_tasks.targets.formats.base import Format
from chaos_tasks.targets.formats.files import file_format

if TYPE_CHECKING:
    import pyarrow as pa

FEW = 64
"""A column with at most so many distinct values can name groups."""
SMALLEST_GROUP = 0.02
"""Share of the rows below which a group is not named: too small to harm, and closer to naming rows."""


@dataclass(frozen=True)
class Column:
    """One column.  ``groups``: share of the rows by value, where values are few; ``middle``: median of a number."""

    name: str
    is_number: bool
    nulls: int
    distinct: int | None  # None for more than FEW
    groups: Mapping[JsonValue, float] = field(default_factory=dict)
    low: float | None = None
    middle: float | None = None
    high: float | None = None

    @property
    def is_flag(self) -> bool:
        """Whether it has exactly two values."""
        return self.distinct == 2

    @property
    def varies(self) -> bool:
        """Whether it has more than one value."""
        return self.distinct is None or self.distinct > 1


@dataclass(frozen=True)
class Profile:
    """One data file."""

    path: str
    rows: int
    columns: tuple[Column, ...]


def profile(root: Path, path: str, name: Format) -> Profile:
    """Read a file once, column by column; memory is bounded by its longest column."""
    adapter = file_format(name)
    file = root / path
    names = adapter.schema(file).names
    return Profile(path, adapter.rows(file), tuple(_column(root / path, one, name) for one in names))


def _column(file: Path, name: str, form: Format) -> Column:
    import pyarrow as pa
    import pyarrow.compute as pc

    from chaos_tasks.faults.data.columns import is_null, plain

    parts = [plain(batch.column(name)) for _, batch in file_format(form).batches(file, [name])]
    values = pa.chunked_array(parts) if parts else pa.chunked_array([pa.array([], pa.null())])
    gone = int(sum(is_null(part).sum() for part in parts))
    counts = (
        pc.value_counts(values.filter(pa.chunked_array([pa.array(~is_null(part)) for part in parts]))) if parts else []
    )
    few = len(counts) <= FEW
    groups = {one["values"].as_py(): one["counts"].as_py() / max(1, len(values)) for one in counts} if few else {}
    numbers = _numbers(values)
    low, middle, high = (None, None, None) if numbers is None else _quantiles(numbers)
    return Column(
        name=name,
        is_number=numbers is not None,
        nulls=gone,
        distinct=len(counts) if few else None,
        groups={value: share for value, share in groups.items() if isinstance(value, str | int | float | bool)},
        low=low,
        middle=middle,
        high=high,
    )


def _numbers(values: pa.ChunkedArray) -> pa.ChunkedArray | None:
    """As floats, or None where the column holds something else; text that reads as numbers throughout is numbers."""
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = values.type
    if pa.types.is_boolean(kind) or pa.types.is_temporal(kind) or pa.types.is_null(kind):
        return None
    try:
        numbers = pc.cast(values, pa.float64(), safe=False).drop_null()
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return None
    finite = numbers.filter(pc.is_finite(numbers))
    return finite if len(finite) else None


def _quantiles(numbers: pa.ChunkedArray) -> tuple[float, float, float]:
    import pyarrow.compute as pc

    low, middle, high = pc.quantile(numbers, q=[0.0, 0.5, 1.0]).to_pylist()
    return float(low), float(middle), float(high)
