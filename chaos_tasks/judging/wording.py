"""Sentences for a manager; the only place in judging where numbers are rounded.

`surely` means: shown at the check's error rate, so with the confidence that stands beside it.  A sentence names what it
is about (this pipeline, or this model only) and claims no more than that.
"""

from __future__ import annotations

import math

from chaos_tasks.model.base import Json
from chaos_tasks.model.experiment import Check, Exactly, NonInferiority, Range
from chaos_tasks.model.verdict import CheckResult, CheckState, Reason
from chaos_tasks.stats.interval import Interval, Position

SHORT_NAMES = {"auc": "AUC", "mae": "MAE", "mse": "MSE", "rmse": "RMSE", "f1": "F1", "ece": "ECE", "p99": "p99"}
ABOUT = {
    "seed": "this pipeline",
    "row": "this model only",
    "block": "this pair of runs only",
    "trial": "this pipeline",
}
OF_ONE_PAIR = frozenset({"row", "block"})
"""Units within one pair of trials: each pair is evidence of its own, and other trainings are not spoken about."""
UNMOVED = "hardly moved"
_NOT_BY_NUMBERS = frozenset({Reason.RETURNED_NAN, Reason.GATE_BLOCKED})
NOUNS = {"seed": "paired run", "row": "paired row", "block": "paired value", "trial": "trial"}


def subject(check: Check) -> str:
    """What a check is about, as people say it."""
    metric = check.params.get("metric")
    if not isinstance(metric, str):
        return check.name
    name = SHORT_NAMES.get(metric.lower(), metric.replace("_", " "))
    part = check.params.get("slice")
    return f"{name} on {part}" if isinstance(part, str) else name


def about(unit: str) -> str:
    """What may be said from evidence of this unit: 'this pipeline' or 'this model only'."""
    return ABOUT.get(unit, "these trials only")


def units(n: int, unit: str) -> str:
    """'1 paired run', '12,000 paired rows'."""
    noun = NOUNS.get(unit, unit)
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"


def scope(n: int, unit: str, level: float | None = None) -> str:
    """'about this pipeline: 4 paired runs, 95 % confidence'; ``level`` is that of a two-sided interval."""
    sure = f", {percent((1 + level) / 2)} confidence" if level is not None else ""
    return f"about {about(unit)}: {units(n, unit)}{sure}"


def effect(check: Check, tolerance: NonInferiority, interval: Interval, margin: float, *, unit: str = "") -> str:
    """'AUC fell by 0.031, surely more than the 0.010 allowed (about this pipeline: 4 paired runs, 95 % confidence).'

    ``interval`` is that of the worsening, in the metric's unit like ``margin``; ``interval.n`` counts ``unit``s (those
    of the check by default).  What is said about the margin follows from where the interval lies.
    """
    said = _against_margin(tolerance, interval, margin)
    return f"{subject(check)} {said} ({scope(interval.n, unit or check.unit.value, interval.level)})."


def _against_margin(tolerance: NonInferiority, interval: Interval, margin: float) -> str:
    """What was seen, and what it shows; where nothing is shown, what remains possible."""
    moved, limit = _moved(tolerance, interval.estimate, margin), _limit(tolerance, margin)
    position = interval.against(margin)
    if position is Position.STRADDLES:
        return f"{moved}; {_possible(tolerance, interval, margin)}, and {limit} is allowed"
    shown = f"{'more' if position is Position.ABOVE else 'less'} than the {limit} allowed"
    if (interval.estimate > margin) is not (position is Position.ABOVE):  # later units pulled the mean over the margin
        return f"{moved} on the whole, but the {_worse(tolerance)} was surely {shown} when decided"
    if interval.estimate <= 0 or moved == UNMOVED:
        return f"{moved}; any {_worse(tolerance)} is surely {shown}"
    return f"{moved}, surely {shown}"


def _moved(tolerance: NonInferiority, worsening: float, margin: float) -> str:
    """'fell by 0.031', 'hardly moved'."""
    amount = _apart(abs(worsening), margin)
    if _is_zero(amount):
        return UNMOVED
    return f"{_past(tolerance, worsening)} by {amount}"


