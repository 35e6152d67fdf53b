"""The mean of paired differences with Student's interval: one pair per seed, so rows within a seed are one unit.

Non-inferiority by confidence interval: the two-sided 1 - 2 alpha interval is the one-sided test at alpha (FDA,
Non-Inferiority Clinical Trials to Establish Effectiveness, 2016, section IV).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from chaos_tasks.stats.interval import Interval

STUDENT = "paired t"
IDENTICAL = "identical differences"


def paired_interval(differences: Sequence[float], *, alpha: float) -> Interval | None:
    """Mean of the differences with its 1 - 2 alpha interval, or None where the data say nothing about their spread.

    None: fewer than two differences, one of them not finite, or numbers too large to add.  Differences that are all
    equal give an interval of zero width under a name of its own: a deterministic system has no spread to estimate.
    That is a claim about these trainings only; ``reliability.largest_failure_share`` says what n of them leave open.
    Raises ValueError for alpha outside (0, 0.5).
    """
    if not 0 < alpha < 0.5:
        raise ValueError(f"alpha must lie within (0, 0.5), not {alpha}")
    n = len(differences)
    if n < 2 or not all(math.isfinite(difference) for difference in differences):
        return None
    level = 1 - 2 * alpha
    if all(difference == differences[0] for difference in differences):
        return Interval(differences[0], differences[0], differences[0], level, n, IDENTICAL)
    mean, error = _mean_and_error(differences)
    reach = _student(1 - alpha, n - 1) * error
    if not math.isfinite(mean - reach) or not math.isfinite(mean + reach):
        return None
    return Interval(mean, mean - reach, mean + reach, level, n, STUDENT)


def _mean_and_error(values: Sequence[float]) -> tuple[float, float]:
    """Mean and standard error; scaled by the largest value, so that squares neither overflow nor vanish."""
    scale = max(abs(value) for value in values)
    scaled = [value / scale for value in values]
    n = len(scaled)
    mean = math.fsum(scaled) / n
    variance = math.fsum((value - mean) ** 2 for value in scaled) / (n - 1)
    return mean * scale, math.sqrt(variance / n) * scale


def _student(quantile: float, degrees: int) -> float:
    """Quantile of Student's distribution; scipy.special loads four times as fast as scipy.stats."""
    from scipy.special import stdtrit

    return float(stdtrit(degrees, quantile))
