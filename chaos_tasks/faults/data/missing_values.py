"""Values that are gone: a sensor, a join or an upstream export lost them, by chance or not by chance."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, Self

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
from chaos_tasks.targets.formats.base import FileFormat
from chaos_tasks.targets.formats.files import file_format

if TYPE_CHECKING:
    import pyarrow as pa

KIND = "data.missing_values"
WEIGHT_ABOVE_MEDIAN = 9.0  # a value above the median is nine times as likely to be lost as one below
SAMPLE_ROWS = 200_000


class MissingValuesParams(VersionParams):
    """Which columns lose values, how many, and what decides which."""

    intensity_field: ClassVar[str | None] = "fraction"
    columns: tuple[str, ...] = Field(min_length=1, description="Columns that lose values, each in rows of its own.")
    fraction: float = Field(ge=0, le=1, description="Share (0..1) of the present values that are lost, exactly.")
    mechanism: Literal["mcar", "mar", "mnar"] = Field(
        "mcar",
        description="mcar: by chance; mar: more often where `given` is above its median; mnar: more often where the "
        "value itself is (odds 9:1).",
    )
    given: str | None = Field(None, description="For mar: the numeric column that decides.")

    @model_validator(mode="after")
    def _given_goes_with_mar(self) -> Self:
        if (self.mechanism == "mar") != (self.given is not None):
            raise ValueError("`given` names the deciding column of mechanism `mar`, and of no other")
        if self.given in self.columns:
            raise ValueError("`given` must stay whole: it cannot be among `columns` (that would be mnar)")
        if len(set(self.columns)) != len(self.columns):
            raise ValueError("`columns` names one twice")
        return self


class MissingValues(VersionFault[MissingValuesParams]):
    """Loses exactly round(fraction x present) values of each column; a larger fraction loses a superset."""

    kind = KIND
    summary = "Lose a share of the values of some columns (MCAR, MAR or MNAR)"
    cause = (
        "A sensor that fails, a join without a match, a form that people leave out (Rubin 1976; as in Jenga, tab_err)"
    )
    params_type = MissingValuesParams
    formats = (*TABLES, *ARRAYS)

    def blast_radius(self, place: Place, params: MissingValuesParams) -> float:
        """Columns lose values in rows of their own: at most the sum."""
        return min(1.0, params.fraction * len(params.columns))

    def change(self, handle: Handle, file: Path, params: MissingValuesParams, ctx: FaultContext) -> Change:
        """Lose them and say how many."""
        adapter = file_format(format_of(handle))
        require_columns(adapter.schema(file), file, [*params.columns, *([params.given] if params.given else [])])
        changes = [_column_change(handle.seed, adapter, file, column, params) for column in params.columns]
        hits = change_columns(handle, file, ctx, changes, params.fraction)
        lost = sum(hit.changed for hit in hits)
        return Change(
            summary=f"{lost} of {sum(hit.eligible for hit in hits)} values lost in {', '.join(params.columns)}",
            effective=lost > 0,
            evidence={
                "mechanism": params.mechanism,
                "rows": max((hit.rows for hit in hits), default=0),
                "changed": {hit.column: hit.changed for hit in hits},
                "eligible": {hit.column: hit.eligible for hit in hits},
                "mask_sha256": {hit.column: hit.mask_sha256 for hit in hits},
            },
        )


def _column_change(
    seed: int, adapter: FileFormat, file: Path, column: str, params: MissingValuesParams
) -> ColumnChange:
    decides = {"mcar": None, "mar": params.given, "mnar": column}[params.mechanism]
    middle = 0.0 if decides is None else median(adapter, file, decides)

    def score(batch: pa.RecordBatch, first: int) -> Scored:
        drawn = uniforms(seed, KIND, column, first, batch.num_rows)
        present = ~columns.is_null(batch.column(column))
        if decides is None:
            return drawn, present
        above = columns.as_floats(batch.column(decides), decides) > middle
        return weighted(drawn, above), present

    def mutate(batch: pa.RecordBatch, hit: Mask) -> pa.Array:
        return columns.nulled(batch.column(column), hit)

    reads = (column,) if decides in (None, column) else (column, str(decides))
    return ColumnChange(column, reads, score, mutate, nullable=True)


def weighted(drawn: Floats, heavy: Mask) -> Floats:
    """Scores whose k smallest are a weighted sample without replacement (Efraimidis and Spirakis 2006)."""
    return np.asarray(1.0 - np.power(1.0 - drawn, np.where(heavy, 1.0 / WEIGHT_ABOVE_MEDIAN, 1.0)), dtype=np.float64)


def median(adapter: FileFormat, file: Path, column: str) -> float:
    """Median of every n-th row, at most SAMPLE_ROWS of them; raises InjectError when no value is present."""
    stride = max(1, -(-adapter.rows(file) // SAMPLE_ROWS))
    sample = np.concatenate([np.zeros(0), *_every(adapter, file, column, stride)])
    if not len(sample):
        raise InjectError(f"column {column} has no values", remedy="choose another column to decide")
    return float(np.median(sample))


def _every(adapter: FileFormat, file: Path, column: str, stride: int) -> Iterator[Floats]:
    for first, batch in adapter.batches(file, [column]):
        values = columns.as_floats(batch.column(column), column)[-first % stride :: stride]
        yield values[~np.isnan(values)]
