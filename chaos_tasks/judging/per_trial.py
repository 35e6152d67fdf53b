"""A range or exact check: every single trial must be within tolerance, and the share says how sure that is."""

from __future__ import annotations

import math

from chaos_tasks.judging import wording
from chaos_tasks.judging.evidence import Evidence, Sorted, asked_arm, sort_trials
from chaos_tasks.model.base import Json
from chaos_tasks.model.experiment import Check, Exactly, Range, When
from chaos_tasks.model.trial import Arm
from chaos_tasks.model.verdict import CheckResult, CheckState, Reason
from chaos_tasks.stats.reliability import largest_failure_share, share_interval, trials_for_reliability

TIMES = "response."
"""Kinds of probe whose infinity says "never": a time, and not a number that a model failed to return."""

Answer = tuple[CheckState, Reason, str]


def judge_per_trial(check: Check, tolerance: Range | Exactly, evidence: Evidence, *, alpha: float) -> CheckResult:
    """FAILED by one trial out of tolerance; PASSED only when each trial could be read and is within.

    An `always` check that the control itself does not meet says nothing about the fault, and is UNKNOWN.
    """
    asked = sort_trials(check, evidence, evidence.arm(asked_arm(check)))
    control = sort_trials(check, evidence, evidence.arm(Arm.CONTROL) if check.when is When.ALWAYS else ())
    within = sum(_within(tolerance, value) for value in asked.read.values())
    share = share_interval(within, len(asked.read), alpha=alpha)
    state, reason, sentence = _answer(check, tolerance, control, asked, evidence, alpha)
    return CheckResult(
        check=check.name,
        when=check.when,
        state=state,
        reason=reason,
        sentence=sentence,
        unit="trial",
        method=f"{share.method}, {wording.percent(share.level)} interval of the share within" if share else "",
        estimate=share.estimate if share else None,
        low=share.low if share else None,
        high=share.high if share else None,
        estimand="share of runs within tolerance: what these trials allow, and no more",
        n_control=control.count,
        n_treatment=asked.count,
        seeds=tuple(asked.read),
    )


def _answer(
    check: Check, tolerance: Range | Exactly, control: Sorted, asked: Sorted, evidence: Evidence, alpha: float
) -> Answer:
    name, wanted = wording.subject(check), wording.tolerance(tolerance)
    if not asked.count:
        return CheckState.UNKNOWN, Reason.TOO_FEW_TRIALS, f"{name}: no trial to ask."
    if not all(_within(tolerance, value) for value in control.read.values()):
        return CheckState.UNKNOWN, Reason.CONTROL_FAILED, f"{name} is not {wanted} even without the fault."
    outside = [value for value in asked.read.values() if not _within(tolerance, value)]
    if outside:
        nan = any(_is_nan(value) for value in outside) and not check.probe.startswith(TIMES)
        never = outside[0] == math.inf and check.probe.startswith(TIMES)
        n, seen = len(outside), "never" if never else wording.value(outside[0])
        share = share_interval(n, len(asked.read), alpha=alpha)
        sentence = wording.outside(name, seen, wanted, n, asked.count, share.low if share else 0.0, 1 - alpha)
        return CheckState.FAILED, Reason.RETURNED_NAN if nan else Reason.OUT_OF_TOLERANCE, sentence
    if asked.failed:
        sentence = f"{name}: {len(asked.failed)} of {asked.count} trials ended without anything to read."
        return CheckState.UNKNOWN, Reason.TRIAL_FAILED, sentence
    unreadable = asked.unreadable + control.unreadable
    if unreadable:
        cause = wording.one_line(evidence.error(check, unreadable[0]))
        return CheckState.UNKNOWN, Reason.PROBE_ERROR, f"{name} could not be measured: {cause}."
    if not asked.read:
        sentence = f"{name} is the control's: the gate refused all {asked.count} trainings."
        return CheckState.PASSED, Reason.GATE_BLOCKED, sentence
    n = len(asked.read)
    shown = 1 - largest_failure_share(n, alpha=alpha)
    if check.reliability is not None and shown < check.reliability:
        takes = trials_for_reliability(check.reliability, alpha=alpha)
        asked_for = wording.percent(check.reliability)
        seen = f"{name} was {wanted} in {n} of {asked.count} trials"
        sentence = f"{seen}; to show it for {asked_for} of runs takes {takes}."
        return CheckState.UNKNOWN, Reason.TOO_FEW_TRIALS, sentence
    sentence = wording.within(name, wanted, n, asked.count, shown, 1 - alpha)
    return CheckState.PASSED, Reason.WITHIN_TOLERANCE, sentence


def _within(tolerance: Range | Exactly, value: Json) -> bool:
    if isinstance(tolerance, Exactly):
        return _same(tolerance.value, value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return False
    above = tolerance.min is None or value >= tolerance.min
    return above and (tolerance.max is None or value <= tolerance.max)


def _same(wanted: bool | int | float | str, value: Json) -> bool:
    """True and 1 are two things here, as they are in JSON; 1 and 1.0 are one."""
    return isinstance(wanted, bool) == isinstance(value, bool) and wanted == value


def _is_nan(value: Json) -> bool:
    return isinstance(value, float) and not math.isfinite(value)
