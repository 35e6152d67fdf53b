"""Small made-up runs: a plan, trials with what the probes would read, and the records of a whole run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from chaos_tasks.judging.facts import Injection, RunFacts
from chaos_tasks.model.experiment import Check, Experiment, NonInferiority, Step
from chaos_tasks.model.handle import Fingerprint, Handle, HandleState, Phase, Receipt
from chaos_tasks.model.place import DvcPlace
from chaos_tasks.model.plan import Plan
from chaos_tasks.model.record import Act, Armed, Judged, Record, RecordKind, Registered, Stored, TrialEnd
from chaos_tasks.model.target import CommandWorkload, DvcSource, Target
from chaos_tasks.model.trial import Arm, Firing, Observation, PairObservation, SignalEvent, Trial, TrialStatus
from chaos_tasks.model.verdict import Verdict

T0 = datetime(2026, 11, 23, 2, 0, tzinfo=UTC)
INJECTED_AT = T0 + timedelta(seconds=60)
AUC = Check(name="auc", probe="model.metric", params={"metric": "auc"}, tolerance=NonInferiority(margin=0.01))
FLIP = Step(name="flip", fault="data.label_flip", params={"column": "late", "fraction": 0.1})


def plan(
    checks: Sequence[Check] = (AUC,),
    steps: Sequence[Step] = (FLIP,),
    seeds: int = 4,
    name: str = "labels",
    **changes: Any,
) -> Plan:
    """A plan; ``changes`` are fields of the experiment."""
    experiment = Experiment(
        name=name,
        hypothesis="Flipped labels are noticed before the model is shipped.",
        owner="ml-platform",
        target="flights",
        steady_state=tuple(checks),
        method=tuple(steps),
        **changes,
    )
    target = Target(
        name="flights", source=DvcSource(repo="repo", data=("a.parquet",)), workload=CommandWorkload(run="x")
    )
    return Plan(
        run_id=f"run-{name}",
        campaign_id="2026-11-23",
        experiment=experiment,
        experiment_digest="e" * 64,
        target=target,
        target_digest="t" * 64,
        environment="lab",
        source_commit="c" * 40,
        data_digest="d" * 64,
        seeds=tuple(range(100, 100 + seeds)),
        workspace="ws",
        places={step.name: PLACE for step in steps},
        locks=(),
        planned_at=T0,
    )


PLACE = DvcPlace(clone="clone", source="repo", commit="c" * 40, data=("a.parquet",), format="parquet")


def trial(
    arm: Arm, seed: int, status: TrialStatus = TrialStatus.COMPLETED, run_id: str = "run-labels", **changes: Any
) -> Trial:
    """A trial of ten seconds; treatment starts a minute after the injection."""
    start = T0 if arm is Arm.CONTROL else INJECTED_AT + timedelta(seconds=60)
    given = {"id": f"{run_id}-{arm.value}-{seed}", "started_at": start, "ended_at": start + timedelta(seconds=10)}
    return Trial(**{**given, **changes}, run_id=run_id, arm=arm, seed=seed, status=status, wall_s=10.0)


def read(trial: Trial, value: Any, check: str = "auc") -> Observation:
    """What a probe read; None: it could not."""
    error = "trial has no such number" if value is None else ""
    return Observation(check=check, trial_id=trial.id, arm=trial.arm, seed=trial.seed, value=value, error=error)


def paired(
    control: Sequence[Any],
    treatment: Sequence[Any],
    status: TrialStatus = TrialStatus.COMPLETED,
    check: str = "auc",
    **changes: Any,
) -> tuple[list[Trial], list[Observation]]:
    """One trial per value and arm; ``status`` and ``changes`` are those of the treatment trials."""
    trials, observations = [], []
    for arm, values in ((Arm.CONTROL, control), (Arm.TREATMENT, treatment)):
        for number, value in enumerate(values):
            own = (status, changes) if arm is Arm.TREATMENT else (TrialStatus.COMPLETED, {})
            made = trial(arm, 100 + number, own[0], **own[1])
            trials.append(made)
            observations.append(read(made, value, check))
    return trials, observations


def receipt(effective: bool = True) -> Receipt:
    """A receipt of the flip."""
    return Receipt(at=INJECTED_AT, effective=effective, summary="3000 of 30000 labels flipped")


def facts(effective: bool = True, **changes: Any) -> RunFacts:
    """One injected and reverted handle."""
    injection = Injection(
        handle_id="h1",
        step="flip",
        kind="data.label_flip",
        injected=receipt(effective),
        injected_at=INJECTED_AT,
        reverted_at=INJECTED_AT + timedelta(minutes=5),
    )
    return RunFacts(**{"injections": (injection,), **changes})


def handle(phase: Phase) -> HandleState:
    """The flip's handle in a phase."""
    made = Handle(
        id="h1", run_id="run-labels", step="flip", kind="data.label_flip", place=PLACE, params={}, prior={}, seed=1
    )
    return HandleState(handle=made, phase=phase, lease_until=T0, changed_at=T0)


