"""Sentences for a manager; the only place in judging where numbers are rounded."""

from __future__ import annotations

import math

from chaos_tasks.model.base import Json
from chaos_tasks.model.experiment import Check, Exactly, NonInferiority, Range
from chaos_tasks.stats.interval import Interval

SHORT_NAMES = {"auc": "AUC", "mae": "MAE", "mse": "MSE", "rmse": "RMSE", "f1": "F1", "ece": "ECE"}


def subject(check: Check) -> str:
    """What a check is about, as people say it."""
    metric = check.params.get("metric")
    if not isinstance(metric, str):
        return check.name
    name = SHORT_NAMES.get(metric.lower(), metric)
    part = check.params.get("slice")
    return f"{name} on {part}" if isinstance(part, str) else name


def effect(check: Check, tolerance: NonInferiority, interval: Interval, margin: float) -> str:
    """'AUC fell by 0.031 (90 % interval 0.024 to 0.038; margin 0.010; 4 paired trials).'"""
    worse, better = ("fell", "rose") if tolerance.better == "higher" else ("rose", "fell")
    estimate = number(abs(interval.estimate), margin)
    if float(estimate) == 0:
        moved, shown = "did not change", f"{percent(interval.level)} interval"
    elif interval.estimate > 0:
        moved, shown = f"{worse} by {estimate}", f"{percent(interval.level)} interval"
    else:  # the bounds are those of the worsening, so their sign has to be explained
        noun = {"fell": "fall", "rose": "rise"}[worse]
        moved, shown = f"{better} by {estimate}", f"{percent(interval.level)} interval of the {noun}"
    low, high = number(interval.low, margin), number(interval.high, margin)
    trainings = count(interval.n, "paired trial")
    return f"{subject(check)} {moved} ({shown} {low} to {high}; margin {number(margin, margin)}; {trainings})."


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
