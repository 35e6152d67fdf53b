"""Asks the checks of an experiment of one ended trial, and of a treatment trial against its control."""

from __future__ import annotations

from chaos_tasks import registry
from chaos_tasks.errors import ProbeError
from chaos_tasks.model.experiment import Check, Exactly, NonInferiority, Range, Unit, When
from chaos_tasks.model.plan import Plan
from chaos_tasks.model.trial import Arm, Observation, PairObservation, Trial, TrialStatus
from chaos_tasks.probes.base import PairQuestion

_ARMS = {
    When.ALWAYS: (Arm.CONTROL, Arm.TREATMENT),
    When.UNDER_FAULT: (Arm.TREATMENT,),
    When.AFTER: (Arm.RECOVERY,),
}


def asks(check: Check, arm: Arm) -> bool:
    """Whether a check reads trials of this arm one by one; one of another unit than `seed` compares pairs instead."""
    return check.unit is Unit.SEED and arm in _ARMS[check.when]


def observe_all(plan: Plan, trial: Trial) -> tuple[Observation, ...]:
    """What each check that asks this arm reads from the trial."""
    return tuple(observe(check, trial) for check in plan.experiment.steady_state if asks(check, trial.arm))


def observe(check: Check, trial: Trial) -> Observation:
    """Measure one check on one trial; what cannot be measured has an error and no value."""
    seen = {"check": check.name, "trial_id": trial.id, "arm": trial.arm, "seed": trial.seed}
    try:
        params = registry.probe_params(check.probe, check.params)
        measured = registry.probe(check.probe).measure(trial, params)
    except ProbeError as error:
        return Observation.model_validate({**seen, "error": error.message})
    return Observation.model_validate({**seen, "value": measured.value, "unit": measured.unit})


def compare_all(plan: Plan, control: Trial | None, treatment: Trial) -> tuple[PairObservation, ...]:
    """What each check of unit `row` or `block` reads from a pair; empty where one of the two did not complete."""
    checks = [check for check in plan.experiment.steady_state if check.unit is not Unit.SEED]
    whole = control is not None and {control.status, treatment.status} == {TrialStatus.COMPLETED}
    if control is None or not whole or treatment.arm is not Arm.TREATMENT:
        return ()
    return tuple(compare(plan, check, control, treatment) for check in checks)


def compare(plan: Plan, check: Check, control: Trial, treatment: Trial) -> PairObservation:
    """Compare one pair of models on the sealed rows; what cannot be compared has an error and no estimate."""
    pair = {"check": check.name, "seed": control.seed, "control_id": control.id, "treatment_id": treatment.id}
    if not isinstance(check.tolerance, NonInferiority):
        return PairObservation.model_validate({**pair, "error": f"a check of unit {check.unit.value} needs a margin"})
    question = PairQuestion(
        tolerance=check.tolerance, alpha=plan.experiment.analysis.alpha, predictions=plan.target.reads.predictions
    )
    try:
        params = registry.pair_probe_params(check.probe, check.params)
        measured = registry.pair_probe(check.probe).compare(control, treatment, params, question)
    except ProbeError as error:
        return PairObservation.model_validate({**pair, "error": error.message})
    return PairObservation.model_validate({**pair, **measured.model_dump()})


def out_of_tolerance(check: Check, observation: Observation) -> bool:
    """Whether one observation alone breaks a range or an exact value; a margin needs the judge."""
    tolerance, value = check.tolerance, observation.value
    if isinstance(tolerance, Exactly):
        return value is not None and value != tolerance.value
    if isinstance(tolerance, Range) and isinstance(value, int | float):
        low, high = tolerance.min, tolerance.max
        return not ((low is None or value >= low) and (high is None or value <= high))
    return False
