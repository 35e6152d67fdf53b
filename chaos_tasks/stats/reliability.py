"""What n trials say about a share: Clopper and Pearson's exact interval, and what n successes leave open.

Clopper, Pearson: The use of confidence or fiducial limits, Biometrika 26 (1934); Hanley, Lippman-Hand: If nothing goes
wrong, is everything all right?, JAMA 249 (1983), the rule of three, here in its exact form.
"""

from __future__ import annotations

import math

from chaos_tasks.stats.interval import Interval

EXACT = "clopper-pearson"


def share_interval(successes: int, n: int, *, alpha: float) -> Interval | None:
    """Share of successes with its exact 1 - 2 alpha interval (each side alpha); None for n = 0.

    Raises ValueError unless 0 <= successes <= n and alpha lies within (0, 0.5).
    """
    if not 0 <= successes <= n:
        raise ValueError(f"{successes} successes of {n} trials")
    if not 0 < alpha < 0.5:
        raise ValueError(f"alpha must lie within (0, 0.5), not {alpha}")
    if n == 0:
        return None
    low = _beta(alpha, successes, n - successes + 1) if successes else 0.0
    high = _beta(1 - alpha, successes + 1, n - successes) if successes < n else 1.0
    return Interval(successes / n, low, high, 1 - 2 * alpha, n, EXACT)


def largest_failure_share(n: int, *, alpha: float) -> float:
    """Largest share of failures (0..1) that n trials without one do not rule out at confidence 1 - alpha."""
    if n < 0 or not 0 < alpha < 1:
        raise ValueError(f"n must not be negative and alpha must lie within (0, 1), not {n} and {alpha}")
    return float(1 - alpha ** (1 / n)) if n else 1.0


def trials_for_reliability(share: float, *, alpha: float) -> int:
    """Trials without a failure that show, at confidence 1 - alpha, that at least ``share`` (0..1) of runs succeed."""
    if not 0 < share < 1 or not 0 < alpha < 1:
        raise ValueError(f"share and alpha must lie within (0, 1), not {share} and {alpha}")
    return math.ceil(math.log(alpha) / math.log(share) - 1e-9)


def _beta(quantile: float, a: int, b: int) -> float:
    from scipy.special import betaincinv

    return float(betaincinv(a, b, quantile))
