"""Why a run never began: guards refuse before a plan is registered, so there is nothing to judge or publish."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chaos_tasks.model.record import Note, RecordKind

if TYPE_CHECKING:
    from chaos_tasks.composition import Squall


def refusal_of(squall: Squall, run_id: str) -> str:
    """The reason of the last refusal of a run without a plan; empty for a run that has one, or a verdict (a ramp)."""
    from chaos_tasks.runs import Run

    run = Run(squall.ledger, run_id)
    if run.registered() is not None or run.verdict() is not None:
        return ""
    notes = [payload.text for payload in run.payloads(RecordKind.RUN_REFUSED) if isinstance(payload, Note)]
    return notes[-1] if notes else "it was never registered; look at the log of the first failed task"
