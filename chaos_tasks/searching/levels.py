"""The levels of a ramp as requests to the engine: the same version and seeds, each at its share of the error rate."""

from __future__ import annotations

from chaos_tasks import registry
from chaos_tasks.errors import GuardTripped
from chaos_tasks.model.experiment import Experiment, NonInferiority, Ramp
from chaos_tasks.model.plan import Overrides
from chaos_tasks.model.record import SearchStarted
from chaos_tasks.model.request import RunRequest
from chaos_tasks.planning import overridden
from chaos_tasks.searching.bisect import Question

MOST_SEEDS = 200
"""What an analysis may have."""


def ramp_of(experiment: Experiment, overrides: Overrides) -> Ramp:
    """The ramp of an experiment, every level of it fit for its faults; raises GuardTripped."""
    if experiment.ramp is None:
        raise GuardTripped(
            f"experiment {experiment.name} has no ramp", remedy="add `ramp: {levels: [...]}`, or use `squall run`"
        )
    if overrides.intensity is not None:
        raise GuardTripped(
            f"experiment {experiment.name} is a ramp, which chooses its intensities itself",
            remedy="leave `intensity` empty, or run one level with `squall run FILE --intensity X`",
        )
    for level in experiment.ramp.levels:
        overridden(experiment, overrides.model_copy(update={"intensity": level}))
    return experiment.ramp


def level_alpha(experiment: Experiment, levels: int) -> float:
    """Error rate at which each check of each level is judged, so that the whole interval errs at most at alpha.

    The union bound over all levels, asked or not, and over the checks that can err: which levels are asked depends on
    what was undecided, and all of them share their seeds, so a share for each that is asked would not be enough.
    """
    checks = sum(isinstance(check.tolerance, NonInferiority) for check in experiment.steady_state)
    return experiment.analysis.alpha / (levels * max(1, checks))


def level_request(started: SearchStarted, search_id: str, run_id: str, question: Question) -> RunRequest:
    """What to ask the engine for one level."""
    experiment, overrides, pin = started.experiment, started.overrides, started.pin
    assert experiment.ramp is not None and started.level_alpha is not None  # noqa: S101, PT018  (a ramp's own record)
    seeds = overrides.seeds or experiment.analysis.seeds
    if question.again:
        seeds = min(2 * seeds, MOST_SEEDS)
    analysis = experiment.analysis.model_copy(update={"alpha": started.level_alpha})
    if pin is not None:
        pin = pin.model_copy(update={"seeds": tuple(range(pin.seeds[0], pin.seeds[0] + seeds))})
    return RunRequest(
        run_id=run_id,
        campaign_id=started.campaign_id,
        experiment=experiment.model_copy(update={"analysis": analysis, "ramp": None}),
        overrides=overrides.model_copy(
            update={
                "intensity": experiment.ramp.levels[question.index],
                "seeds": seeds if question.again else overrides.seeds,
            }
        ),
        pin=pin,
        search_id=search_id,
        requested_by=started.requested_by or "schedule",
    )


def level_id(search_id: str, index: int) -> str:
    """Run id of a level's first attempt."""
    return f"{search_id}.{index}"


def intensity_name(experiment: Experiment) -> str:
    """What is stepped up, as the fault calls it."""
    names = {registry.fault(step.fault).params_type.intensity_field or "intensity" for step in experiment.method}
    return names.pop() if len(names) == 1 else "intensity"