def signal(name: str, after_s: float = 61.0) -> SignalEvent:
    """A signal, some seconds after the injection."""
    return SignalEvent(name=name, at=INJECTED_AT + timedelta(seconds=after_s))


def firing(step: str, effective: bool = True) -> Firing:
    """A firing three seconds into a treatment trial."""
    at = INJECTED_AT + timedelta(seconds=63)
    return Firing(
        step=step, handle_id="h1/0", fired_at=at, injected=Receipt(at=at, effective=effective, summary="killed")
    )


def log_of(
    plan: Plan,
    trials: Sequence[Trial],
    observations: Sequence[Observation],
    verdict: Verdict | None,
    first_seq: int = 0,
    pairs: Sequence[PairObservation] = (),
) -> list[Stored]:
    """The records of a whole run."""
    one = handle(Phase.ARMED).handle.model_copy(update={"run_id": plan.run_id, "id": f"{plan.run_id}/flip"})
    acts: list[tuple[RecordKind, Any]] = [
        (RecordKind.EXPERIMENT_REGISTERED, Registered(plan=plan, plan_sha256=plan.content_sha256)),
        (RecordKind.FAULT_ARMED, Armed(handle=one, before=Fingerprint(digest="f" * 64, covers="bytes"))),
        (RecordKind.INJECT_INTENT, Act(handle_id=one.id, epoch=1)),
        (RecordKind.INJECT_APPLIED, Act(handle_id=one.id, epoch=1, receipt=receipt())),
    ]
    for made in trials:
        mine = tuple(item for item in observations if item.trial_id == made.id)
        measured = tuple(item for item in pairs if item.treatment_id == made.id)
        acts.append((RecordKind.TRIAL_ENDED, TrialEnd(trial=made, observations=mine, pairs=measured)))
    acts.append((RecordKind.REVERT_INTENT, Act(handle_id=one.id, epoch=1, by="revert task")))
    after = Fingerprint(digest="f" * 64, covers="bytes")
    acts.append((RecordKind.REVERT_VERIFIED, Act(handle_id=one.id, epoch=1, receipt=receipt(), after=after)))
    if verdict is not None:
        acts.append((RecordKind.EVALUATE_VERDICT, Judged(verdict=verdict)))
    return [stored(plan, first_seq + number, kind, payload) for number, (kind, payload) in enumerate(acts)]


def stored(plan: Plan, seq: int, kind: RecordKind, payload: Any) -> Stored:
    """One record of a run."""
    details: Mapping[str, Any] = {"outcome": payload.verdict.outcome} if isinstance(payload, Judged) else {}
    record = Record(
        kind=kind,
        idem_key=f"{plan.run_id}/{kind.value}/{seq}",
        occurred_at=plan.planned_at + timedelta(seconds=seq),
        run_id=plan.run_id,
        experiment=plan.experiment.name,
        plan_sha256=plan.content_sha256,
        environment=plan.environment,
        payload=payload,
        **details,
    )
    return Stored(seq=seq, leaf_sha256=f"{seq:064x}", record=record)
