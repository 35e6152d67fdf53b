"""A fault that changes values of one column in chosen rows, and keeps the ground truth of which."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import JsonValue

from chaos_tasks.errors import InjectError
from chaos_tasks.faults.base import FaultContext
from chaos_tasks.faults.data.drawing import Mask, MaskFile, Scored, Threshold, threshold
from chaos_tasks.faults.data.version import note_name
from chaos_tasks.model.formats import Form
from chaos_tasks.model.handle import Handle
from chaos_tasks.model.place import DvcPlace
from chaos_tasks.targets.formats.base import FileFormat
from chaos_tasks.targets.formats.files import file_format, rewrite

if TYPE_CHECKING:
    import pyarrow as pa

Score = Callable[["pa.RecordBatch", int], Scored]
Mutate = Callable[["pa.RecordBatch", Mask], "pa.Array"]  # the column of a batch, with the hit rows changed


@dataclass(frozen=True)
class ColumnChange:
    """How one column is hurt: the score of each row (smallest are hit), and the new values of those hit."""

    column: str
    reads: tuple[str, ...]  # columns that the score looks at
    score: Score
    mutate: Mutate
    nullable: bool = False  # the column must admit nulls afterwards


@dataclass(frozen=True)
class Hit:
    """What happened to one column."""

    column: str
    rows: int
    eligible: int
    changed: int
    mask_sha256: str

    def evidence(self) -> dict[str, JsonValue]:
        """For a receipt: of how many rows how many could be hit, how many were, and which (a digest)."""
        return {
            "rows": self.rows,
            "eligible": self.eligible,
            "changed": self.changed,
            "mask_sha256": self.mask_sha256,
        }


def format_of(handle: Handle) -> Form:
    """What the adapter of the place's data is looked up by."""
    if not isinstance(handle.place, DvcPlace):
        raise InjectError(f"a data fault cannot act on a place of type {handle.place.type}", handle_id=handle.id)
    return handle.place.form


def change_columns(
    handle: Handle, file: Path, ctx: FaultContext, changes: list[ColumnChange], fraction: float
) -> list[Hit]:
    """Choose rows of each column on its own, rewrite the file once, and keep one mask per column in scratch."""
    name = format_of(handle)
    adapter = file_format(name)
    limits = [threshold(_scores(adapter, file, change), fraction) for change in changes]
    masks = [MaskFile() for _ in changes]
    if any(limit.chosen for limit in limits):
        rewrite(name, file, _transform(changes, limits, masks))
    return [
        _record(ctx, handle, change, limit, mask) for change, limit, mask in zip(changes, limits, masks, strict=True)
    ]


def _scores(adapter: FileFormat, file: Path, change: ColumnChange) -> Callable[[], Iterator[Scored]]:
    return lambda: (change.score(batch, first) for first, batch in adapter.batches(file, change.reads))


def _transform(
    changes: list[ColumnChange], limits: list[Threshold], masks: list[MaskFile]
) -> Callable[[pa.RecordBatch, int], pa.RecordBatch]:
    def transform(batch: pa.RecordBatch, first: int) -> pa.RecordBatch:
        changed = batch
        for change, limit, mask in zip(changes, limits, masks, strict=True):
            hit = limit.mask(change.score(batch, first))  # scored on what was read, not on what this pass wrote
            mask.add(hit)
            changed = _set(changed, change, change.mutate(batch, hit))
        return changed

    return transform


def _set(batch: pa.RecordBatch, change: ColumnChange, values: pa.Array) -> pa.RecordBatch:
    index = batch.schema.get_field_index(change.column)
    field = batch.schema.field(index)
    return batch.set_column(index, field.with_nullable(True) if change.nullable else field, values)


def _record(ctx: FaultContext, handle: Handle, change: ColumnChange, limit: Threshold, mask: MaskFile) -> Hit:
    packed, digest = mask.finish()
    ctx.scratch.mkdir(parents=True, exist_ok=True)
    (ctx.scratch / f"{note_name(handle)}.{change.column.replace('/', '_')}.mask").write_bytes(packed)
    return Hit(change.column, mask.rows, limit.eligible, mask.changed, digest)


def require_columns(schema: pa.Schema, file: Path, columns: list[str]) -> None:
    """Raises InjectError naming columns that the file lacks."""
    missing = [name for name in columns if name not in schema.names]
    if missing:
        raise InjectError(
            f"{file.name} has no column {', '.join(missing)}", remedy=f"its columns are {', '.join(schema.names)}"
        )
