"""Whether one more value of a series is worse than its history explains: a rank among one-step-ahead surprises.

Each value is predicted by the mean of the few before it; its surprise is how much worse it was than that.  The new
value's p-value is the share of surprises at least as bad, itself included: with n of them it is at least 1 / (n + 1).
That is a conformal p-value (Vovk, Gammerman, Shafer: Algorithmic Learning in a Random World, 2005, ch. 2), exact where
surprises are exchangeable.  A level that wanders or drifts evenly is in all surprises alike; one whose surprises
changed, in size or in spread, is refused.  How often it is wrong all the same is counted in
`tests/unit/stats/test_history.py`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

WINDOW = 5
"""Values that predict the next."""

CHANGED = 0.01
SPREAD_CHANGED = 0.05
"""Levels at which the later half of the surprises counts as different from the earlier one."""


@dataclass(frozen=True)
class Surprise:
    """How much worse a value was than its history had it, in its own unit, and how rare that is."""

    worse_by: float
    p: float
    n: int
    predicted: float


def surprise(history: Sequence[float], value: float, *, higher_is_better: bool) -> Surprise:
    """Raises ValueError for a history that is too short to predict anything, or holds what is no number."""
    if len(history) <= WINDOW or not all(map(math.isfinite, history)):
        raise ValueError(f"{len(history)} earlier values predict nothing: more than {WINDOW} finite ones are needed")
    sign = 1.0 if higher_is_better else -1.0
    series = [*history, value]
    worse = [sign * (math.fsum(series[at - WINDOW : at]) / WINDOW - series[at]) for at in range(WINDOW, len(series))]
    *past, now = worse
    if math.isnan(now):  # a model that returns no number is as bad as can be
        now = math.inf
    as_bad = sum(one >= now for one in past)
    return Surprise(now, (1 + as_bad) / (len(past) + 1), len(past), math.fsum(history[-WINDOW:]) / WINDOW)


def least(alpha: float) -> int:
    """Earlier values below which no p-value can be as small as alpha."""
    return WINDOW + math.ceil(1 / alpha - 1 - 1e-9)


def changed(history: Sequence[float]) -> str:
    """What of the surprises is not what it was, in words; empty where nothing speaks against comparing them."""
    from scipy import stats

    past = [history[at] - math.fsum(history[at - WINDOW : at]) / WINDOW for at in range(WINDOW, len(history))]
    early, late = past[: len(past) // 2], past[len(past) // 2 :]
    if len(early) < 2:
        return ""
    if float(stats.ks_2samp(early, late).pvalue) < CHANGED:
        return "its level changed"
    middle = sorted(past)[len(past) // 2]
    spread = [[abs(one - middle) for one in half] for half in (early, late)]
    if len(set(past)) > 1 and float(stats.mannwhitneyu(*spread).pvalue) < SPREAD_CHANGED:
        return "its spread changed"
    return ""
