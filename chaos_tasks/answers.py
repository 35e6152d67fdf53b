"""What a run's verdict says to whoever acts on it: a closed set of ids, words and digests, read from the ledger."""

from __future__ import annotations

from datetime import datetime

from chaos_tasks.errors import GuardTripped, LedgerError
from chaos_tasks.model.base import Value
from chaos_tasks.model.experiment import Experiment
from chaos_tasks.model.lineage import ChaosFacet
from chaos_tasks.model.plan import Overrides, Plan
from chaos_tasks.model.record import Judged, RecordKind, Registered, SearchStarted, Stored
from chaos_tasks.model.verdict import Outcome, Response
from chaos_tasks.ports import LedgerReader
from chaos_tasks.runs import Run

TOLD = ("outcome", "response", "plan_sha256", "record_seq", "record_sha256")
ASKED = (RecordKind.EXPERIMENT_REGISTERED, RecordKind.SEARCH_STARTED)


class Answer(Value):
    """One verdict, and the record that holds it; no row of data, no secret, no free text."""

    run_id: str
    experiment: str
    target: str
    outcome: Outcome
    response: Response
    known_finding: str = ""
    """Ticket of an accepted deviation."""
    as_written: bool
    """Whether the run asked what the experiment's file says: no other intensity or hold, no part of a search."""
    decided_at: datetime
    plan_sha256: str
    record_seq: int
    record_sha256: str
    """Leaf of the verdict's record in the log: what `squall audit` proves to be in a signed head."""

    @property
    def good(self) -> bool:
        """Held, or deviated as known: nothing that a person has to look at."""
        return self.outcome is Outcome.HELD or bool(self.known_finding)


def answer_of(ledger: LedgerReader, run_id: str) -> Answer:
    """The answer of a run or a ramp; raises LedgerError where it has no verdict or was never registered."""
    for stored in ledger.records(run_id=run_id, kinds=(RecordKind.EVALUATE_VERDICT,)):
        return _answer(ledger, stored)
    raise LedgerError(f"run {run_id} has no verdict", remedy="look at the run's first failed task")


def latest(ledger: LedgerReader, target: str, experiment: str, *, since: datetime) -> Answer | None:
    """The last answer since then of an experiment as it is written, on this target; None where there is none."""
    found = list(ledger.records(experiment=experiment, kinds=(RecordKind.EVALUATE_VERDICT,), since=since))
    answers = (_answer(ledger, stored) for stored in reversed(found))
    return next((one for one in answers if one.as_written and one.target == target), None)


def require_good(ledger: LedgerReader, target: str, experiment: str, *, since: datetime) -> Answer:
    """The last answer, if it is a good one; raises GuardTripped that says what is there instead."""
    last = latest(ledger, target, experiment, since=since)
    if last is None:
        raise GuardTripped(
            f"{experiment} on {target} has no verdict since {since:%Y-%m-%d %H:%M} UTC",
            remedy="run it, or allow older answers",
        )
    if not last.good:
        raise GuardTripped(
            f"{experiment} on {target} is {last.outcome.value} ({last.response.value}) by run {last.run_id}",
            remedy=f"squall report {last.run_id}",
        )
    return last


def facet_of(ledger: LedgerReader, run_id: str) -> tuple[ChaosFacet, Plan | None]:
    """What lineage is told of a run, judged or not, and its plan; raises LedgerError for one that is not registered."""
    experiment, _ = _asked(ledger, run_id)
    plan = Run(ledger, run_id).registered()
    judged = next(iter(ledger.records(run_id=run_id, kinds=(RecordKind.EVALUATE_VERDICT,))), None)
    answer = _answer(ledger, judged) if judged is not None else None
    told = {} if answer is None else answer.model_dump(mode="json", include=set(TOLD) | {"known_finding"})
    facet = ChaosFacet(
        experiment=experiment.name,
        target=experiment.target,
        environment=plan.environment if plan is not None else "",
        run_id=run_id,
        faults=tuple(sorted({step.fault for step in experiment.method})),
        **{name: value for name, value in told.items() if value != ""},
    )
    return facet, plan


def _answer(ledger: LedgerReader, stored: Stored) -> Answer:
    payload, run_id = stored.record.payload, stored.record.run_id
    if not isinstance(payload, Judged):
        raise LedgerError(f"the verdict of run {run_id} was erased", remedy="run the experiment again")
    verdict = payload.verdict
    experiment, as_written = _asked(ledger, run_id)
    return Answer(
        run_id=run_id,
        experiment=experiment.name,
        target=experiment.target,
        outcome=verdict.outcome,
        response=verdict.response,
        known_finding=verdict.known_finding.ticket if verdict.known_finding else "",
        as_written=as_written,
        decided_at=verdict.decided_at,
        plan_sha256=stored.record.plan_sha256,
        record_seq=stored.seq,
        record_sha256=stored.leaf_sha256,
    )


def _asked(ledger: LedgerReader, run_id: str) -> tuple[Experiment, bool]:
    """The experiment of a run or a ramp, and whether it was asked as it is written."""
    for stored in ledger.records(run_id=run_id, kinds=ASKED):
        match stored.record.payload:
            case Registered(plan=plan):
                return plan.experiment, _unchanged(plan.overrides) and not plan.search_id
            case SearchStarted(experiment=experiment, overrides=overrides, part_of=part_of, of=of):
                return experiment, _unchanged(overrides) and not part_of and not of
    raise LedgerError(f"no run {run_id} is registered", remedy="`squall report` lists the runs")


def _unchanged(overrides: Overrides) -> bool:
    return overrides.intensity is None and overrides.hold_s is None
