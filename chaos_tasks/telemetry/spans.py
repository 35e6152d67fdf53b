"""The records of a judged run become spans: run over trials and faults, a fault over its injects and reverts.

From the times in the log alone, so that they nest and end also where a process was killed; and with ids that are
digests of the records, so that a run that is told twice is the same trace.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from chaos_tasks.model.base import Value
from chaos_tasks.model.record import Act, Judged, RecordKind, Registered, SearchStarted, Stored, TrialEnd, TrialStart
from chaos_tasks.model.trial import Trial, TrialStatus
from chaos_tasks.model.verdict import Verdict
from chaos_tasks.telemetry.measures import Measure, state_of

Attributes = Mapping[str, str | int | bool]
LOST = "no end on record: its process was lost"
ENDS = {
    RecordKind.INJECT_APPLIED: "inject",
    RecordKind.INJECT_FAILED: "inject",
    RecordKind.REVERT_VERIFIED: "revert",
    RecordKind.REVERT_FAILED: "revert",
}
INTENTS = {RecordKind.INJECT_INTENT: "inject", RecordKind.REVERT_INTENT: "revert"}
TIMED = {"squall.run": "run.duration", "squall.inject": "inject.duration", "squall.revert": "revert.duration"}


class Span(Value):
    """A stretch of time under a name; ids in hexadecimal as OpenTelemetry has them."""

    name: str
    trace_id: str
    span_id: str
    parent_id: str = ""
    begins: datetime
    ends: datetime
    attributes: Attributes = {}  # noqa: RUF012  pydantic copies it
    error: str = ""


def spans_of(records: Sequence[Stored]) -> tuple[Span, ...]:
    """The spans of one run, the run's own first; none for a run that is not judged or was never registered."""
    root = _root(records)
    if root is None:
        return ()
    trials = tuple(_trials(records, root))
    return (root, *(span for _, span in trials), *_faults(records, root, trials))


def durations_of(spans: Iterable[Span]) -> tuple[Measure, ...]:
    """Timers of the run, its injects and its reverts; a trial's is told when it ends."""
    return tuple(
        Measure(name=TIMED[span.name], labels=_kind(span), seconds=(span.ends - span.begins).total_seconds())
        for span in spans
        if span.name in TIMED and span.error != LOST
    )


def _kind(span: Span) -> tuple[tuple[str, str], ...]:
    kind = span.attributes.get("squall.fault")
    return (("kind", str(kind)),) if kind else ()


def _root(records: Sequence[Stored]) -> Span | None:
    begun = next((one for one in records if isinstance(one.record.payload, Registered | SearchStarted)), None)
    judged = next((one for one in records if isinstance(one.record.payload, Judged)), None)
    if begun is None or judged is None or not isinstance(judged.record.payload, Judged):
        return None
    verdict, run_id = judged.record.payload.verdict, begun.record.run_id
    told, whole = _told(begun)
    return Span(
        name="squall.run",
        trace_id=_hex(whole or run_id, 32),
        span_id=_hex(f"run/{run_id}", 16),
        parent_id=_hex(f"run/{whole}", 16) if whole else "",
        begins=begun.record.occurred_at,
        ends=max(judged.record.occurred_at, begun.record.occurred_at),
        attributes={**told, **_answer(verdict), **_airflow(begun)},
        error="" if not verdict.needs_action else verdict.outcome.value,
    )


def _told(begun: Stored) -> tuple[dict[str, str | int | bool], str]:
    """What was asked, and the search that a run is a part of."""
    payload, run_id = begun.record.payload, begun.record.run_id
    if isinstance(payload, Registered):
        plan = payload.plan
        asked = {"squall.target": plan.target.name, "squall.environment": plan.environment}
        name, campaign, whole = plan.experiment.name, plan.campaign_id, plan.search_id
    elif isinstance(payload, SearchStarted):
        asked = {"squall.target": payload.experiment.target, "squall.search": payload.search.value}
        name, campaign, whole = payload.experiment.name, payload.campaign_id, payload.part_of
    else:
        return {}, ""
    told = {"squall.run_id": run_id, "squall.experiment": name, "squall.campaign": campaign, **asked}
    return {key: value for key, value in told.items() if value}, whole


def _answer(verdict: Verdict) -> dict[str, str | int | bool]:
    return {
        "squall.outcome": verdict.outcome.value,
        "squall.response": verdict.response.value,
        "squall.known_finding": verdict.known_finding is not None,
        "squall.trials": verdict.trials,
        "squall.trials_reused": verdict.trials_reused,
    }


def _airflow(begun: Stored) -> dict[str, str]:
    recorder = begun.record.recorder
    found = {"airflow.dag_id": recorder.dag_id, "airflow.dag_run_id": recorder.dag_run_id}
    return {key: value for key, value in found.items() if value}


# --- trials -------------------------------------------------------------------------------------------------------


def _trials(records: Sequence[Stored], root: Span) -> Iterator[tuple[Trial | None, Span]]:
    """Each start with its end; a second start of a trial, after a kill, is a span of its own."""
    open_ones: dict[str, tuple[Stored, TrialStart]] = {}
    for stored in records:
        payload = stored.record.payload
        if isinstance(payload, TrialStart):
            if payload.trial_id in open_ones:
                yield None, _lost_trial(*open_ones[payload.trial_id], stored.record.occurred_at, root)
            open_ones[payload.trial_id] = (stored, payload)
        elif isinstance(payload, TrialEnd):
            began = open_ones.pop(payload.trial.id, None)
            if began is not None and not payload.trial.reused_from:
                yield payload.trial, _trial(began[0], stored, payload.trial, root)
    for stored, start in open_ones.values():
        yield None, _lost_trial(stored, start, root.ends, root)