def _possible(tolerance: NonInferiority, interval: Interval, margin: float) -> str:
    """'anything from a rise of 0.001 to a fall of 0.013 is possible'."""
    if not (math.isfinite(interval.low) and math.isfinite(interval.high)):
        return "anything is possible so far"
    low, high = (_change(tolerance, bound, margin) for bound in (interval.low, interval.high))
    return f"anything from {low} to {high} is possible"


def _change(tolerance: NonInferiority, worsening: float, margin: float) -> str:
    """'a fall of 0.013', 'no change'."""
    amount = _apart(abs(worsening), margin)
    if _is_zero(amount):
        return "no change"
    noun = _worse(tolerance) if worsening > 0 else {"fall": "rise", "rise": "fall"}[_worse(tolerance)]
    return f"a {noun} of {amount}"


def _worse(tolerance: NonInferiority) -> str:
    return "fall" if tolerance.better == "higher" else "rise"


def _past(tolerance: NonInferiority, worsening: float) -> str:
    return "fell" if (worsening > 0) is (tolerance.better == "higher") else "rose"


def _limit(tolerance: NonInferiority, margin: float) -> str:
    """'0.010', '0.018 (2 % of control)'; ``margin`` is in the metric's unit."""
    share = f" ({percent(tolerance.margin)} of control)" if tolerance.relative else ""
    return f"{number(margin, margin)}{share}"


def _apart(amount: float, margin: float) -> str:
    """Rounded like the margin, with more digits where the two would look alike and are not."""
    text = number(amount, margin)
    return text if text != number(margin, margin) or amount == margin else f"{amount:.4g}"


def _is_zero(text: str) -> bool:
    return not text.strip("0.")


def with_clause(sentence: str, clause: str) -> str:
    """A sentence and what follows it: 'AUC fell by 0.031 (...), and nothing noticed.'"""
    return f"{sentence.rstrip('.')}, {clause}" if clause else sentence


def within(name: str, wanted: str, n: int, asked: int, shown: float, confidence: float) -> str:
    """Of a yes-or-no check that no trial broke: what was seen, and the reliability that n trials allow.

    'resumed was true in 4 of 4 trials, so in at least 47.3 % of such runs of this pipeline (95 % confidence).'
    """
    rest = f"so in at least {percent(shown)} of such runs of this pipeline ({percent(confidence)} confidence)"
    return f"{name} was {wanted} in {n} of {count(asked, 'trial')}, {rest}."


def outside(name: str, seen: str, wanted: str, n: int, asked: int, shown: float, confidence: float) -> str:
    """Of a yes-or-no check that a trial broke: that it can is a fact; how often in other runs, an estimate.

    'resumed was false, not true, in 2 of 4 trials, so in at least 9.76 % of such runs of this pipeline (95 % ...).'
    """
    rest = f"so in at least {percent(shown)} of such runs of this pipeline ({percent(confidence)} confidence)"
    return f"{name} was {seen}, not {wanted}, in {n} of {count(asked, 'trial')}, {rest}."


def answer(state: CheckState) -> str:
    """One word that a reader of a report needs no glossary for."""
    return {CheckState.PASSED: "passed", CheckState.FAILED: "failed", CheckState.UNKNOWN: "not known"}[state]


def compact(result: CheckResult) -> str:
    """One line for an expert: answer, effect against its margin, n and unit, evidence.

    'failed: worse by 0.031 [0.029, 0.032], margin 0.010; n 4 seed, decided at 3, log10 e 5.6'
    """
    return f"{answer(result.state)}: {numbers(result)}"


def numbers(result: CheckResult) -> str:
    """The line without its answer: 'worse by 0.031 [0.029, 0.032], margin 0.010; n 4 seed, log10 e 5.6'."""
    n = counted(result)
    decided = f", decided at {result.decided_at_n:,}" if result.decided_at_n not in (None, n) else ""
    unit = "values in blocks" if result.unit == "block" else result.unit
    return f"{compact_effect(result)}; n {n:,} {unit}{decided}{_evidence(result)}"


