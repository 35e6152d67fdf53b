"""A schema that moved: a producer renamed, dropped, retyped or added a column without telling anyone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

from pydantic import Field, JsonValue, model_validator

from chaos_tasks.errors import InjectError
from chaos_tasks.faults.base import FaultContext
from chaos_tasks.faults.data import columns
from chaos_tasks.faults.data.rows import format_of, require_columns
from chaos_tasks.faults.data.version import Change, VersionFault, VersionParams
from chaos_tasks.model.formats import TABLES
from chaos_tasks.model.handle import Handle
from chaos_tasks.targets.formats.base import Transform
from chaos_tasks.targets.formats.files import file_format, rewrite

if TYPE_CHECKING:
    import pyarrow as pa

TYPES = ("string", "bool", "int32", "int64", "float32", "float64")


class SchemaDriftParams(VersionParams):
    """Which column drifts, and how."""

    change: Literal["rename", "drop", "retype", "add"] = Field(description="What the producer did to the column.")
    column: str = Field(description="The column; for `add`, the name of the new one, which is empty.")
    to: str | None = Field(
        None, description=f"For rename: the new name. For retype and add: the new type, one of {', '.join(TYPES)}."
    )

    @model_validator(mode="after")
    def _to_fits_the_change(self) -> Self:
        if (self.to is None) != (self.change == "drop"):
            raise ValueError("`to` is needed by rename, retype and add, and not used by drop")
        if self.change in ("retype", "add") and self.to not in TYPES:
            raise ValueError(f"`to` names a type here: {', '.join(TYPES)}")
        return self


class SchemaDrift(VersionFault[SchemaDriftParams]):
    """Every row is touched, no value is lost but those of a dropped column."""

    kind = "data.schema_drift"
    summary = "Rename, drop, retype or add a column of a data version"
    cause = "An upstream producer changes its export without notice (Breck et al., Data validation for ML, MLSys 2019)"
    params_type = SchemaDriftParams
    formats = TABLES

    def change(self, handle: Handle, file: Path, params: SchemaDriftParams, ctx: FaultContext) -> Change:
        """Rewrite the file under the new schema."""
        name = format_of(handle)
        before = file_format(name).schema(file)
        _check(before, params, file)
        rewrite(name, file, _transform(params))
        evidence: dict[str, JsonValue] = {
            "change": params.change,
            "column": params.column,
            "to": params.to or "",
            "columns_before": len(before),
            "columns_after": len(before) + {"drop": -1, "add": 1}.get(params.change, 0),
        }
        said = f"{params.change} of column {params.column}" + (f" to {params.to}" if params.to else "")
        return Change(summary=said, effective=True, evidence=evidence)  # the file's MD5 decides whether it changed


def _check(schema: pa.Schema, params: SchemaDriftParams, file: Path) -> None:
    taken = params.column if params.change == "add" else params.to if params.change == "rename" else None
    if taken in schema.names:
        raise InjectError(f"{file.name} already has a column {taken}", remedy="choose a new name")
    if params.change != "add":
        require_columns(schema, file, [params.column])
    if params.change == "drop" and len(schema) == 1:
        raise InjectError(f"{params.column} is the only column of {file.name}", remedy="choose another file")


def _transform(params: SchemaDriftParams) -> Transform:
    act = {"rename": _rename, "drop": _drop, "retype": _retype, "add": _add}[params.change]

    def transform(batch: pa.RecordBatch, first: int) -> pa.RecordBatch:
        changed = act(batch, params)
        # pandas keeps a list of columns in the metadata; a producer who drifts writes a new one, or none.
        metadata = {key: value for key, value in (changed.schema.metadata or {}).items() if key != b"pandas"}
        return changed.replace_schema_metadata(metadata)

    return transform


def _rename(batch: pa.RecordBatch, params: SchemaDriftParams) -> pa.RecordBatch:
    metadata = batch.schema.metadata
    renamed = batch.rename_columns([params.to if name == params.column else name for name in batch.schema.names])
    return renamed.replace_schema_metadata(metadata)


def _drop(batch: pa.RecordBatch, params: SchemaDriftParams) -> pa.RecordBatch:
    return batch.select([name for name in batch.schema.names if name != params.column])


def _retype(batch: pa.RecordBatch, params: SchemaDriftParams) -> pa.RecordBatch:
    index = batch.schema.get_field_index(params.column)
    field = batch.schema.field(index)
    values = _cast(columns.plain(batch.column(index)), params)
    return batch.set_column(index, field.with_type(values.type), values)


def _cast(values: pa.Array, params: SchemaDriftParams) -> pa.Array:
    import pyarrow as pa

    try:
        return values.cast(pa.type_for_alias(params.to), safe=False)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise InjectError(
            f"column {params.column} ({values.type}) has values that are no {params.to}", remedy="choose another type"
        ) from error


def _add(batch: pa.RecordBatch, params: SchemaDriftParams) -> pa.RecordBatch:
    import pyarrow as pa

    empty = pa.nulls(batch.num_rows, pa.type_for_alias(params.to))
    return batch.append_column(pa.field(params.column, empty.type), empty)
