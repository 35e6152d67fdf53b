"""Something else failed: was it us?  What of Squall's was in, or is still, when another DAG's task failed."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from chaos_tasks.model.handle import HARMFUL_PHASES, HandleState
from chaos_tasks.model.notice import Notice, NoticeKind, Sight
from chaos_tasks.model.record import Judged, RecordKind, Registered
from chaos_tasks.model.verdict import Outcome, Verdict
from chaos_tasks.notifying.sights import where
from chaos_tasks.ports import LedgerReader

MOST = 5
"""So many of each are named; the rest is counted."""


def failed_beside(
    ledger: LedgerReader, what: str, *, target: str = "", within: timedelta, at: datetime
) -> Notice | None:
    """A notice that names the faults that are in, and what deviated or stayed in lately; None where there is nothing.

    ``target``: of this one only; empty: of all.
    """
    still = [one for one in ledger.handles(phases=HARMFUL_PHASES) if _is_of(ledger, one.handle.run_id, target)]
    lately = [one for one in _judged(ledger, at - within) if _is_of(ledger, one.run_id, target)]
    if not still and not lately:
        return None
    parts = [_count(len(still), "fault is in", "faults are in")] if still else []
    parts += [_count(len(lately), "run needs somebody", "runs need somebody")] if lately else []
    return Notice(
        kind=NoticeKind.FAILED_BESIDE,
        about=what,
        sentence=f"{what} failed while {' and '.join(parts)}",
        occurred_at=at,
        look_at=(*_in(still), *_found(lately)),
        command=f"squall revert {still[0].handle.id}" if still else f"squall report {lately[0].run_id}",
        target=target,
    )


def _judged(ledger: LedgerReader, since: datetime) -> list[Verdict]:
    found = ledger.records(kinds=(RecordKind.EVALUATE_VERDICT,), since=since)
    verdicts = [stored.record.payload.verdict for stored in found if isinstance(stored.record.payload, Judged)]
    return [one for one in verdicts if one.needs_action and one.outcome is not Outcome.INCONCLUSIVE]


def _is_of(ledger: LedgerReader, run_id: str, target: str) -> bool:
    if not target:
        return True
    found = ledger.records(run_id=run_id, kinds=(RecordKind.EXPERIMENT_REGISTERED,))
    plans = (one.record.payload.plan for one in found if isinstance(one.record.payload, Registered))
    return any(plan.target.name == target for plan in plans)


def _in(states: list[HandleState]) -> Iterator[Sight]:
    for one in states[:MOST]:
        text = f"{one.handle.kind}, {one.phase.value}, on {where(one.handle.place)} ({one.handle.id})"
        yield Sight(name="in", text=text)
    if len(states) > MOST:
        yield Sight(name="in", text=f"{len(states) - MOST} more: squall status")


def _found(verdicts: list[Verdict]) -> Iterator[Sight]:
    for one in verdicts[-MOST:]:
        yield Sight(name="found", text=f"{one.outcome.value}, {one.response.value}: run {one.run_id}")


def _count(number: int, one: str, more: str) -> str:
    return f"{number} {one if number == 1 else more}"