def _trial(began: Stored, ended: Stored, trial: Trial, root: Span) -> Span:
    attributes: dict[str, str | int | bool] = {
        "squall.trial": trial.id,
        "squall.arm": trial.arm.value,
        "squall.seed": trial.seed,
        "squall.status": state_of(trial),
        "squall.launches": len(trial.launches),
    }
    error = "" if trial.status in (TrialStatus.COMPLETED, TrialStatus.BLOCKED) else trial.status.value
    return _below(root, "squall.trial", f"trial/{began.seq}", began, ended.record.occurred_at, attributes, error)


def _lost_trial(began: Stored, start: TrialStart, ends: datetime, root: Span) -> Span:
    attributes: dict[str, str | int | bool] = {
        "squall.trial": start.trial_id,
        "squall.arm": start.arm.value,
        "squall.seed": start.seed,
    }
    return _below(root, "squall.trial", f"trial/{began.seq}", began, ends, attributes, LOST)


# --- faults -------------------------------------------------------------------------------------------------------


@dataclass
class _Acting:
    """What was done with one handle: each intent with the record that ended it."""

    handle_id: str
    kind: str
    acts: list[tuple[Stored, Stored | None]] = field(default_factory=list)

    def add(self, stored: Stored) -> None:
        """An intent opens an act; a receipt or failure ends the last one of its sort that is open."""
        if stored.record.kind in INTENTS:
            self.acts.append((stored, None))
            return
        sort = ENDS[stored.record.kind]
        for place in reversed(range(len(self.acts))):
            intent, ended = self.acts[place]
            if INTENTS[intent.record.kind] == sort and ended is None:
                self.acts[place] = (intent, stored)
                return


def _faults(records: Sequence[Stored], root: Span, trials: Sequence[tuple[Trial | None, Span]]) -> Iterator[Span]:
    acting: dict[str, _Acting] = {}
    for stored in records:
        record = stored.record
        if record.kind in INTENTS or record.kind in ENDS:
            acting.setdefault(record.handle_id, _Acting(record.handle_id, record.fault_kind)).add(stored)
    for one in acting.values():
        if one.acts:
            yield from _fault(one, root, _parent(one, root, trials))


def _fault(one: _Acting, root: Span, parent: Span) -> Iterator[Span]:
    told: dict[str, str | int | bool] = {"squall.fault": one.kind, "squall.handle": one.handle_id}
    first = one.acts[0][0]
    children = [(intent, ended, _ends(place, one, root)) for place, (intent, ended) in enumerate(one.acts)]
    last = one.acts[-1][1]
    out = last is not None and last.record.kind is RecordKind.REVERT_VERIFIED
    ends = max(end for _, _, end in children)
    error = "" if out else "not proved to be out"
    whole = _below(parent, "squall.fault", f"fault/{one.handle_id}/{first.seq}", first, ends, told, error)
    yield whole
    for intent, ended, end in children:
        name, attributes = f"squall.{INTENTS[intent.record.kind]}", {**told, **_by(intent)}
        yield _below(whole, name, f"act/{intent.seq}", intent, end, attributes, _error(ended))


def _ends(place: int, one: _Acting, root: Span) -> datetime:
    """When an act ended: by its own record, else when the next act began, else with the run."""
    ended = one.acts[place][1]
    if ended is not None:
        return ended.record.occurred_at
    following = one.acts[place + 1 : place + 2]
    return following[0][0].record.occurred_at if following else root.ends


def _error(ended: Stored | None) -> str:
    if ended is None:
        return LOST
    return "" if ended.record.kind in (RecordKind.INJECT_APPLIED, RecordKind.REVERT_VERIFIED) else "failed"


def _by(intent: Stored) -> dict[str, str]:
    payload = intent.record.payload
    return {"squall.by": payload.by} if isinstance(payload, Act) and payload.by else {}


def _parent(one: _Acting, root: Span, trials: Sequence[tuple[Trial | None, Span]]) -> Span:
    """The trial that fired it; the run itself for what was in before the workload."""
    for trial, span in trials:
        if trial is not None and any(firing.handle_id == one.handle_id for firing in trial.firings):
            return span
    began = one.acts[0][0].record.occurred_at
    around = [span for _, span in trials if span.begins <= began <= span.ends and span.error == LOST]
    return around[-1] if around else root


def _below(
    parent: Span, name: str, key: str, begun: Stored, ends: datetime, attributes: Attributes, error: str
) -> Span:
    """A span within its parent, as hosts' clocks allow: never before it, and never ending before it begins."""
    begins = max(begun.record.occurred_at, parent.begins)
    return Span(
        name=name,
        trace_id=parent.trace_id,
        span_id=_hex(f"{begun.record.run_id}/{key}", 16),
        parent_id=parent.span_id,
        begins=begins,
        ends=max(ends, begins),
        attributes=attributes,
        error=error,
    )


def _hex(text: str, digits: int) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:digits]
