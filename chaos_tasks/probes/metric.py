"""Numbers of the model: what the trial's sealed evaluation wrote, overall or for one slice of the data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from pydantic import Field

from chaos_tasks.errors import ProbeError
from chaos_tasks.model.trial import Trial, TrialStatus
from chaos_tasks.probes.base import Measurement, ProbeParams

ROWS = "n"
"""Name, within a slice, of its number of rows."""


class MetricParams(ProbeParams):
    """Which number of the metrics file."""

    metric: str = Field(min_length=1, description="Name in the metrics file, e.g. auc.")
    unit: str = Field("", description="For people: min, %, USD.")


class SliceParams(MetricParams):
    """Which number of which slice, and how many rows it needs to mean anything."""

    slice: str = Field(min_length=1, description="Name of the slice in the metrics file, e.g. origin=JFK.")
    min_n: int = Field(30, ge=1, description="Rows below which the slice is not measured.")


class ModelMetric:
    """A number of the metrics file.  NaN there is a measurement (the model returned it); absence is not."""

    kind: ClassVar[str] = "model.metric"
    summary: ClassVar[str] = "A number of the model on the sealed evaluation set"
    params_type: ClassVar[type[MetricParams]] = MetricParams
    oracle: ClassVar[bool] = True

    def measure(self, trial: Trial, params: MetricParams) -> Measurement:
        """Read it; raises ProbeError when the trial did not complete or wrote no such number."""
        require_completed(trial)
        return Measurement(value=_read(trial, trial.metrics, params.metric, "metrics"), unit=params.unit)


class SliceMetric:
    """A number of one slice: harm can hide in a mean."""

    kind: ClassVar[str] = "model.slice_metric"
    summary: ClassVar[str] = "A number of the model on one slice of the sealed evaluation set"
    params_type: ClassVar[type[SliceParams]] = SliceParams
    oracle: ClassVar[bool] = True

    def measure(self, trial: Trial, params: SliceParams) -> Measurement:
        """Read it; raises ProbeError for an absent slice and for one with fewer than ``min_n`` rows."""
        require_completed(trial)
        if params.slice not in trial.slices:
            raise ProbeError(
                f"trial {trial.id} has no slice {params.slice!r} (it has: {_names(trial.slices)})",
                remedy="mend `slice`, or let the workload write it under `slices` of the metrics file",
            )
        numbers = trial.slices[params.slice]
        rows = _read(trial, numbers, ROWS, f"slice {params.slice!r}")
        if not rows >= params.min_n:
            raise ProbeError(
                f"slice {params.slice!r} of trial {trial.id} has {rows:g} rows, fewer than {params.min_n}",
                remedy="choose a larger slice or evaluation set, or lower `min_n`",
            )
        return Measurement(value=_read(trial, numbers, params.metric, f"slice {params.slice!r}"), unit=params.unit)


def require_completed(trial: Trial) -> None:
    """Raise ProbeError unless the trial ran to its end."""
    if trial.status is not TrialStatus.COMPLETED:
        raise ProbeError(
            f"trial {trial.id} did not complete ({trial.status.value}), so it has no model to measure",
            remedy="a check of `workload.completed` answers whether it should have",
        )


def _read(trial: Trial, numbers: Mapping[str, float], name: str, where: str) -> float:
    if name not in numbers:
        raise ProbeError(
            f"trial {trial.id} wrote no {name!r} in its {where} (it has: {_names(numbers)})",
            remedy="mend the name, or let the workload write it",
        )
    return numbers[name]


def _names(numbers: Mapping[str, object]) -> str:
    shown = sorted(numbers)[:8]
    return ", ".join(shown) + (", ..." if len(numbers) > len(shown) else "") if shown else "nothing"
