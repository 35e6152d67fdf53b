"""Shares whose evidence fades: weights by age, what they leave of a sample, and an interval for the mean of several."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist


def faded(age_s: float, half_life_s: float) -> float:
    """What is left of 1 after this age: a half per half-life; the future has lost nothing.

    Raises ValueError for a half-life that is not positive, or an age that is no number.
    """
    if not half_life_s > 0 or math.isnan(age_s):
        raise ValueError(f"age {age_s} s with half-life {half_life_s} s")
    return math.exp2(-max(0.0, age_s) / half_life_s)


def effective_n(weights: Sequence[float]) -> float:
    """How many equal weights say as much (Kish 1965): (sum w)^2 / sum w^2; 0 without any."""
    top = max(weights, default=0.0)
    if top <= 0:
        return 0.0
    scaled = [weight / top for weight in weights]
    return math.fsum(scaled) ** 2 / math.fsum(weight * weight for weight in scaled)


def wilson(share: float, n: float, *, level: float) -> tuple[float, float]:
    """Wilson's two-sided limits of a share (0..1) of n units, n any number from 0; n = 0 says nothing: (0, 1).

    Wilson: Probable inference, the law of succession, and statistical inference, JASA 22 (1927).
    """
    if not 0 <= share <= 1 or not n >= 0 or not 0 < level < 1:
        raise ValueError(f"share {share} of {n} at level {level}")
    z2 = NormalDist().inv_cdf((1 + level) / 2) ** 2
    reach = math.sqrt(z2 * (z2 + 4 * n * share * (1 - share)))
    middle, scale = z2 + 2 * n * share, 2 * (z2 + n)
    return max(0.0, (middle - reach) / scale), min(1.0, (middle + reach) / scale)


@dataclass(frozen=True)
class FadedShare:
    """A share known from a fading sample: of today's truth, ``known`` (0..1) is like the sample and the rest unknown.

    ``least`` counts what was not answered as bad, ``most`` as good; ``n`` is the effective size of the sample.
    """

    least: float
    most: float
    n: float
    known: float


def mean_limits(shares: Sequence[FadedShare], *, level: float) -> tuple[float, float]:
    """Limits of the mean of today's true shares: sampling error of the known part, and all of the unknown part.

    The unknown part is bounded, not guessed (Manski 2003); sampling errors of independent shares are put together by
    variance estimates recovery (Zou, Donner: Statistics in Medicine 27 (2008)).  No shares: (0, 1).
    """
    if not shares:
        return 0.0, 1.0
    count = len(shares)
    low = math.fsum(one.known * one.least for one in shares) / count
    high = math.fsum(one.known * one.most + 1 - one.known for one in shares) / count
    below = [one.known * (one.least - wilson(one.least, one.n, level=level)[0]) for one in shares]
    above = [one.known * (wilson(one.most, one.n, level=level)[1] - one.most) for one in shares]
    return max(0.0, low - math.hypot(*below) / count), min(1.0, high + math.hypot(*above) / count)
