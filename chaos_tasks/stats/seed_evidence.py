"""Sequential t-test of paired trainings: one number per seed, a handful of them, spread unknown.

The scale-invariant e-process of a Gaussian mean: the likelihood ratio of the standardised differences d_i / |d_1|
(d = worsening - margin) between a standardised effect delta and zero, which is what the right Haar prior on sigma gives
(Lai: Confidence sequences for the mean of a normal variable with unknown variance, Annals of Statistics 4, 1976; Wang,
Ramdas: Anytime-valid t-tests and confidence sequences, Sequential Analysis 44, 2025; Pérez-Ortiz, Lardy, de Heide,
Grünwald: E-statistics, group invariance and anytime-valid testing, Annals of Statistics 52, 2024), mixed over delta.
With r = sum(d) / sqrt(sum(d^2)) and n pairs

    R_n(delta) = exp(-n delta^2 / 2) E[exp(delta r V)],   V chi-distributed with n degrees of freedom.

One-sided: each R_n grows in r.  So, given the past, R_n(delta) and R_n(-delta') are a growing and a falling function of
one number, hence not positively correlated under zero effect (Chebyshev), and R_n(delta) is a supermartingale under
every effect of the other sign.  That holds in the filtration of the standardised differences: as an e-value it may be
stopped by this check's own evidence (``Evidence.stopped_log_e_pass``); a decision by crossing holds under any rule.

Where trainings are few, a share of alpha is spent on one Student's t-test of the first three pairs: its e-value is
1/alpha_look where p < alpha_look and 0 elsewhere (0 before the third pair, less than its conditional mean, so that the
weighted sum with the process above stays an e-process).  docs/adr/0027-a-look-at-three.md has why.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from chaos_tasks.stats.evidence import Evidence, Look, check_alpha, settle

METHOD = "sequential paired t"
UNIT = "seed"


@dataclass(frozen=True, eq=False)
class Mixture:
    """Standardised effects that are looked for, the logs of their weights, which sum to 1, and the look at three.

    ``look`` is the share of alpha, within [0, 1), that the test of the first three pairs has.
    """

    effects: tuple[float, ...]
    log_weights: tuple[float, ...]
    look: float = 0.0


def _mixture(*humps: tuple[float, float, float], look: float = 0.0) -> Mixture:
    """Log-normal humps (share, centre, width) in half octaves from 1/8 to 16."""
    effects = tuple(2 ** (k / 2) for k in range(-6, 9))
    weights = [0.0] * len(effects)
    for share, centre, width in humps:
        raw = [math.exp(-((math.log(effect / centre) / width) ** 2) / 2) for effect in effects]
        weights = [weight + share * one / math.fsum(raw) for weight, one in zip(weights, raw, strict=True)]
    return Mixture(effects, tuple(math.log(weight) for weight in weights), look)


# ADR 0013 and 0027 have what was tried.
FEW = _mixture((0.6, 2.0, 0.5), (0.4, 0.7, 0.45), look=0.5)  # trainings: 3 where it is plain, and on to 20 where not
MANY = _mixture((1.0, 0.5, 0.6))  # dozens of cheap units, such as blocks of a series

LOOK_AT = 3  # pairs: two equal differences by chance are common where a metric has few values

_STEEPEST = 1e9  # mean over spread beyond which a difference counts as without spread


def seed_evidence(
    worsenings: Sequence[float], margin: float, *, alpha: float, mixture: Mixture = FEW
) -> Evidence | None:
    """Evidence after each of the paired trainings, in the order given; None without any, or where one is not finite.

    ``worsenings``: one per seed, positive is worse, in the metric's unit; a few hundred at most.  What was seen before
    each look does not matter for its e-values, but for which pairs were the first three.  Differences without any
    spread (a deterministic system) decide after three pairs; differences that all sit exactly on the margin never do.
    Raises ValueError for an alpha outside (0, 0.5).
    """
    check_alpha(alpha)
    values = [float(worsening) for worsening in worsenings]
    if not values or not _usable(values, margin):
        return None
    return settle(_looks(values, margin, alpha, mixture), alpha=alpha, margin=margin, method=METHOD, unit=UNIT)


def log_e_value(n: int, r: float, mixture: Mixture = FEW) -> float:
    """Log e-value of n pairs against "the effect is not positive"; r = sum(d) / sqrt(sum(d^2)), within +-sqrt(n).

    Without the look at three, which needs to know the first three.
    """
    pairs = zip(mixture.log_weights, mixture.effects, strict=True)
    terms = [weight + _log_ratio(n, effect, r) for weight, effect in pairs]
    top = max(terms)
    return top + math.log(math.fsum(math.exp(term - top) for term in terms))


def _looks(values: Sequence[float], margin: float, alpha: float, mixture: Mixture) -> Iterator[Look]:
    first = _standardised([value - margin for value in values[:LOOK_AT]])
    for n in range(1, len(values) + 1):
        seen = values[:n]
        r = _standardised([value - margin for value in seen])
        mean, spread = _mean_and_spread(seen)
        steps = steepness(n, alpha, mixture)
        reach = steps * spread if math.isfinite(steps) else math.inf
        passed, failed = (_log_e(n, side * r, side * first, alpha, mixture) for side in (-1.0, 1.0))
        yield Look(n, passed, failed, mean, mean - reach, mean + reach)


def _log_e(n: int, r: float, first: float, alpha: float, mixture: Mixture) -> float:
    """Log e-value of n pairs of which the first three have ``first``: the process and the look, each with its share."""
    process = math.log1p(-mixture.look) + log_e_value(n, r, mixture)
    if n < LOOK_AT or not mixture.look or first <= _needed_at_three(alpha, mixture):
        return process
    high, low = max(process, -math.log(alpha)), min(process, -math.log(alpha))
    return high + math.log1p(math.exp(low - high))


def _needed_at_three(alpha: float, mixture: Mixture) -> float:
    """The r of three pairs beyond which Student's t, with 2 degrees of freedom, has p < look * alpha.

    Its distribution function is 1/2 + t / (2 sqrt(2 + t^2)), and t / sqrt(2 + t^2) = r / sqrt(3).
    """
    return math.sqrt(LOOK_AT) * (1 - 2 * mixture.look * alpha)


def _usable(values: Sequence[float], margin: float) -> bool:
    """Finite, and not so large that differences or their norm overflow."""
    if not math.isfinite(margin) or not all(math.isfinite(value) for value in values):
        return False
    largest = max(abs(value) for value in (*values, margin))
    return math.isfinite(4 * largest * len(values))


def _standardised(differences: Sequence[float]) -> float:
    """Sum over root of the sum of squares, within +-sqrt(n); 0 when all are 0."""
    norm = math.hypot(*differences)
    if norm == 0:
        return 0.0
    bound = math.sqrt(len(differences))
    return max(-bound, min(bound, math.fsum(difference / norm for difference in differences)))


def _mean_and_spread(values: Sequence[float]) -> tuple[float, float]:
    """Mean and root mean squared deviation (divisor n); taken from the least, so that equal values give exactly 0."""
    least = min(values)
    above = [value - least for value in values]
    mean = math.fsum(above) / len(values)
    return least + mean, math.hypot(*(value - mean for value in above)) / math.sqrt(len(values))


@lru_cache(maxsize=4096)
def steepness(n: int, alpha: float, mixture: Mixture = FEW) -> float:
    """Smallest g = (mean - margin) / root mean squared deviation at which n pairs reach 1/alpha; infinite if none does.

    Of more than three pairs: where the look at three had not decided already.
    r = sqrt(n) g / sqrt(1 + g^2), so the interval of the margins not excluded is mean +- g * deviation.
    """
    needed = -math.log(alpha * (1 - mixture.look))

    def excess(level: float) -> float:
        steep = math.expm1(level)
        return log_e_value(n, math.sqrt(n) * steep / math.hypot(1.0, steep), mixture) - needed

    at_look = math.inf
    if n == LOOK_AT and mixture.look:
        share = 1 - 2 * mixture.look * alpha
        at_look = share / math.sqrt(1 - share * share)
    if log_e_value(n, math.sqrt(n), mixture) < needed:
        return at_look
    return min(at_look, math.expm1(_root(excess, 0.0, math.log1p(_STEEPEST))))


def _root(function: Callable[[float], float], low: float, high: float) -> float:
    """Where a growing function crosses 0: bisection until it is near, then the Illinois rule."""
    below, above, last = function(low), function(high), 0
    for step in range(100):
        middle = (low + high) / 2 if step < 5 else low - below * (high - low) / (above - below)
        value = function(middle)
        if abs(value) < 1e-12 or high - low < 1e-14 * high:
            return middle
        side = 1 if value > 0 else -1
        if side > 0:
            high, above, below = middle, value, below / 2 if side == last else below
        else:
            low, below, above = middle, value, above / 2 if side == last else above
        last = side if step >= 5 else 0
    return high


def _log_ratio(n: int, effect: float, r: float) -> float:
    """log R_n(effect)."""
    at_zero = (n / 2 - 1) * math.log(2) + math.lgamma(n / 2)
    return _log_moment(n - 1, effect * r) - at_zero - n * effect * effect / 2


def _log_moment(k: int, x: float) -> float:
    """Log of the integral of v^k exp(-v^2/2 + x v) over v > 0: Gamma(k+1) exp(x^2/4) D_{-k-1}(-x).

    By its recurrence I_{j+1} = x I_j + j I_{j-1}, as ratios: upwards where it is stable, for negative x downwards, as a
    continued fraction (Gautschi: Computational aspects of three-term recurrence relations, SIAM Review 9, 1967).
    """
    return _moment_up(k, x) if x > -4 / math.sqrt(k + 1) else _moment_down(k, -x)


def _moment_up(k: int, x: float) -> float:
    half = math.sqrt(math.pi / 2) * math.erfc(-x / math.sqrt(2))  # I_0, less exp(x^2/2)
    logs = [x * x / 2 + math.log(half)]
    ratio = x + math.exp(-x * x / 2) / half
    for j in range(1, k + 1):
        logs.append(math.log(ratio))
        ratio = x + j / ratio
    return math.fsum(logs)


def _moment_down(k: int, size: float) -> float:
    """For x = -size.  Starts far enough out that the start no longer shows."""
    far = math.ceil((math.sqrt(k) + 12 / size) ** 2) + 4
    ratio = (math.sqrt(size * size + 4 * far) - size) / 2
    logs = []
    for j in range(far, 0, -1):
        ratio = j / (size + ratio)
        if j <= k:
            logs.append(math.log(ratio))
    return math.fsum(logs) - math.log(size + ratio)
