"""Where harm hides in a mean: the worsening of each slice, and an interval of the worst one that is not luck.

The largest of K slices lies below u if all K do: their upper bounds need no correction (Berger: Multiparameter
Hypothesis Testing and Acceptance Sampling, Technometrics 24, 1982).  That one of K lies above l is a claim about the
luckiest: lower bounds share alpha between them (Bonferroni, as slices of two columns overlap).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from chaos_tasks.stats.interval import Interval
from chaos_tasks.stats.unknown import Unknown

Array = np.ndarray[Any, np.dtype[Any]]
MIN_ROWS = 100
METHOD = "slices, Student"


@dataclass(frozen=True)
class Slice:
    """One slice's worsening with its standard error."""

    name: str
    n: int
    estimate: float
    error: float


@dataclass(frozen=True)
class SliceResult:
    """One slice with its interval, which holds for all slices at once; or why it has none."""

    name: str
    n: int
    interval: Interval | None
    reason: str = ""


@dataclass(frozen=True)
class Worst:
    """All slices, and the interval of the largest worsening among those measured (level 1 - 2 alpha)."""

    name: str
    interval: Interval
    slices: tuple[SliceResult, ...]
    measured: tuple[Slice, ...]

    @property
    def left_out(self) -> tuple[str, ...]:
        """Names of the slices that are not known."""
        return tuple(one.name for one in self.slices if one.interval is None)

    def p_below(self, margin: float) -> float:
        """P-value against "some slice is worse by the margin or more": the largest of the slices' own."""
        return max(_p(one, margin - one.estimate) for one in self.measured)

    def p_above(self, margin: float) -> float:
        """P-value against "no slice is worse by more than the margin" (Bonferroni)."""
        return min(1.0, len(self.measured) * min(_p(one, one.estimate - margin) for one in self.measured))


def mean_slices(
    prefix: str, codes: Array, names: Sequence[str], worsenings: Array, *, unseen: float = 0.0
) -> list[Slice]:
    """Mean worsening of each slice: ``codes`` (n,) are places in ``names``, ``worsenings`` (n,) are finite.

    The variance of a slice counts two rows more, one to each side, as large as a typical row that changed at all: so a
    slice in which no row happened to change is not taken for one in which none ever would (Agresti, Coull 1998).
    ``unseen`` is the size of a change where no row of any slice changed; 0 says that none could.
    """
    rows = np.bincount(codes, minlength=len(names))
    total = np.bincount(codes, worsenings, minlength=len(names))
    squares = np.bincount(codes, worsenings**2, minlength=len(names))
    changed = worsenings[worsenings != 0]
    typical = float(np.mean(changed**2)) if len(changed) else unseen**2
    with np.errstate(invalid="ignore", divide="ignore"):
        means = total / rows
        errors = np.sqrt(((squares + 2 * typical) / (rows + 2) - means**2).clip(0) / rows)
    return [
        Slice(f"{prefix}={name}", int(n), float(mean), float(error))
        for name, n, mean, error in zip(names, rows, means, errors, strict=True)
    ]


def worst_slice(
    slices: Sequence[Slice | tuple[str, int, Unknown]], *, alpha: float, min_rows: int = MIN_ROWS
) -> Worst | Unknown:
    """The worst slice and every other; a slice with fewer than ``min_rows`` rows, or none, is left out by name.

    Unknown where no slice is left.
    """
    measured = [one for one in slices if isinstance(one, Slice) and one.n >= min_rows and math.isfinite(one.estimate)]
    if not measured:
        return Unknown(f"none of {len(slices)} slices has {min_rows} rows and a number")
    each = alpha / len(measured)
    lows = [one.estimate - _reach(one.n, each) * one.error for one in measured]
    highs = [one.estimate + _reach(one.n, alpha) * one.error for one in measured]
    worst = max(measured, key=lambda one: one.estimate)
    rows = sum(one.n for one in measured)
    interval = Interval(
        worst.estimate, max(lows), max(highs), 1 - 2 * alpha, rows, f"largest of {len(measured)} slices"
    )
    results = tuple(_result(one, alpha, len(measured), min_rows) for one in slices)
    return Worst(worst.name, interval, results, tuple(measured))


def _result(one: Slice | tuple[str, int, Unknown], alpha: float, count: int, min_rows: int) -> SliceResult:
    if not isinstance(one, Slice):
        return SliceResult(one[0], one[1], None, one[2].reason)
    if not one.n:
        return SliceResult(one.name, 0, None, "no row")
    if one.n < min_rows:
        return SliceResult(one.name, one.n, None, f"{one.n} rows, fewer than {min_rows}")
    if not math.isfinite(one.estimate):
        return SliceResult(one.name, one.n, None, "its worsening is no finite number")
    reach = _reach(one.n, alpha / count) * one.error
    interval = Interval(one.estimate, one.estimate - reach, one.estimate + reach, 1 - 2 * alpha, one.n, METHOD)
    return SliceResult(one.name, one.n, interval)


def _reach(n: int, alpha: float) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(max(n - 1, 1), 1 - alpha))


def _p(one: Slice, distance: float) -> float:
    """One-sided p-value of an estimate that lies ``distance`` on the good side of the margin."""
    from scipy.special import stdtr

    if one.error == 0:
        return float(distance <= 0)
    return float(stdtr(max(one.n - 1, 1), -distance / one.error))