def counted(result: CheckResult) -> int:
    """How many units the result rests on; where they lie within one pair, the evidence counts pairs."""
    return result.evidence[-1].n if result.evidence and result.unit not in OF_ONE_PAIR else result.n_treatment


def _evidence(result: CheckResult) -> str:
    """', log10 e 5.6' of what was shown, of both sides where nothing was."""
    if result.log_e_fail is None or result.log_e_pass is None or result.reason in _NOT_BY_NUMBERS:
        return ""
    if result.state is CheckState.UNKNOWN:
        return f", log10 e pass {log10(result.log_e_pass)}, fail {log10(result.log_e_fail)}"
    return f", log10 e {log10(result.log_e_fail if result.state is CheckState.FAILED else result.log_e_pass)}"


def compact_effect(result: CheckResult) -> str:
    """'worse by 0.031 [0.029, 0.032], margin 0.010', '2 of 2 as expected [0.22, 1]', or the reason in words.

    An end of the interval that the evidence leaves open is infinite.
    """
    if result.estimate is None or not math.isfinite(result.estimate) or result.reason in _NOT_BY_NUMBERS:
        return result.reason.value.replace("_", " ")
    low = result.low if result.low is not None else -math.inf
    high = result.high if result.high is not None else math.inf
    if result.margin is None:
        n = len(result.seeds) or result.n_treatment  # trials that could be read
        return f"{round(result.estimate * n)} of {n} as expected [{low:.3g}, {high:.3g}]"
    shown = [number(value, result.margin) for value in (abs(result.estimate), low, high, result.margin)]
    moved = "unchanged" if _is_zero(shown[0]) else f"{'worse' if result.estimate > 0 else 'better'} by {shown[0]}"
    return f"{moved} [{shown[1]}, {shown[2]}], margin {shown[3]}"


def log10(natural: float) -> str:
    """A natural log as a power of ten: '5.6', '-9.1', '-782', 'inf', '1e+51'."""
    power = natural / math.log(10)
    if not abs(power) < 100:
        return f"{power:.0f}" if abs(power) < 1e4 else f"{power:.2g}"
    text = f"{power:.1f}"
    return "0.0" if text == "-0.0" else text


def tolerance(wanted: Range | Exactly) -> str:
    """'true', 'at least 0.9', 'between 1 and 2'."""
    if isinstance(wanted, Exactly):
        return value(wanted.value)
    if wanted.min is None:
        return f"at most {wanted.max:g}"
    return f"at least {wanted.min:g}" if wanted.max is None else f"between {wanted.min:g} and {wanted.max:g}"


def value(reading: Json) -> str:
    """A reading as people write it."""
    if isinstance(reading, bool):
        return str(reading).lower()
    return f"{reading:.6g}" if isinstance(reading, float) else one_line(str(reading))


def number(amount: float, margin: float) -> str:
    """Rounded to two significant digits of the margin; 0.010 for a margin of 0.01."""
    if not math.isfinite(amount) or not 1e-6 < margin < 1e6 or abs(amount) > 1e9:
        return f"{amount:.3g}"
    decimals = max(0, 1 - math.floor(math.log10(margin)))
    text = f"{amount:.{decimals}f}"
    if len(text) > 11:
        return f"{amount:.3g}"
    return text.lstrip("-") if float(text) == 0 else text


def percent(share: float) -> str:
    """'90 %', '52.7 %'."""
    return f"{share * 100:.3g} %"


def seconds(amount: float) -> str:
    """'0.4 s', '12 s', '3.5 min', '2.1 h'."""
    if amount < 90:
        return f"{amount:.1f} s" if amount < 10 else f"{amount:.0f} s"
    return f"{amount / 60:.1f} min" if amount < 5400 else f"{amount / 3600:.1f} h"


def count(n: int, noun: str) -> str:
    """'1 pair', '2 pairs'."""
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def one_line(text: str, limit: int = 160) -> str:
    """The first line, at most this long, without its full stop."""
    line = text.strip().splitlines()[0] if text.strip() else "no reason given"
    line = line if len(line) <= limit else line[: limit - 3] + "..."
    return line.rstrip(".")
