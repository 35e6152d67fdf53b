"""Why a run never began: a guard refused it, or a person did, so there is nothing to judge or publish."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chaos_tasks.model.record import Note, RecordKind

if TYPE_CHECKING:
    from chaos_tasks.composition import Squall


def refusal_of(squall: Squall, run_id: str) -> str:
    """The reason of the last refusal of a run without a plan, or without an approval.

    Empty for a run that has both, or a verdict (a ramp).
    """
    from chaos_tasks.runs import Run

    run = Run(squall.ledger, run_id)
    if run.verdict() is not None:
        return ""
    told = [payload for payload in run.payloads(RecordKind.RUN_REFUSED) if isinstance(payload, Note)]
    notes = [note.text for note in told]
    if run.registered() is not None:  # one that nobody agreed to has its plan, and nothing after it
        return next((note.text for note in reversed(told) if note.facts.get("approval")), "")
    return notes[-1] if notes else "it was never registered; look at the log of the first failed task"
