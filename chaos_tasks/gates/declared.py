"""What a target's owners have declared as harm: the margins of the experiments that hurt its data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from chaos_tasks.gates.values import Harm
from chaos_tasks.model.experiment import Check, Experiment, NonInferiority, When

PROBE = "model.metric"


def declared_harm(experiments: Iterable[Experiment], target: str) -> Harm | None:
    """The metric that most of them keep within a margin, with the widest of its margins; None where none does.

    The widest, so that nobody can say that what is called harm was accepted elsewhere.
    """
    found = [
        harm
        for experiment in experiments
        if experiment.target == target and all(step.fault.startswith("data.") for step in experiment.method)
        for check in experiment.steady_state
        if (harm := _harm(check)) is not None
    ]
    counted = Counter(harm.metric for harm in found)
    if not counted:
        return None
    metric = min(counted, key=lambda name: (-counted[name], name))
    return max((harm for harm in found if harm.metric == metric), key=lambda harm: harm.margin)


def _harm(check: Check) -> Harm | None:
    tolerance, metric = check.tolerance, check.params.get("metric")
    if check.probe != PROBE or check.when is not When.ALWAYS or not isinstance(tolerance, NonInferiority):
        return None
    if tolerance.relative or not isinstance(metric, str):
        return None
    return Harm(metric=metric, margin=tolerance.margin, better=tolerance.better)
