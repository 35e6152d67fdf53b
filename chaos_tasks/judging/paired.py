"""A non-inferiority check: treatment against control, paired by seed, against the margin."""

from __future__ import annotations

import math
from collections.abc import Mapping

from chaos_tasks.judging import wording
from chaos_tasks.judging.evidence import Evidence, Sorted, asked_arm, sort_trials
from chaos_tasks.model.base import Json
from chaos_tasks.model.experiment import Check, NonInferiority
from chaos_tasks.model.trial import Arm
from chaos_tasks.model.verdict import CheckResult, CheckState, Reason
from chaos_tasks.stats.interval import Interval, Position
from chaos_tasks.stats.paired import paired_interval

Answer = tuple[CheckState, Reason, str]


def judge_paired(check: Check, tolerance: NonInferiority, evidence: Evidence, *, alpha: float) -> CheckResult:
    """Three-valued answer: PASSED only with the whole interval within the margin, FAILED only with all of it beyond.

    A relative margin is a share of each pair's own control, so that the uncertainty of the control counts too; the
    interval that is shown is shifted by the margin in the metric's unit, and agrees with the decision.
    """
    control = sort_trials(check, evidence, evidence.arm(Arm.CONTROL))
    treatment = sort_trials(check, evidence, evidence.arm(asked_arm(check)))
    pairs = _pairs(control.read, treatment.read)
    margin = _margin(tolerance, [pair[0] for pair in pairs.values()])
    interval = None if margin is None else _worsening(tolerance, pairs, margin, alpha)
    state, reason, sentence = _answer(check, tolerance, control, treatment, pairs, interval, margin, evidence)
    return CheckResult(
        check=check.name,
        when=check.when,
        state=state,
        reason=reason,
        sentence=sentence,
        unit="seed",
        method=f"{interval.method}, {wording.percent(interval.level)} interval" if interval else "",
        estimate=interval.estimate if interval else None,
        low=interval.low if interval else None,
        high=interval.high if interval else None,
        margin=margin,
        n_control=control.count,
        n_treatment=treatment.count,
    )


def _answer(  # noqa: C901  a flat list of reasons, in the order in which they are asked; parts would hide the order
    check: Check,
    tolerance: NonInferiority,
    control: Sorted,
    treatment: Sorted,
    pairs: Mapping[int, tuple[float, float]],
    interval: Interval | None,
    margin: float | None,
    evidence: Evidence,
) -> Answer:
    """A list of reasons not to answer, and then the answer."""
    name = wording.subject(check)
    if not treatment.count:
        return CheckState.UNKNOWN, Reason.TOO_FEW_TRIALS, f"{name}: no trial to compare."
    if any(_bad(value) for value in control.read.values()):
        return CheckState.UNKNOWN, Reason.CONTROL_FAILED, f"{name} is no finite number under control."
    nans = sum(_bad(value) for value in treatment.read.values())
    if nans:
        sentence = f"{name} was no finite number in {nans} of {treatment.count} trials."
        return CheckState.FAILED, Reason.RETURNED_NAN, sentence
    if treatment.blocked and len(treatment.blocked) == treatment.count:
        sentence = f"{name} is the control's: the gate refused all {treatment.count} trainings."
        return CheckState.PASSED, Reason.GATE_BLOCKED, sentence
    if interval is not None and margin is not None and interval.against(margin) is Position.ABOVE:
        return CheckState.FAILED, Reason.BEYOND_MARGIN, wording.effect(check, tolerance, interval, margin)
    if treatment.failed:
        sentence = f"{name}: {len(treatment.failed)} of {treatment.count} trials ended without a model to measure."
        return CheckState.UNKNOWN, Reason.TRIAL_FAILED, sentence
    unreadable = treatment.unreadable + control.unreadable
    if unreadable:
        cause = evidence.error(check, unreadable[0])
        return CheckState.UNKNOWN, Reason.PROBE_ERROR, f"{name} could not be measured: {wording.one_line(cause)}."
    if margin is None and pairs:
        sentence = f"{name} is 0 under control, so a relative margin means nothing."
        return CheckState.UNKNOWN, Reason.CONTROL_FAILED, sentence
    if len(pairs) < 2:
        count = wording.count(len(pairs), "pair")
        return CheckState.UNKNOWN, Reason.TOO_FEW_TRIALS, f"{name}: {count} of trials; an interval needs two."
    if interval is None or margin is None:
        return CheckState.UNKNOWN, Reason.INTERVAL_TOO_WIDE, f"{name}: the differences are too large to average."
    sentence = wording.effect(check, tolerance, interval, margin)
    if interval.against(margin) is Position.BELOW:
        return CheckState.PASSED, Reason.WITHIN_MARGIN, sentence
    return CheckState.UNKNOWN, Reason.INTERVAL_TOO_WIDE, f"{sentence[:-1]}: more trials are needed to tell."


def _pairs(control: Mapping[int, Json], treatment: Mapping[int, Json]) -> dict[int, tuple[float, float]]:
    """Finite (control, treatment) values by seed."""
    return {
        seed: (_number(control[seed]), _number(treatment[seed]))
        for seed in sorted(control.keys() & treatment.keys())
        if not _bad(control[seed]) and not _bad(treatment[seed])
    }


def _worsening(
    tolerance: NonInferiority, pairs: Mapping[int, tuple[float, float]], margin: float, alpha: float
) -> Interval | None:
    sign = 1.0 if tolerance.better == "higher" else -1.0
    if not tolerance.relative:
        return paired_interval([sign * (before - after) for before, after in pairs.values()], alpha=alpha)
    excess = [sign * (before - after) - tolerance.margin * abs(before) for before, after in pairs.values()]
    interval = paired_interval(excess, alpha=alpha)
    shifted = interval.shifted(margin) if interval else None
    return shifted if shifted is not None and math.isfinite(shifted.low) and math.isfinite(shifted.high) else None


def _margin(tolerance: NonInferiority, controls: list[float]) -> float | None:
    """The margin in the metric's unit; None for a relative one when the control is 0 (or too large to average)."""
    if not tolerance.relative:
        return tolerance.margin
    margin = sum(tolerance.margin * abs(value) / len(controls) for value in controls)
    return margin if 0 < margin < math.inf else None


def _number(value: Json) -> float:
    """The value as a number; NaN for what is none."""
    if not isinstance(value, bool | int | float):
        return math.nan
    try:
        return float(value)
    except OverflowError:
        return math.inf


def _bad(value: Json) -> bool:
    return not math.isfinite(_number(value))
