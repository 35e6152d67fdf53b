"""A number of a scheduled run beside those of the runs before it: attach mode has no control trials of its own."""

from __future__ import annotations

import math
from typing import ClassVar, Literal

from pydantic import Field

from chaos_tasks.errors import ProbeError
from chaos_tasks.model.trial import Trial
from chaos_tasks.probes.base import Measurement, ProbeParams
from chaos_tasks.probes.metric import require_completed
from chaos_tasks.stats import history


class HistoryParams(ProbeParams):
    """Which number, which direction is good, and how rare is too rare."""

    metric: str = Field(min_length=1, description="Name among what `metrics_task` returns, or run_seconds.")
    better: Literal["higher", "lower"] = Field("higher", description="Which direction is good.")
    alpha: float = Field(
        0.05,
        gt=0,
        lt=0.5,
        description="Level that the tolerance (`min`) asks for; with fewer than 1/alpha - 1 surprises nothing is said.",
    )


class HistoryMetric:
    """How rare so bad a surprise is among those of the earlier runs: a p-value, one-sided."""

    kind: ClassVar[str] = "history.metric"
    summary: ClassVar[str] = "How rare a run's number is in the history of its DAG (p-value)"
    params_type: ClassVar[type[HistoryParams]] = HistoryParams
    oracle: ClassVar[bool] = True

    def measure(self, trial: Trial, params: HistoryParams) -> Measurement:
        """Read it; raises ProbeError for a short history, one that changed, and a run without the number."""
        require_completed(trial)
        if params.metric not in trial.metrics:
            raise ProbeError(
                f"the run of {trial.id} has no number {params.metric!r}",
                remedy="name a number that `metrics_task` returns, or run_seconds",
            )
        past = [one.metrics[params.metric] for one in trial.history if params.metric in one.metrics]
        known = [one for one in past if math.isfinite(one)]
        needed = history.least(params.alpha)
        if len(known) < needed:
            raise ProbeError(
                f"{len(known)} earlier runs have a {params.metric}; a level of {params.alpha:g} needs {needed}",
                remedy="wait for more scheduled runs, or see why the earlier ones have no such number",
            )
        changed = history.changed(known)
        if changed:
            raise ProbeError(
                f"{params.metric} of the {len(known)} earlier runs is no yardstick: {changed} on the way",
                remedy="wait until it has settled, or shorten `attach.history` to what is like the present",
            )
        found = history.surprise(known, trial.metrics[params.metric], higher_is_better=params.better == "higher")
        return Measurement(value=found.p)
