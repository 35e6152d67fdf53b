"""A margin check of unit `row` or `block`: one pair of models on the same rows, or of series: about this pair."""

from __future__ import annotations

import math
from collections.abc import Sequence

from chaos_tasks.judging import wording
from chaos_tasks.judging.evidence import Evidence, asked_arm, sort_trials
from chaos_tasks.judging.measured import finite
from chaos_tasks.model.experiment import Check, NonInferiority
from chaos_tasks.model.trial import Arm, PairObservation
from chaos_tasks.model.verdict import CheckResult, CheckState, EvidencePoint, Reason
from chaos_tasks.stats.interval import Interval, Position

Answer = tuple[CheckState, Reason, str]

ESTIMANDS = {
    "row": "worsening on the sealed rows of the models trained with seed {seed}: about these models only",
    "block": "worsening over time of the runs of seed {seed}: about this pair of runs only",
}


def judge_rows(check: Check, tolerance: NonInferiority, evidence: Evidence, *, alpha: float) -> CheckResult:
    """Three-valued.  FAILED by the first pair; PASSED only when every pair that was compared is within the margin.

    Rows say nothing about another training of the same pipeline, so the first pair is the one that is spoken about:
    looking for the worst of several would need a correction.  That all of them pass needs none (Berger: Multiparameter
    hypothesis testing and acceptance sampling, Technometrics 24, 1982).
    """
    treatment = sort_trials(check, evidence, evidence.arm(asked_arm(check)))
    compared = evidence.compared(check)
    first = compared[0] if compared else None
    state, reason, sentence = _answer(check, tolerance, evidence, compared, alpha)
    return CheckResult(
        check=check.name,
        when=check.when,
        state=state,
        reason=reason,
        sentence=sentence,
        unit=check.unit.value,
        estimand=_estimand(first) if first else "",
        method=first.method if first else "",
        estimate=finite(first.estimate) if first else None,
        low=finite(first.low) if first else None,
        high=finite(first.high) if first else None,
        margin=first.margin if first else tolerance.margin,
        n_control=first.n_rows if first else 0,
        n_treatment=first.n_rows if first else treatment.count,
        log_e_pass=first.log_e_pass if first else None,
        log_e_fail=first.log_e_fail if first else None,
        seeds=tuple(pair.seed for pair in compared),
        evidence=tuple(_point(n, pair) for n, pair in enumerate(compared, start=1) if pair.log_e_pass is not None),
    )


def _answer(
    check: Check, tolerance: NonInferiority, evidence: Evidence, compared: Sequence[PairObservation], alpha: float
) -> Answer:
    """A list of reasons not to answer, and then the answer."""
    name = wording.subject(check)
    asked = sort_trials(check, evidence, evidence.arm(asked_arm(check)))
    control = evidence.arm(Arm.CONTROL)
    if not asked.count or not control:
        return CheckState.UNKNOWN, Reason.TOO_FEW_TRIALS, f"{name}: no pair of trials to compare."
    if asked.blocked and len(asked.blocked) == asked.count:
        sentence = f"{name} is the control's: the gate refused all {asked.count} trainings."
        return CheckState.PASSED, Reason.GATE_BLOCKED, sentence
    broken = next((pair for pair in compared if _returned_nan(pair)), None)
    if broken is not None:
        return CheckState.FAILED, Reason.RETURNED_NAN, f"{name} was no finite number on the sealed rows."
    if compared and _position(compared[0]) is Position.ABOVE:
        return CheckState.FAILED, Reason.BEYOND_MARGIN, _sentence(check, tolerance, compared[0], alpha)
    if asked.failed:
        sentence = f"{name}: {len(asked.failed)} of {asked.count} trials ended without a model to measure."
        return CheckState.UNKNOWN, Reason.TRIAL_FAILED, sentence
    unread = next((pair for pair in compared if pair.error), None)
    if unread is not None or not compared:
        cause = wording.one_line(unread.error) if unread is not None else "it was not asked"
        return CheckState.UNKNOWN, Reason.PROBE_ERROR, f"{name} could not be measured: {cause}."
    sentence = _sentence(check, tolerance, compared[0], alpha)
    if all(_position(pair) is Position.BELOW for pair in compared):
        return CheckState.PASSED, Reason.WITHIN_MARGIN, sentence
    if _position(compared[0]) is Position.BELOW:
        text = f"{name} is within the margin for the first pair of models and not for another: judge it by seeds."
        return CheckState.UNKNOWN, Reason.INTERVAL_TOO_WIDE, text
    return (
        CheckState.UNKNOWN,
        Reason.INTERVAL_TOO_WIDE,
        f"{sentence[:-1]}: more {check.unit.value}s are needed to tell.",
    )


def _estimand(pair: PairObservation) -> str:
    worst = f"; {pair.worst} is the worst" if pair.worst else ""
    return ESTIMANDS["block" if pair.unit == "block" else "row"].format(seed=pair.seed) + worst


def _returned_nan(pair: PairObservation) -> bool:
    """Measured, and the model gave no number."""
    return not pair.error and (pair.n_not_numbers > 0 or (pair.estimate is not None and math.isnan(pair.estimate)))


def _position(pair: PairObservation) -> Position:
    if pair.error or pair.low is None or pair.high is None or pair.margin is None:
        return Position.STRADDLES
    if pair.high < pair.margin:
        return Position.BELOW
    return Position.ABOVE if pair.low > pair.margin else Position.STRADDLES


def _sentence(check: Check, tolerance: NonInferiority, pair: PairObservation, alpha: float) -> str:
    low, high, margin = pair.low, pair.high, pair.margin
    if low is None or high is None or margin is None or pair.estimate is None:
        return f"{wording.subject(check)}: no interval could be given for these rows."
    level = pair.level if pair.level is not None else 1 - 2 * alpha
    interval = Interval(pair.estimate, low, high, level, pair.n_rows, pair.method)
    return wording.effect(check, tolerance, interval, margin, unit=check.unit.value)


def _point(n: int, pair: PairObservation) -> EvidencePoint:
    return EvidencePoint(
        n=n,
        log_e_pass=pair.log_e_pass or 0.0,
        log_e_fail=pair.log_e_fail or 0.0,
        estimate=finite(pair.estimate),
        low=finite(pair.low),
        high=finite(pair.high),
    )
