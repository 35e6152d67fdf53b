"""Tails without a model of the distribution: quantiles, shares beyond a limit, and how much more often it is exceeded.

Intervals of quantiles by order statistics: Wilks: Order statistics, Bulletin of the AMS 54 (1948).  All of it takes
the values as independent: values that follow each other in time are rarely so, and are to be compared over trainings or
in blocks.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from chaos_tasks.stats.interval import Interval
from chaos_tasks.stats.reliability import share_interval
from chaos_tasks.stats.unknown import Unknown

Array = np.ndarray[Any, np.dtype[Any]]
ORDER = "order statistics"
NODES = 200
"""Points at which the chance behind the control's quantile is averaged."""


def quantile(values: Array, share: float) -> float:
    """The smallest value that ``share`` of them do not exceed (an order statistic, no interpolation); NaN of none."""
    return float(np.sort(values)[_place(len(values), share)]) if len(values) else math.nan


def quantile_interval(values: Array, share: float, *, alpha: float) -> Interval | Unknown:
    """The quantile with an interval of level 1 - 2 alpha at least, each side alpha at most, for any distribution.

    Unknown where there are too few values to bound one of the sides (for p99 at alpha .05: fewer than 299), none, or
    one that is no number.  An infinite value is a value.
    """
    n = len(values)
    if not n or np.isnan(values).any():
        return Unknown("there is no value" if not n else "a value is no number")
    low, high = _order_places(n, share, alpha)
    if low < 0 or high >= n:
        side = "upper" if high >= n else "lower"
        return Unknown(
            f"{n} values are too few for the {side} bound of the {share:.3g} quantile (at least "
            f"{smallest_n(share, alpha)})"
        )
    ordered = np.sort(values)
    estimate = float(ordered[_place(n, share)])
    return Interval(estimate, float(ordered[low]), float(ordered[high]), 1 - 2 * alpha, n, ORDER)


def smallest_n(share: float, alpha: float) -> int:
    """Values needed to bound a quantile (0 < share < 1) from both sides at alpha each."""
    return math.ceil(math.log(alpha) / math.log(max(share, 1 - share)) - 1e-9)


def exceedance(values: Array, limit: float, *, alpha: float) -> Interval | Unknown:
    """Share of values above the limit, with Clopper and Pearson's interval; Unknown of none or of one that is NaN."""
    if np.isnan(values).any():
        return Unknown("a value is no number")
    found = share_interval(int((values > limit).sum()), len(values), alpha=alpha)
    return found if found is not None else Unknown("there is no value")


@dataclass(frozen=True)
class ExceedanceRatio:
    """How many times more often the treatment exceeds what a share of the control's values does not."""

    limit: float  # the control's quantile
    control: int  # values above it
    treatment: int
    ratio: Interval


def exceedance_ratio(control: Array, treatment: Array, share: float, *, alpha: float) -> ExceedanceRatio | Unknown:
    """Ratio of the treatment's chance to exceed the control's ``share`` quantile to the control's own chance.

    The limit is itself measured: the chance of exceeding the r-th of n ordered values is Beta(n - r + 1, r), whatever
    the distribution (Gumbel, von Schelling: The distribution of the number of exceedances, 1950).  The treatment's
    count is judged on average over that chance, so each side errs alpha at most for continuous values.  Unknown with
    too few control values to have any above their quantile, no treatment value, or a NaN.
    """
    n, m = len(control), len(treatment)
    if np.isnan(control).any() or np.isnan(treatment).any():
        return Unknown("a value is no number")
    place = _place(n, share) if n else 0
    above = n - 1 - place
    if above < 1 or not m:
        return Unknown(f"{n} control values and {m} treatment values have no tail to compare")
    limit = float(np.sort(control)[place])
    count = int((treatment > limit).sum())
    chances = _beta_nodes(above + 1, place + 1)
    low = _solve(lambda ratio: 1 - _binomial(count - 1, m, ratio * chances) - alpha) if count else 0.0
    high = _solve(lambda ratio: alpha - _binomial(count, m, ratio * chances)) if count < m else math.inf
    estimate = count / m / (above / n)
    interval = Interval(estimate, min(low, estimate), max(high, estimate), 1 - 2 * alpha, n + m, "exceedances")
    return ExceedanceRatio(limit, int((control > limit).sum()), count, interval)


def _place(n: int, share: float) -> int:
    """Place from 0 of the quantile among n ordered values."""
    if not 0 < share < 1:
        raise ValueError(f"a quantile's share lies within (0, 1), not {share}")
    return min(n - 1, max(0, math.ceil(share * n - 1e-9) - 1))


def _order_places(n: int, share: float, alpha: float) -> tuple[int, int]:
    """Places from 0 that miss the quantile with chance alpha at most on each side; -1 and n where there is none.

    The r-th of n values (r from 1) lies above the quantile with chance P(Binomial(n, share) <= r - 1).
    """
    from scipy.special import bdtr

    below = bdtr(np.arange(n, dtype=np.float64), n, share)  # P(Binomial <= r - 1) at r = 1..n
    low = int(np.searchsorted(below, alpha, side="right")) - 1
    high = int(np.searchsorted(below, 1 - alpha, side="left"))
    return low, high


def _beta_nodes(a: int, b: int) -> Array:
    """Equally likely points of a beta distribution."""
    from scipy.special import betaincinv

    return np.asarray(betaincinv(a, b, (np.arange(NODES) + 0.5) / NODES))


def _binomial(count: int, n: int, chances: Array) -> float:
    """Mean over chances (at most 1) of P(Binomial(n, chance) <= count)."""
    from scipy.special import bdtr

    return float(np.mean(bdtr(float(count), n, np.minimum(chances, 1.0)))) if count >= 0 else 0.0


def _solve(rises: Any) -> float:
    """Where an increasing function of a ratio crosses zero, by bisection on its logarithm within 1e-6 to 1e6."""
    low, high = math.log(1e-6), math.log(1e6)
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (low, middle) if rises(math.exp(middle)) > 0 else (middle, high)
    return math.exp((low + high) / 2)
