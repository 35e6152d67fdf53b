"""The effective training time ratio of a run: measured over its trials, expected by the closed form, and best."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, median

from chaos_tasks.judging import reaction_wording
from chaos_tasks.model.plan import Plan
from chaos_tasks.model.progress import TrialProgress
from chaos_tasks.model.reaction import TrainingRatio
from chaos_tasks.model.target import Ec2InstanceResource
from chaos_tasks.model.trial import Trial, TrialStatus
from chaos_tasks.stats.ettr import availability_period, disagree, expected_ratio, young_interval

PROCESSES = frozenset({"workload", "task"})
"""Targets of a step that are processes; an instance carries one too."""


@dataclass(frozen=True)
class _Inputs:
    """What the formulae need, in seconds."""

    mtbf_s: float
    restart_s: float
    interval_s: float
    write_s: float | None


def ratio_of(plan: Plan, treated: Sequence[Trial]) -> TrainingRatio | None:
    """None unless a process was hurt in mid-run and the progress tells of checkpoints."""
    told = [
        trial.progress for trial in treated if trial.progress is not None and trial.progress.checkpoints is not None
    ]
    span_s = sum(one.span_s for one in told)
    if not told or not span_s > 0 or not hurts_a_process(plan):
        return None
    measured = min(1.0, sum(one.useful_s for one in told) / span_s)
    lost = sum(trial.progress in told and trial.status is not TrialStatus.COMPLETED for trial in treated)
    failures = sum(one.resumed_from is not None or one.back_at is None for each in told for one in each.setbacks)
    inputs = _inputs(told, span_s, failures)
    ratio = TrainingRatio(measured=measured, trials=len(told), failures=failures, never_back=lost)
    if inputs is not None:
        ratio = ratio.model_copy(update={**_inputs_told(inputs), **_best(inputs)})
        ratio = ratio if lost else ratio.model_copy(update=_expected(measured, inputs))
    return ratio.model_copy(update={"sentence": reaction_wording.ratio(ratio)})


def hurts_a_process(plan: Plan) -> bool:
    """Whether a step fires at a process while it runs."""
    bound = {name for name, one in plan.target.resources.items() if isinstance(one, Ec2InstanceResource)}
    return any(step.fires_during and step.target in PROCESSES | bound for step in plan.experiment.method)


def _inputs(told: Sequence[TrialProgress], span_s: float, failures: int) -> _Inputs | None:
    """None without a failure that was restarted from, or without two saves to tell the interval."""
    downs = [
        setback.down_s
        for one in told
        for setback in one.setbacks
        if setback.resumed_from is not None and setback.down_s is not None
    ]
    kept = [one.checkpoints for one in told if one.checkpoints is not None]
    intervals = [one.interval_s for one in kept if one.interval_s]
    writes = [one.write_s for one in kept if one.write_s is not None]
    if not downs or not intervals:
        return None
    return _Inputs(
        mtbf_s=span_s / failures,
        restart_s=fmean(downs),
        interval_s=median(intervals),
        write_s=median(writes) if writes else None,
    )


def _inputs_told(inputs: _Inputs) -> dict[str, float | bool | None]:
    return {
        "mtbf_s": inputs.mtbf_s,
        "restart_s": inputs.restart_s,
        "write_s": inputs.write_s,
        "period_s": inputs.interval_s + (inputs.write_s or 0.0),
    }


def _expected(measured: float, inputs: _Inputs) -> dict[str, float | bool | None]:
    predicted = expected_ratio(inputs.mtbf_s, inputs.restart_s, inputs.interval_s, inputs.write_s or 0.0)
    return {"predicted": predicted, "agrees": not disagree(measured, predicted)}


def _best(inputs: _Inputs) -> dict[str, float | bool | None]:
    """How often to save; nothing where a save's cost does not show, or failures leave no running time."""
    up_s = inputs.mtbf_s - inputs.restart_s
    if not inputs.write_s or up_s <= 0:
        return {}
    best = availability_period(up_s, inputs.restart_s, inputs.write_s)
    return {
        "best_period_s": best,
        "young_period_s": young_interval(inputs.mtbf_s, inputs.write_s) + inputs.write_s,
        "best_predicted": expected_ratio(inputs.mtbf_s, inputs.restart_s, best - inputs.write_s, inputs.write_s),
    }
