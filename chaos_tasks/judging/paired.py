"""A margin check of unit `seed`: treatment against control, paired by seed: about the pipeline."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from chaos_tasks.judging import wording
from chaos_tasks.judging.evidence import Evidence, Sorted, asked_arm, sort_trials
from chaos_tasks.judging.measured import Measured, finite, of_evidence, of_interval
from chaos_tasks.model.base import Json
from chaos_tasks.model.experiment import Analysis, Check, Design, NonInferiority
from chaos_tasks.model.trial import Arm
from chaos_tasks.model.verdict import CheckResult, CheckState, Reason
from chaos_tasks.stats.interval import Position
from chaos_tasks.stats.paired import paired_interval
from chaos_tasks.stats.seed_evidence import seed_evidence

Answer = tuple[CheckState, Reason, str]
Pairs = Mapping[int, tuple[float, float]]

ESTIMAND = "mean worsening over training seeds on the sealed set: about this pipeline"


def judge_paired(check: Check, tolerance: NonInferiority, evidence: Evidence, analysis: Analysis) -> CheckResult:
    """Three-valued: PASSED and FAILED only where the evidence, or the whole interval, is on that side of the margin.

    A relative margin is a share of each pair's own control, so that the uncertainty of the control counts too; the
    interval that is shown is shifted by the margin in the metric's unit, and agrees with the decision.
    """
    control = sort_trials(check, evidence, evidence.arm(Arm.CONTROL))
    treatment = sort_trials(check, evidence, evidence.arm(asked_arm(check)))
    pairs = _pairs(control.read, treatment.read)
    margin = _margin(tolerance, [pair[0] for pair in pairs.values()])
    measured = None if margin is None else _measure(tolerance, pairs, margin, analysis)
    state, reason, sentence = _answer(check, tolerance, control, treatment, pairs, measured, margin, evidence)
    shown = measured.interval if measured else None
    return CheckResult(
        check=check.name,
        when=check.when,
        state=state,
        reason=reason,
        sentence=sentence,
        unit="seed",
        estimand=ESTIMAND,
        method=measured.method if measured else "",
        estimate=shown.estimate if shown else None,
        low=finite(shown.low) if shown else None,
        high=finite(shown.high) if shown else None,
        margin=margin,
        n_control=control.count,
        n_treatment=treatment.count,
        log_e_pass=measured.log_e_pass if measured else None,
        log_e_fail=measured.log_e_fail if measured else None,
        decided_at_n=measured.decided_at if measured else None,
        seeds=tuple(pairs),
        evidence=measured.points if measured else (),
    )


def _answer(  # noqa: C901  a flat list of reasons, in the order in which they are asked; parts would hide the order
    check: Check,
    tolerance: NonInferiority,
    control: Sorted,
    treatment: Sorted,
    pairs: Pairs,
    measured: Measured | None,
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
    if measured is not None and margin is not None and measured.position is Position.ABOVE:
        return CheckState.FAILED, Reason.BEYOND_MARGIN, wording.effect(check, tolerance, measured.interval, margin)
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
    if measured is None or margin is None or not measured.bounded:
        return CheckState.UNKNOWN, Reason.INTERVAL_TOO_WIDE, f"{name}: nothing can be said from these differences."
    sentence = wording.effect(check, tolerance, measured.interval, margin)
    if measured.position is Position.BELOW:
        return CheckState.PASSED, Reason.WITHIN_MARGIN, sentence
    return CheckState.UNKNOWN, Reason.INTERVAL_TOO_WIDE, f"{sentence[:-1]}: more trials are needed to tell."


def _pairs(control: Mapping[int, Json], treatment: Mapping[int, Json]) -> dict[int, tuple[float, float]]:
    """Finite (control, treatment) values by seed."""
    return {
        seed: (_number(control[seed]), _number(treatment[seed]))
        for seed in sorted(control.keys() & treatment.keys())
        if not _bad(control[seed]) and not _bad(treatment[seed])
    }


def _measure(tolerance: NonInferiority, pairs: Pairs, margin: float, analysis: Analysis) -> Measured | None:
    """None where the pairs say nothing: too few for one look, or numbers too large to average."""
    sign = 1.0 if tolerance.better == "higher" else -1.0
    worsenings = [sign * (before - after) for before, after in pairs.values()]
    asked, shift = margin, 0.0
    if tolerance.relative:  # the excess over each pair's own margin, asked about 0
        before = [pair[0] for pair in pairs.values()]
        worsenings = [worse - tolerance.margin * abs(own) for worse, own in zip(worsenings, before, strict=True)]
        asked, shift = 0.0, margin
    if analysis.design is Design.FIXED:
        return _one_look(worsenings, asked, shift, analysis.alpha, tuple(pairs))
    evidence = seed_evidence(worsenings, asked, alpha=analysis.alpha)
    return of_evidence(evidence, tuple(pairs), shift=shift) if evidence is not None else None


def _one_look(
    worsenings: Sequence[float], asked: float, shift: float, alpha: float, seeds: Sequence[int]
) -> Measured | None:
    interval = paired_interval(worsenings, alpha=alpha)
    if interval is None:
        return None
    measured = of_interval(interval.shifted(shift), asked + shift, seeds)
    return measured if measured.bounded else None


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
