"""What was planned and tried on each target, read from the log: what the resilience score is made of."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime

from chaos_tasks.judging.dossier import Dossier, read_dossiers
from chaos_tasks.judging.score import Attempt, Score, score
from chaos_tasks.model.base import canonical
from chaos_tasks.model.plan import Plan
from chaos_tasks.model.record import BEGINNINGS, Note, RecordKind, Stored
from chaos_tasks.model.target import Target
from chaos_tasks.model.verdict import Response

SCORED_BY = (
    RecordKind.CAMPAIGN_PLANNED,
    RecordKind.EXPERIMENT_REGISTERED,
    RecordKind.RUN_REFUSED,
    *BEGINNINGS,
    RecordKind.EVALUATE_VERDICT,
)
"""The records that scores are made of; the rest of the log need not be read."""


def scores_of(log: Sequence[Stored], applicable: Callable[[Target], Sequence[str]], now: datetime) -> tuple[Score, ...]:
    """The score at ``now`` of each target that has a plan in this stretch of the log, the lowest first.

    ``applicable`` says which kinds of fault a target can suffer (``catalogue.applicable_kinds``).
    """
    past = [one for one in log if one.record.occurred_at <= now]
    dossiers = read_dossiers(past)
    attempts = attempts_of(past, dossiers)
    plans = latest_plans(dossiers)
    found = [
        score(name, attempts, applicable(plan.target), version_of(plan), now) for name, plan in sorted(plans.items())
    ]
    return tuple(sorted(found, key=lambda one: (one.value, one.name)))


def attempts_of(log: Iterable[Stored], dossiers: Sequence[Dossier]) -> tuple[Attempt, ...]:
    """Every planned run of a stretch of the log, by when it was planned; also one that left no record of its own.

    Left out: runs that a person changed by hand (another intensity, another hold) and the runs of a search, which test
    something else than the experiment says.
    """
    plans = {one.experiment: one.plan for one in dossiers if one.plan is not None}
    found: dict[str, Attempt] = {}
    for stored in log:
        if stored.record.kind is RecordKind.CAMPAIGN_PLANNED and isinstance(stored.record.payload, Note):
            found |= {one.run_id: one for one in _planned(stored, stored.record.payload, plans)}
    for dossier in dossiers:
        plan = dossier.plan or (plans.get(dossier.experiment) if dossier.refused else None)
        if dossier.plan is not None and not _as_written(dossier.plan):
            found.pop(dossier.run_id, None)
        elif plan is not None and (dossier.plan is not None or dossier.run_id not in found):
            # As listed, so that a run whose own records are gone weighs exactly as much as before.
            at = found[dossier.run_id].at if dossier.run_id in found else plan.planned_at
            found[dossier.run_id] = _of_run(dossier, plan, at if dossier.plan is not None else dossier.started_at)
    return tuple(sorted(found.values(), key=lambda one: (one.at, one.run_id)))


def latest_plans(dossiers: Iterable[Dossier]) -> dict[str, Plan]:
    """The last plan of each target: what its pipeline is now, as far as the log knows."""
    found: dict[str, Plan] = {}
    for plan in (dossier.plan for dossier in dossiers):
        if plan is not None and not (
            plan.target.name in found and found[plan.target.name].planned_at > plan.planned_at
        ):
            found[plan.target.name] = plan
    return found


def version_of(plan: Plan) -> str:
    """Digest of the pipeline that a plan is bound to: description, code and data."""
    parts = [plan.target_digest, plan.source_commit, plan.data_digest]
    return hashlib.sha256(canonical(parts)).hexdigest()


def _as_written(plan: Plan) -> bool:
    return plan.overrides.intensity is None and plan.overrides.hold_s is None and not plan.search_id


def _kinds(plan: Plan) -> tuple[str, ...]:
    return tuple(sorted({step.fault for step in plan.experiment.method}))


def _of_run(dossier: Dossier, plan: Plan, at: datetime) -> Attempt:
    """A run; one that was refused has no plan of its own and was bound to no pipeline."""
    verdict = dossier.verdict
    return Attempt(
        run_id=dossier.run_id,
        experiment=dossier.experiment,
        target=plan.target.name,
        kinds=_kinds(plan),
        at=at,
        version=version_of(dossier.plan) if dossier.plan is not None else "",
        outcome=verdict.outcome if verdict else None,
        response=verdict.response if verdict else Response.UNKNOWN,
        known=verdict is not None and verdict.known_finding is not None,
    )


def _planned(stored: Stored, note: Note, plans: Mapping[str, Plan]) -> Iterable[Attempt]:
    """Runs that a campaign listed; records from before targets and faults were listed are filled in by other runs."""
    names, runs = _listed(note, "experiments"), _listed(note, "runs")
    targets, faults = _listed(note, "targets"), _listed(note, "faults")
    for number, (name, run_id) in enumerate(zip(names, runs, strict=False)):
        plan = plans.get(str(name))
        if number < len(targets) and number < len(faults):
            target, kinds = str(targets[number]), _texts(faults[number])
        elif plan is not None:
            target, kinds = plan.target.name, _kinds(plan)
        else:
            continue
        if kinds:
            yield Attempt(
                run_id=str(run_id), experiment=str(name), target=target, kinds=kinds, at=stored.record.occurred_at
            )


def _listed(note: Note, fact: str) -> list[object]:
    found = note.facts.get(fact)
    return list(found) if isinstance(found, list) else []


def _texts(value: object) -> tuple[str, ...]:
    return tuple(str(one) for one in value) if isinstance(value, list) else ()
