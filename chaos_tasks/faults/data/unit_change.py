"""Values in another unit: metres for feet, cents for dollars, Celsius for Fahrenheit, in some rows or in all."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np
from pydantic import Field, model_validator

from chaos_tasks.errors import InjectError
from chaos_tasks.faults.base import FaultContext
from chaos_tasks.faults.data import columns
from chaos_tasks.faults.data.drawing import Floats, Mask, Scored, uniforms
from chaos_tasks.faults.data.rows import ColumnChange, change_columns, format_of, require_columns
from chaos_tasks.faults.data.version import Change, VersionFault, VersionParams
from chaos_tasks.model.formats import ARRAYS, TABLES
from chaos_tasks.model.handle import Handle
from chaos_tasks.model.place import Place
from chaos_tasks.targets.formats.files import file_format

if TYPE_CHECKING:
    import pyarrow as pa

KIND = "data.unit_change"


class UnitChangeParams(VersionParams):
    """Which column, how its values change, and in how many rows."""

    intensity_field: ClassVar[str | None] = "fraction"
    column: str = Field(description="Column of numbers.")
    factor: float = Field(1.0, description="value x factor + offset, e.g. 0.3048 for feet read as metres.")
    offset: float = Field(0.0, description="value x factor + offset, in the column's own unit.")
    fraction: float = Field(1.0, ge=0, le=1, description="Share (0..1) of the present values that change, exactly.")

    @model_validator(mode="after")
    def _changes_something(self) -> Self:
        if self.factor == 1 and self.offset == 0:
            raise ValueError("factor 1 and offset 0 leave every value as it is")
        if not np.isfinite([self.factor, self.offset]).all():
            raise ValueError("`factor` and `offset` are finite numbers")
        return self


class UnitChange(VersionFault[UnitChangeParams]):
    """Changes exactly round(fraction x present) values; whole numbers are rounded to whole numbers."""

    kind = KIND
    summary = "Give a share of the values of a column in another unit"
    cause = "A supplier, sensor or service that switched units without notice (as the Mars Climate Orbiter's, 1999)"
    params_type = UnitChangeParams
    formats = (*TABLES, *ARRAYS)

    def blast_radius(self, place: Place, params: UnitChangeParams) -> float:
        """The fraction: the other rows are left alone."""
        return params.fraction

    def change(self, handle: Handle, file: Path, params: UnitChangeParams, ctx: FaultContext) -> Change:
        """Change, and say how many."""
        name = params.column
        require_columns(file_format(format_of(handle)).schema(file), file, [name])

        def score(batch: pa.RecordBatch, first: int) -> Scored:
            present = ~np.isnan(columns.as_floats(batch.column(name), name))
            return uniforms(handle.seed, KIND, name, first, batch.num_rows), present

        def mutate(batch: pa.RecordBatch, hit: Mask) -> pa.Array:
            return _changed(batch.column(name), hit, params)

        (hit,) = change_columns(handle, file, ctx, [ColumnChange(name, (name,), score, mutate)], params.fraction)
        return Change(
            summary=f"{hit.changed} of {hit.eligible} values of {name} x {params.factor:g} + {params.offset:g}",
            effective=hit.changed > 0,
            evidence={"column": name, **hit.evidence()},
        )


def _changed(column: pa.Array, hit: Mask, params: UnitChangeParams) -> pa.Array:
    import pyarrow as pa

    kind = columns.plain(column).type
    values: Floats = columns.as_floats(column, params.column) * params.factor + params.offset
    if pa.types.is_integer(kind):
        values = np.round(values)
    try:
        return columns.replaced(column, hit, columns.from_floats(np.where(hit, values, np.nan), kind))
    except (pa.ArrowInvalid, OverflowError) as error:
        raise InjectError(
            f"a value of {params.column} does not fit {kind} in the other unit", remedy="choose a smaller factor"
        ) from error
