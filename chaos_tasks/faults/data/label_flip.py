"""Labels on the wrong side: annotators, joins or upstream rules got some of them wrong."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np
from pydantic import Field, JsonValue, model_validator

from chaos_tasks.errors import InjectError
from chaos_tasks.faults.base import FaultContext
from chaos_tasks.faults.data import columns
from chaos_tasks.faults.data.drawing import Floats, Mask, Scored, uniforms
from chaos_tasks.faults.data.rows import ColumnChange, Hit, Mutate, change_columns, format_of, require_columns
from chaos_tasks.faults.data.version import Change, VersionFault, VersionParams
from chaos_tasks.model.formats import ARRAYS, FOLDERS, TABLES
from chaos_tasks.model.handle import Handle
from chaos_tasks.model.place import Place
from chaos_tasks.targets.formats.base import FileFormat
from chaos_tasks.targets.formats.files import file_format

if TYPE_CHECKING:
    import pyarrow as pa

KIND = "data.label_flip"


class LabelFlipParams(VersionParams):
    """Which labels, and how many of them."""

    intensity_field: ClassVar[str | None] = "fraction"
    column: str = Field(description="Column of the label: two-valued, or a number with `threshold`.")
    fraction: float = Field(ge=0, le=1, description="Share (0..1) of the eligible labels that are flipped, exactly.")
    where: Mapping[str, JsonValue] = Field(
        default_factory=dict, description="Only rows where each column equals the value, or one of the listed values."
    )
    threshold: float | None = Field(
        None,
        description="For a number that becomes a label by `value >= threshold`: flip by reflecting the value about it, "
        "within the range that the column has.",
    )
    from_value: JsonValue = Field(None, description="Flip only labels with this value (asymmetric noise).")
    to_value: JsonValue = Field(None, description="The value that they get; by default the other one.")

    @model_validator(mode="after")
    def _one_way_of_flipping(self) -> Self:
        if self.threshold is not None and (self.from_value is not None or self.to_value is not None):
            raise ValueError("`threshold` flips both sides; leave out `from_value` and `to_value`")
        if self.to_value is not None and self.from_value is None:
            raise ValueError("`to_value` needs `from_value`")
        return self


class LabelFlip(VersionFault[LabelFlipParams]):
    """Flips exactly round(fraction x eligible) labels; a larger fraction flips a superset of the same rows."""

    kind = KIND
    summary = "Flip a share of the labels of a data version"
    cause = (
        "Wrong annotations, a label joined to the wrong row, a rule changed upstream (Northcutt et al., NeurIPS 2021)"
    )
    params_type = LabelFlipParams
    formats = (*TABLES, *ARRAYS, *FOLDERS)

    def blast_radius(self, place: Place, params: LabelFlipParams) -> float:
        """The fraction: eligible rows are at most all rows."""
        return params.fraction

    def change(self, handle: Handle, file: Path, params: LabelFlipParams, ctx: FaultContext) -> Change:
        """Flip and say how many."""
        adapter = file_format(format_of(handle))
        reads = (params.column, *(name for name in params.where if name != params.column))
        require_columns(adapter.schema(file), file, list(reads))

        def score(batch: pa.RecordBatch, first: int) -> Scored:
            return uniforms(handle.seed, KIND, params.column, first, batch.num_rows), _eligible(batch, params)

        mutate = _reflection(adapter, file, params) if params.threshold is not None else _swap(adapter, file, params)
        (hit,) = change_columns(handle, file, ctx, [ColumnChange(params.column, reads, score, mutate)], params.fraction)
        return _report(hit)


def _eligible(batch: pa.RecordBatch, params: LabelFlipParams) -> Mask:
    chosen = ~columns.is_null(batch.column(params.column))
    for name, value in params.where.items():
        chosen &= columns.equals_any(batch.column(name), value if isinstance(value, list) else [value])
    if params.from_value is not None:
        chosen &= columns.equals_any(batch.column(params.column), [params.from_value])
    return chosen


def _swap(adapter: FileFormat, file: Path, params: LabelFlipParams) -> Mutate:
    """Each of two values becomes the other."""
    import pyarrow.compute as pc

    found = _two_values(adapter, file, params)

    def mutate(batch: pa.RecordBatch, hit: Mask) -> pa.Array:
        column = batch.column(params.column)
        values = columns.plain(column)
        first, second = columns.scalars(found, values.type)
        is_first = pc.fill_null(pc.equal(values, first), False)
        return columns.replaced(column, hit, pc.if_else(is_first, second, first))

    return mutate


def _two_values(adapter: FileFormat, file: Path, params: LabelFlipParams) -> list[JsonValue]:
    if params.to_value is not None:
        return [params.from_value, params.to_value]
    found: set[JsonValue] = set()
    for _, batch in adapter.batches(file, [params.column]):
        column = batch.column(params.column)
        found |= set(columns.plain(column).filter(~columns.is_null(column)).unique().to_pylist())
        if len(found) > 2:
            break
    if len(found) != 2:
        count = "more than 2" if len(found) > 2 else str(len(found))
        raise InjectError(
            f"column {params.column} has {count} values, so `the other one` has no meaning",
            remedy="give `threshold`, or `from_value` and `to_value`",
        )
    return sorted(found, key=str)


def _reflection(adapter: FileFormat, file: Path, params: LabelFlipParams) -> Mutate:
    """v -> 2t - v: as far beyond the threshold as it was before it, and never outside the column's own range."""
    import pyarrow as pa

    limit = float(params.threshold or 0.0)
    low, high = _range(adapter, file, params.column)
    if not low < limit <= high:
        raise InjectError(
            f"all values of {params.column} are on one side of the threshold {limit}",
            remedy="choose a threshold inside the column's range",
        )

    def mutate(batch: pa.RecordBatch, hit: Mask) -> pa.Array:
        column = batch.column(params.column)
        kind = columns.plain(column).type
        reflected = reflect(columns.as_floats(column, params.column), limit, low, high)
        if pa.types.is_integer(kind):  # round away from the limit, or a fractional one would not be crossed
            reflected = np.where(reflected >= limit, np.ceil(reflected), np.floor(reflected))
        return columns.replaced(column, hit, columns.from_floats(reflected, kind))

    return mutate


def reflect(values: Floats, limit: float, low: float, high: float) -> Floats:
    """The other side of `value >= limit`, kept within [low, high]; whole numbers stay whole when the limit is whole.

    The limit itself belongs to the upper side, so it goes one below (or half-way to ``low`` where that is closer).
    """
    mirrored = 2 * limit - values
    mirrored = np.where(values == limit, max(limit - 1.0, (limit + low) / 2), mirrored)
    return np.clip(mirrored, low, high)


def _range(adapter: FileFormat, file: Path, column: str) -> tuple[float, float]:
    low, high = np.inf, -np.inf
    for _, batch in adapter.batches(file, [column]):
        values = columns.as_floats(batch.column(column), column)
        known = values[np.isfinite(values)]
        if len(known):
            low, high = min(low, float(known.min())), max(high, float(known.max()))
    return low, high


def _report(hit: Hit) -> Change:
    return Change(
        summary=f"{hit.changed} of {hit.eligible} eligible labels in {hit.column} flipped",
        effective=hit.changed > 0,
        evidence={"column": hit.column, **hit.evidence()},
    )
