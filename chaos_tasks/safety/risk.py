"""The class of risk of a step: how much could go wrong if its undo failed.  Derived, so that nobody understates it."""

from __future__ import annotations

from chaos_tasks import registry
from chaos_tasks.faults.base import Renewable
from chaos_tasks.model.base import Value
from chaos_tasks.model.consent import REHEARSAL
from chaos_tasks.model.experiment import Experiment, Risk, Step
from chaos_tasks.model.handle import Reversibility
from chaos_tasks.model.place import Place
from chaos_tasks.model.target import RedisStreamResource, Target

CLASSES = (Risk.LOW, Risk.MEDIUM, Risk.HIGH)
WHOLE = 0.5
"""From above this share on, a step touches as good as all of a place."""


class StepRisk(Value):
    """The class of one step, and why."""

    step: str
    fault: str
    undo: str
    risk: Risk
    why: str


def undo_of(kind: str) -> str:
    """`expires` (by itself, even if all of ours died), `restores`, `self_heals` or `irreversible`."""
    fault = registry.fault(kind)
    if fault.reversibility is Reversibility.RESTORES and isinstance(fault, Renewable):
        return "expires"
    return fault.reversibility.value


def risk_of(step: Step, target: Target, environment: str, place: Place | None = None) -> StepRisk:
    """The class of a step on a target; without its place it may touch all of it."""
    undo, shared = undo_of(step.fault), is_shared(step, target)
    fault, params = registry.fault(step.fault), registry.fault_params(step.fault, step.params)
    share = 1.0 if place is None else fault.blast_radius(place, params)
    points, reasons = _points_of_undo(undo, shared)
    if shared and environment not in REHEARSAL:
        points += 1
        reasons.append(f"{environment} is no rehearsal")
        if share > WHOLE:
            points += 1
            reasons.append(f"it may touch {share:.0%} of it")
    risk = CLASSES[min(points, len(CLASSES) - 1)]
    return StepRisk(step=step.name, fault=step.fault, undo=undo, risk=risk, why="; ".join(reasons))


def risks_of(experiment: Experiment, target: Target, environment: str) -> tuple[StepRisk, ...]:
    """The class of every step, as far as the files tell."""
    return tuple(risk_of(step, target, environment) for step in experiment.method)


def highest(risks: tuple[StepRisk, ...]) -> Risk:
    """The class of the whole."""
    return max((one.risk for one in risks), key=CLASSES.index, default=Risk.LOW)


def exceeds(risk: Risk, limit: Risk) -> bool:
    """Whether a class is above another."""
    return CLASSES.index(risk) > CLASSES.index(limit)


def is_shared(step: Step, target: Target) -> bool:
    """Whether a step hurts what others use too; clones, streams and processes of a trial are the run's own."""
    if step.target in ("data", "workload", "task"):
        return False
    return not isinstance(target.resources.get(step.target), RedisStreamResource)


def _points_of_undo(undo: str, shared: bool) -> tuple[int, list[str]]:
    whose = "something that others use" if shared else "the run's own copy"
    if undo == "irreversible":
        return 2, [f"it cannot be undone, on {whose}"]
    if undo == "self_heals":
        return 1, [f"only the target's own runtime undoes it, on {whose}"]
    if undo == "restores" and shared:
        return 1, [f"it restores {whose}"]
    return 0, [f"it {'ends by itself' if undo == 'expires' else 'restores'}, on {whose}"]
