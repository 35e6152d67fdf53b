"""One record becomes counters and timers: names, states and kinds, never a text, a row or a path."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from chaos_tasks.model.base import Value
from chaos_tasks.model.record import Act, Judged, Record, RecordKind, Registered, TrialEnd, TrialStart
from chaos_tasks.model.trial import Trial

Labels = tuple[tuple[str, str], ...]
SWEPT_BY = ("sweep", "sweeper")


class Measure(Value):
    """One thing to count, or one duration.  Labels have an order: without labels they are parts of the name."""

    name: str
    labels: Labels = ()
    seconds: float | None = None
    """Of a timer; None: a counter that goes up by one."""


def measures_of(record: Record) -> tuple[Measure, ...]:
    """What a record that was just committed adds."""
    simple = SIMPLE.get(record.kind)
    if simple is not None:
        return (_count(simple[0], **dict(simple[1])),)
    special = SPECIAL.get(record.kind)
    return special(record) if special is not None else ()


def _count(name: str, **labels: str) -> Measure:
    return Measure(name=name, labels=tuple(labels.items()))


def _registered(record: Record) -> tuple[Measure, ...]:
    if not isinstance(record.payload, Registered):
        return ()
    plan = record.payload.plan
    return (_count("runs.begun", target=plan.target.name, experiment=plan.experiment.name),)


def _refused(record: Record) -> tuple[Measure, ...]:
    return (_count("runs.refused", experiment=record.experiment or "unknown"),)


def _verdict(record: Record) -> tuple[Measure, ...]:
    if not isinstance(record.payload, Judged):
        return ()
    verdict = record.payload.verdict
    outcome = "known" if verdict.known_finding is not None else verdict.outcome.value
    return (_count("runs", outcome=outcome, response=verdict.response.value, experiment=verdict.experiment),)


def _trial_started(record: Record) -> tuple[Measure, ...]:
    return (_count("trials.begun", arm=record.payload.arm.value),) if isinstance(record.payload, TrialStart) else ()


def _trial_ended(record: Record) -> tuple[Measure, ...]:
    if not isinstance(record.payload, TrialEnd):
        return ()
    trial = record.payload.trial
    counted = _count("trials", arm=trial.arm.value, status=state_of(trial))
    if trial.reused_from:
        return (counted,)
    return counted, Measure(name="trial.duration", labels=(("arm", trial.arm.value),), seconds=trial.wall_s)


def state_of(trial: Trial) -> str:
    """How a trial ended; one that was not run again, since the log has it, is `reused`."""
    return "reused" if trial.reused_from else trial.status.value


def _injected(record: Record) -> tuple[Measure, ...]:
    receipt = record.payload.receipt if isinstance(record.payload, Act) else None
    effective = receipt is not None and receipt.effective
    result = "failed" if record.kind is RecordKind.INJECT_FAILED else "effective" if effective else "no_effect"
    return (_count("injects", kind=record.fault_kind, result=result),)


def _reverted(record: Record) -> tuple[Measure, ...]:
    result = "verified" if record.kind is RecordKind.REVERT_VERIFIED else "failed"
    by = record.payload.by if isinstance(record.payload, Act) else ""
    counted = _count("reverts", kind=record.fault_kind, result=result)
    return (counted, _count("sweeps", result=result)) if by.startswith(SWEPT_BY) else (counted,)


SIMPLE: Mapping[RecordKind, tuple[str, Labels]] = {
    RecordKind.STOP_TRIGGERED: ("stops", ()),
    RecordKind.RUN_TAKEN_OVER: ("runs.taken_over", ()),
    RecordKind.HANDLE_ABANDONED: ("abandoned", ()),
    RecordKind.LEVER_PULLED: ("lever", (("state", "pulled"),)),
    RecordKind.LEVER_RELEASED: ("lever", (("state", "released"),)),
    RecordKind.NOTICE_SENT: ("notices", (("result", "sent"),)),
    RecordKind.NOTICE_FAILED: ("notices", (("result", "failed"),)),
    RecordKind.INCIDENT_OPENED: ("incidents", ()),
    RecordKind.CAMPAIGN_PLANNED: ("nights", (("state", "begun"),)),
    RecordKind.CAMPAIGN_ENDED: ("nights", (("state", "ended"),)),
}
SPECIAL: Mapping[RecordKind, Callable[[Record], tuple[Measure, ...]]] = {
    RecordKind.EXPERIMENT_REGISTERED: _registered,
    RecordKind.RUN_REFUSED: _refused,
    RecordKind.EVALUATE_VERDICT: _verdict,
    RecordKind.TRIAL_STARTED: _trial_started,
    RecordKind.TRIAL_ENDED: _trial_ended,
    RecordKind.INJECT_APPLIED: _injected,
    RecordKind.INJECT_FAILED: _injected,
    RecordKind.REVERT_VERIFIED: _reverted,
    RecordKind.REVERT_FAILED: _reverted,
}
