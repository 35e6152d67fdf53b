"""Rows that come twice: a batch delivered again, a join that multiplies, a sink without exactly-once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from pydantic import Field

from chaos_tasks.faults.base import FaultContext
from chaos_tasks.faults.data.drawing import MaskFile, Scored, threshold, uniforms
from chaos_tasks.faults.data.rows import format_of
from chaos_tasks.faults.data.version import Change, VersionFault, VersionParams
from chaos_tasks.model.formats import ALL
from chaos_tasks.model.handle import Handle
from chaos_tasks.model.place import Place
from chaos_tasks.targets.formats.files import file_format, rewrite

if TYPE_CHECKING:
    import pyarrow as pa

KIND = "data.duplicate_rows"


class DuplicateRowsParams(VersionParams):
    """How many rows come again, and how often."""

    intensity_field: ClassVar[str | None] = "fraction"
    fraction: float = Field(ge=0, le=1, description="Share (0..1) of the rows that come again, exactly.")
    copies: int = Field(1, ge=1, le=100, description="How many more times each of them comes, 1 to 100.")


class DuplicateRows(VersionFault[DuplicateRowsParams]):
    """Repeats exactly round(fraction x rows) rows, each right after itself; no value is changed."""

    kind = KIND
    summary = "Repeat a share of the rows of a data version"
    cause = "At-least-once delivery, a load that is run again, a join on a key that is not unique"
    params_type = DuplicateRowsParams
    formats = ALL

    def blast_radius(self, place: Place, params: DuplicateRowsParams) -> float:
        """The fraction: the other rows are left alone."""
        return params.fraction

    def change(self, handle: Handle, file: Path, params: DuplicateRowsParams, ctx: FaultContext) -> Change:
        """Repeat, and say how many."""
        name = format_of(handle)
        adapter = file_format(name)
        any_column = adapter.schema(file).names[:1]  # read to know how many rows a batch has

        def score(batch: pa.RecordBatch, first: int) -> Scored:
            everyone = np.ones(batch.num_rows, dtype=np.bool_)
            return uniforms(handle.seed, KIND, "", first, batch.num_rows), everyone

        def scores() -> Iterator[Scored]:
            return (score(batch, first) for first, batch in adapter.batches(file, any_column))

        limit = threshold(scores, params.fraction)
        mask = MaskFile()

        def repeat(batch: pa.RecordBatch, first: int) -> pa.RecordBatch:
            hit = limit.mask(score(batch, first))
            mask.add(hit)
            return batch.take(np.repeat(np.arange(batch.num_rows), 1 + params.copies * hit))

        if limit.chosen:
            rewrite(name, file, repeat)
        return _report(mask, limit.eligible, params)


def _report(mask: MaskFile, rows: int, params: DuplicateRowsParams) -> Change:
    _, digest = mask.finish()
    return Change(
        summary=f"{mask.changed} of {rows} rows come {1 + params.copies} times",
        effective=mask.changed > 0,
        evidence={
            "rows": rows,
            "repeated": mask.changed,
            "rows_after": rows + params.copies * mask.changed,
            "mask_sha256": digest,
        },
    )
