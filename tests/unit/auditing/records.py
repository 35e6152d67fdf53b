"""What `judge` is given, as the records from which it is read: for the judge that reads records alone."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from chaos_tasks.auditing.redeciding import Row
from chaos_tasks.judging.facts import RunFacts, Stop
from chaos_tasks.model.handle import Fingerprint, HandleState, Phase
from chaos_tasks.model.plan import Plan
from chaos_tasks.model.record import Act, Armed, Judged, Note, RecordKind, Registered, Stored, TrialEnd
from chaos_tasks.model.trial import Observation, PairObservation, Trial
from chaos_tasks.model.verdict import Reason, Verdict
from tests.unit.judging.cases import stored

Written = tuple[RecordKind, Any]


def row_of(one: Stored) -> Row:
    """As an auditor has it: JSON, and nothing of Squall's types."""
    record = one.record
    return Row(
        seq=one.seq,
        kind=record.kind.value,
        run_id=record.run_id,
        occurred_at=record.occurred_at.isoformat(),
        payload=None if record.payload is None else json.loads(record.payload.canonical()),
        outcome=record.outcome.value if record.outcome else None,
    )


def rows_of(
    plan: Plan,
    trials: Sequence[Trial],
    observations: Sequence[Observation],
    handles: Sequence[HandleState],
    facts: RunFacts,
    verdict: Verdict,
    pairs: Sequence[PairObservation] = (),
) -> list[Row]:
    """A whole run, and its verdict last."""
    acts: list[Written] = [(RecordKind.EXPERIMENT_REGISTERED, Registered(plan=plan, plan_sha256=plan.content_sha256))]
    acts += [one for number, state in enumerate(handles) for one in _handle(number, state)]
    acts += [one for injection in facts.injections for one in _injected(injection, handles)]
    for trial in trials:
        mine = tuple(one for one in observations if one.trial_id == trial.id)
        measured = tuple(one for one in pairs if one.treatment_id == trial.id)
        acts.append((RecordKind.TRIAL_ENDED, TrialEnd(trial=trial, observations=mine, pairs=measured)))
    acts += [(RecordKind.STOP_TRIGGERED, _note(stop)) for stop in (*facts.stops, *facts.failures)]
    if facts.recovery is not None:
        acts.append((RecordKind.RECOVERY_MEASURED, facts.recovery))
    acts.append((RecordKind.EVALUATE_VERDICT, Judged(verdict=verdict)))
    return [row_of(stored(plan, number, kind, payload)) for number, (kind, payload) in enumerate(acts)]


def _handle(number: int, state: HandleState) -> Iterable[Written]:
    """A handle of no step: whether it is open, and nothing else, is what it says."""
    one = state.handle.model_copy(update={"id": f"state-{number}", "step": "none"})
    yield RecordKind.FAULT_ARMED, Armed(handle=one, before=Fingerprint(digest="f" * 64, covers="bytes"))
    if state.phase is Phase.REVERTED:
        yield RecordKind.REVERT_VERIFIED, Act(handle_id=one.id, epoch=1)


def _injected(injection: Any, handles: Sequence[HandleState]) -> Iterable[Written]:
    from tests.unit.judging.cases import handle

    one = handle(Phase.ARMED).handle.model_copy(update={"id": injection.handle_id, "step": injection.step})
    yield RecordKind.FAULT_ARMED, Armed(handle=one, before=Fingerprint(digest="f" * 64, covers="bytes"))
    yield RecordKind.INJECT_APPLIED, Act(handle_id=one.id, epoch=1, receipt=injection.injected)
    yield RecordKind.REVERT_VERIFIED, Act(handle_id=one.id, epoch=1)


def _note(stop: Stop) -> Note:
    return Note(text=stop.text, facts={"reason": stop.reason.value if isinstance(stop.reason, Reason) else stop.reason})


def at(moment: datetime) -> str:
    """As a record has it."""
    return moment.isoformat()
