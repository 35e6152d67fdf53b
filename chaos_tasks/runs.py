"""A run as the ledger tells it: its plan, trials, handles and verdict; and the records that the engine writes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from pydantic import JsonValue

from chaos_tasks.errors import LedgerError
from chaos_tasks.judging.carrying import Earlier
from chaos_tasks.model.handle import HandleState
from chaos_tasks.model.plan import Plan, Recorder
from chaos_tasks.model.record import (
    BEGINNINGS,
    Judged,
    Note,
    Payload,
    Record,
    RecordKind,
    Recovery,
    Registered,
    Stored,
    Subject,
    TrialEnd,
    is_refused,
)
from chaos_tasks.model.trial import Arm, Observation, PairObservation, Trial
from chaos_tasks.model.verdict import Outcome, Verdict
from chaos_tasks.ports import Clock, Ledger, LedgerReader


@dataclass(frozen=True)
class Run:
    """Reads one run."""

    ledger: LedgerReader
    run_id: str

    def registered(self) -> Plan | None:
        """The registered plan, or None."""
        for payload in self.payloads(RecordKind.EXPERIMENT_REGISTERED):
            if isinstance(payload, Registered):
                return payload.plan
        return None

    def plan(self) -> Plan:
        """The registered plan; raises LedgerError when the run is unknown."""
        plan = self.registered()
        if plan is None:
            raise LedgerError(f"no run {self.run_id} is registered", remedy="`squall report` lists the runs")
        return plan

    def ended_trials(self, arm: Arm | None = None) -> list[TrialEnd]:
        """Ended trials with their observations, in log order."""
        ends = [payload for payload in self.payloads(RecordKind.TRIAL_ENDED) if isinstance(payload, TrialEnd)]
        return [end for end in ends if arm is None or end.trial.arm is arm]

    def trials(self) -> list[Trial]:
        """All ended trials."""
        return [end.trial for end in self.ended_trials()]

    def observations(self) -> list[Observation]:
        """All observations."""
        return [observation for end in self.ended_trials() for observation in end.observations]

    def pairs(self) -> list[PairObservation]:
        """What was read from pairs of trials."""
        return [pair for end in self.ended_trials() for pair in end.pairs]

    def handles(self) -> list[HandleState]:
        """All handles of the run."""
        return self.ledger.handles(run_id=self.run_id)

    def is_refused(self) -> bool:
        """Whether it was refused and has not gone on: a later try may have begun what an earlier one was refused."""
        return is_refused(one.record.kind for one in self.stored(RecordKind.RUN_REFUSED, *BEGINNINGS))

    def verdict(self) -> Verdict | None:
        """The recorded verdict, or None."""
        for payload in self.payloads(RecordKind.EVALUATE_VERDICT):
            if isinstance(payload, Judged):
                return payload.verdict
        return None

    def recovery(self) -> Recovery | None:
        """What was measured after the revert, or None."""
        for payload in self.payloads(RecordKind.RECOVERY_MEASURED):
            if isinstance(payload, Recovery):
                return payload
        return None

    def stored(self, *kinds: RecordKind) -> list[Stored]:
        """Records of these kinds, in log order."""
        return list(self.ledger.records(run_id=self.run_id, kinds=kinds))

    def payloads(self, kind: RecordKind) -> list[Payload]:
        """Payloads of one kind, in log order; erased ones are left out."""
        return [stored.record.payload for stored in self.stored(kind) if stored.record.payload is not None]


@dataclass(frozen=True)
class Known:
    """What a run is judged on."""

    trials: tuple[Trial, ...]
    observations: tuple[Observation, ...]
    pairs: tuple[PairObservation, ...]


def evidence_of(ledger: LedgerReader, plan: Plan) -> Known:
    """Trials of the runs that a plan continues, the oldest first and without their recovery, then its own."""
    earlier = [end for run_id in plan.continues for end in Run(ledger, run_id).ended_trials()]
    counted = [end for end in earlier if end.trial.arm is not Arm.RECOVERY]
    ends = [*counted, *Run(ledger, plan.run_id).ended_trials()]
    return Known(
        trials=tuple(end.trial for end in ends),
        observations=tuple(observation for end in ends for observation in end.observations),
        pairs=tuple(pair for end in ends for pair in end.pairs),
    )


def judged_runs(ledger: LedgerReader, experiment: str, *, since: datetime) -> Iterator[Earlier]:
    """Runs of one experiment with a verdict, in the order of their verdicts."""
    plans: dict[str, Plan] = {}
    kinds = (RecordKind.EXPERIMENT_REGISTERED, RecordKind.EVALUATE_VERDICT)
    for stored in ledger.records(experiment=experiment, kinds=kinds, since=since):
        payload = stored.record.payload
        if isinstance(payload, Registered):
            plans[payload.plan.run_id] = payload.plan
        elif isinstance(payload, Judged) and payload.verdict.run_id in plans:
            yield Earlier(plans[payload.verdict.run_id], payload.verdict)


@dataclass(frozen=True)
class RunWriter:
    """Writes the engine's records about one run."""

    ledger: Ledger
    clock: Clock
    recorder: Recorder
    run_id: str
    experiment: str = ""
    environment: str = ""
    plan_sha256: str = ""

    @classmethod
    def of(cls, plan: Plan, ledger: Ledger, clock: Clock, recorder: Recorder) -> RunWriter:
        """A writer that copies the plan's identity into each record."""
        return cls(ledger, clock, recorder, plan.run_id, plan.experiment.name, plan.environment, plan.content_sha256)

    def write(
        self,
        kind: RecordKind,
        payload: Payload,
        *,
        key: str = "",
        subjects: Sequence[Subject] = (),
        outcome: Outcome | None = None,
    ) -> Stored:
        """Append one record; the key makes it unique within its kind and run."""
        return self.ledger.append(
            Record(
                kind=kind,
                idem_key="/".join(part for part in (self.run_id, kind.value, key) if part),
                occurred_at=self.clock.now(),
                run_id=self.run_id,
                experiment=self.experiment,
                recorder=self.recorder,
                subjects=tuple(subjects),
                plan_sha256=self.plan_sha256,
                environment=self.environment,
                outcome=outcome,
                payload=payload,
            )
        )

    def note(
        self, kind: RecordKind, text: str, *, key: str = "", facts: Mapping[str, JsonValue] | None = None
    ) -> Stored:
        """Append a record that says one thing."""
        return self.write(kind, Note(text=text, facts=facts or {}), key=key)
