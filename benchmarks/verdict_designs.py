"""Worlds with a known worsening, and the designs that judge them: ours, the fixed ones, and those that people use.

Each function returns an Outcome: how often a design passed and failed, and how many units it took.  Ours is always the
shipped code; the fixed designs are given what they need to be at their best (the discordance, the spread).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from chaos_tasks.stats.evidence import Evidence
from chaos_tasks.stats.row_evidence import row_evidence
from chaos_tasks.stats.seed_evidence import steepness
from chaos_tasks.stats.series_evidence import block_length, series_evidence

Floats = NDArray[np.float64]
Rng = np.random.Generator
ALPHA = 0.05
POWER = 0.9
Z = 1.6448536269514722  # normal quantile of 1 - ALPHA


@dataclass(frozen=True)
class Outcome:
    """Shares of PASS and FAIL over ``repeats``, mean and median units until the decision (or the end)."""

    passed: float
    failed: float
    mean_n: float
    median_n: float
    repeats: int


def outcome(decisions: NDArray[np.int_], used: Floats) -> Outcome:
    """From -1 (pass), 0 (open), 1 (fail) per replicate and the units that each took."""
    return Outcome(
        float(np.mean(decisions == -1)),
        float(np.mean(decisions == 1)),
        float(np.mean(used)),
        float(np.median(used)),
        len(decisions),
    )


def first(passed: NDArray[np.bool_], failed: NDArray[np.bool_], units: NDArray[np.int_]) -> Outcome:
    """From what each look (columns) would say; the first that says something stands."""
    looks = passed.shape[1]
    at_pass = np.where(passed.any(1), passed.argmax(1), looks)
    at_fail = np.where(failed.any(1), failed.argmax(1), looks)
    decisions = np.where(at_pass < at_fail, -1, np.where(at_fail < at_pass, 1, 0))
    return outcome(decisions, units[np.minimum(np.minimum(at_pass, at_fail), looks - 1)].astype(np.float64))


def of_evidence(found: list[Evidence | None], cap: float) -> Outcome:
    """From the shipped code's answers; None counts as open."""
    signs = {"pass": -1, "open": 0, "fail": 1}
    decisions = np.array([0 if one is None else signs[one.decision().value] for one in found])
    used = np.array([float(cap) if one is None or one.decided_at is None else float(one.decided_at) for one in found])
    return outcome(decisions, used)


# ---- rows: one control and one treatment model on the same rows -------------------------------------------------

ROW_MARGIN, ROW_BASE, ROW_CAP = 0.02, 0.95, 6_000


def row_shares(drop: float, noise: float) -> tuple[float, float]:
    """P(lost), P(won) of a row: ``noise`` of the rows differ by chance, half each way; ``drop`` more are lost."""
    return noise / 2 + drop, noise / 2


def rows_sequential(rng: Rng, drop: float, noise: float, repeats: int) -> Outcome:
    """Ours, stopped at the first decision, at most ROW_CAP rows."""
    lost, won = row_shares(drop, noise)
    found: list[Evidence | None] = []
    for _ in range(repeats):
        drawn = rng.random(ROW_CAP)
        rows = np.where(drawn < lost, 1.0, np.where(drawn < lost + won, -1.0, 0.0))
        few = row_evidence(rows[:600], ROW_MARGIN, alpha=ALPHA, looks=())
        decided = few is not None and few.decided_at is not None
        found.append(few if decided else row_evidence(rows, ROW_MARGIN, alpha=ALPHA, looks=()))
    return of_evidence(found, ROW_CAP)


def paired_z(rng: Rng, drop: float, noise: float, n: int, repeats: int) -> Floats:
    """z of the paired mean worsening against the margin; without any difference seen, its sign is all there is."""
    lost, won = row_shares(drop, noise)
    counts = rng.multinomial(n, [lost, won, 1 - lost - won], size=repeats)
    mean = (counts[:, 0] - counts[:, 1]) / n
    variance = (counts[:, 0] + counts[:, 1]) / n - mean**2
    with np.errstate(divide="ignore"):
        found: Floats = (mean - ROW_MARGIN) / np.sqrt(variance / n)
    return found


def unpaired_z(rng: Rng, drop: float, n: int, repeats: int) -> Floats:
    """z of the difference of two independent shares against the margin; n rows per arm."""
    before, after = rng.binomial(n, ROW_BASE, repeats) / n, rng.binomial(n, ROW_BASE - drop, repeats) / n
    error = np.sqrt((before * (1 - before) + after * (1 - after)) / n)
    with np.errstate(divide="ignore"):
        found: Floats = (before - after - ROW_MARGIN) / error
    return found


def fixed(z: Floats, n: int, critical: tuple[float, float] = (-Z, Z)) -> Outcome:
    """One look at n units."""
    decisions = np.where(z < critical[0], -1, np.where(z > critical[1], 1, 0))
    return outcome(decisions, np.full(len(z), float(n)))


def critical_values(z_at_margin: Floats) -> tuple[float, float]:
    """The two cuts that hold both errors at ALPHA in this very world."""
    ordered = np.sort(z_at_margin)
    at = int(ALPHA * len(ordered))
    return float(ordered[at]), float(ordered[-at - 1])


@lru_cache
def calibrated(kind: str, noise: float, power: float = POWER) -> tuple[int, tuple[float, float]]:
    """Smallest n (to 2 %), with its critical values, that passes no effect with ``power`` while both errors hold."""

    def z(drop: float, n: int, seed: int) -> Floats:
        rng = np.random.default_rng([seed, n])
        return paired_z(rng, drop, noise, n, 40_000) if kind == "paired" else unpaired_z(rng, drop, n, 40_000)

    def enough(n: int) -> bool:
        return bool(np.mean(z(0.0, n, 2) < critical_values(z(ROW_MARGIN, n, 1))[0]) >= power)

    low, high = 10, 20_000
    while high > low * 1.02 + 1:
        middle = int(math.sqrt(low * high))
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high, critical_values(z(ROW_MARGIN, high, 1))


def rows_peeking(rng: Rng, drop: float, noise: float, repeats: int, every: int = 50) -> Outcome:
    """The paired z test after every 50 rows, from 100 on and once a row has differed, as if each were the only one."""
    lost, won = row_shares(drop, noise)
    steps = rng.multinomial(every, [lost, won, 1 - lost - won], size=(repeats, ROW_CAP // every))
    seen = np.cumsum(steps, axis=1)
    n = every * np.arange(1, ROW_CAP // every + 1)
    mean = (seen[:, :, 0] - seen[:, :, 1]) / n
    differing = seen[:, :, 0] + seen[:, :, 1]
    error = np.sqrt(np.maximum(differing / n - mean**2, 1e-300) / n)
    z, ready = (mean - ROW_MARGIN) / error, (differing > 0) & (n >= 100)
    return first(ready & (z < -Z), ready & (z > Z), n)


def rows_not_significant(rng: Rng, drop: float, n: int, repeats: int) -> Outcome:
    """ "p > .05, so it passed": unpaired two-sided test of any difference at all."""
    z = unpaired_z(rng, drop, n, repeats) + ROW_MARGIN / math.sqrt(2 * ROW_BASE * (1 - ROW_BASE) / n)
    return outcome(np.where(z > 1.96, 1, -1), np.full(repeats, float(n)))


# ---- seeds: paired trainings ------------------------------------------------------------------------------------

SEED_MARGIN, SEED_SPREAD, SEED_CAP = 0.01, 0.0057, 20
Shape = Callable[[Rng, tuple[int, int]], Floats]  # mean 0, variance 1 (or as near as it has one)


def gauss(rng: Rng, size: tuple[int, int]) -> Floats:
    """The model under which the seed evidence is exact."""
    return rng.standard_normal(size)


def seeds_sequential(worsenings: Floats, margin: float = SEED_MARGIN) -> Outcome:
    """Ours on (repeats, pairs), by the thresholds of the shipped code, which decide as its e-values do."""
    n, mean, spread = _moments(worsenings)
    needed = np.array([steepness(int(one), ALPHA) for one in n])
    far = np.isfinite(needed)
    reach = np.where(far, needed, 0) * spread
    return first(far & (mean + reach < margin), far & (mean - reach > margin), n)


def seeds_peeking(worsenings: Floats, start: int = 3) -> Outcome:
    """The paired t test after every pair from the third on, as if each were the only one."""
    from scipy.special import stdtrit

    n, mean, spread = _moments(worsenings)
    degrees = np.maximum(n - 1, 1)
    reach = stdtrit(degrees, 1 - ALPHA) * spread / np.sqrt(degrees)
    ready = n >= start
    return first(ready & (mean + reach < SEED_MARGIN), ready & (mean - reach > SEED_MARGIN), n)


def seeds_fixed(worsenings: Floats, n: int) -> Outcome:
    """The paired t test at n pairs."""
    from scipy.special import stdtrit

    _, mean, spread = _moments(worsenings[:, :n])
    reach = float(stdtrit(n - 1, 1 - ALPHA)) * spread[:, -1] / math.sqrt(n - 1)
    low, high = mean[:, -1] - reach, mean[:, -1] + reach
    decisions = np.where(high < SEED_MARGIN, -1, np.where(low > SEED_MARGIN, 1, 0))
    return outcome(decisions, np.full(len(worsenings), float(n)))


def seeds_unpaired(rng: Rng, worsening: float, n: int, repeats: int) -> Outcome:
    """Welch's t test of n trainings per arm under seeds of their own; each arm spreads as a paired difference does.

    That is a correlation of one half between the arms of a pair.
    """
    from scipy.special import stdtrit

    before = rng.standard_normal((repeats, n)) * SEED_SPREAD
    after = rng.standard_normal((repeats, n)) * SEED_SPREAD + worsening
    one, other = before.var(axis=1, ddof=1) / n, after.var(axis=1, ddof=1) / n
    degrees = (one + other) ** 2 / ((one**2 + other**2) / (n - 1))
    reach = stdtrit(degrees, 1 - ALPHA) * np.sqrt(one + other)
    mean = after.mean(axis=1) - before.mean(axis=1)
    decisions = np.where(mean + reach < SEED_MARGIN, -1, np.where(mean - reach > SEED_MARGIN, 1, 0))
    return outcome(decisions, np.full(repeats, float(n)))


def seeds_not_significant(worsenings: Floats, n: int) -> Outcome:
    """ "p > .05, so it passed": two-sided paired t test of any difference at all."""
    from scipy.special import stdtrit

    _, mean, spread = _moments(worsenings[:, :n])
    t = mean[:, -1] / (spread[:, -1] / math.sqrt(n - 1))
    decisions = np.where(t > float(stdtrit(n - 1, 1 - ALPHA / 2)), 1, -1)
    return outcome(decisions, np.full(len(worsenings), float(n)))


def power_of_t(n: int, paired: bool) -> float:
    """Probability that n pairs (or n trainings per arm) without any effect pass."""
    from scipy import stats

    degrees = n - 1 if paired else 2 * n - 2
    shift = SEED_MARGIN / SEED_SPREAD * math.sqrt(n if paired else n / 2)
    return float(stats.nct.sf(stats.t.ppf(1 - ALPHA, degrees), degrees, shift))


def seeds_needed(paired: bool, power: float = POWER) -> int:
    """Pairs, or trainings per arm, of the fixed design with that power at no effect."""
    return next(n for n in range(2, 1000) if power_of_t(n, paired) >= power)


def _moments(worsenings: Floats) -> tuple[NDArray[np.int_], Floats, Floats]:
    """Counts, running means and running root mean squared deviations (divisor n)."""
    n = np.arange(1, worsenings.shape[1] + 1)
    base = worsenings[:, :1]  # deviations from the first, so that equal values spread exactly 0
    mean = np.cumsum(worsenings - base, axis=1) / n
    squares = np.cumsum((worsenings - base) ** 2, axis=1) / n
    return n, mean + base, np.sqrt(np.maximum(squares - mean**2, 0))


# ---- rows within seeds ------------------------------------------------------------------------------------------

ROWS_PER_SEED = 200


def clustered(rng: Rng, worsening: float, correlation: float, repeats: int, pairs: int) -> Floats:
    """Row differences (repeats, pairs, rows); their mean per seed always spreads by SEED_SPREAD."""
    variance = SEED_SPREAD**2 / (correlation + (1 - correlation) / ROWS_PER_SEED)
    seeds = rng.standard_normal((repeats, pairs, 1)) * math.sqrt(variance * correlation)
    rows = rng.standard_normal((repeats, pairs, ROWS_PER_SEED)) * math.sqrt(variance * (1 - correlation))
    return np.clip(worsening + seeds + rows, -1, 1)


def pooled_z(rows: Floats) -> Outcome:
    """All rows of all seeds as if independent: one z test."""
    flat = rows.reshape(len(rows), -1)
    z = (flat.mean(axis=1) - SEED_MARGIN) / (flat.std(axis=1) / math.sqrt(flat.shape[1]))
    return fixed(z, rows.shape[1])


def pooled_betting(rows: Floats) -> Outcome:
    """All rows of all seeds as if independent: the row evidence, used where it does not belong."""
    found = [row_evidence(one.reshape(-1), SEED_MARGIN, alpha=ALPHA, looks=()) for one in rows]
    return of_evidence(found, rows[0].size)


# ---- series -----------------------------------------------------------------------------------------------------

SERIES_MARGIN, SERIES_LENGTH = 0.25, 2_000


def series(rng: Rng, memory: float, repeats: int) -> Floats:
    """Stationary AR(1) of variance 1, (repeats, SERIES_LENGTH)."""
    shocks = rng.standard_normal((repeats, SERIES_LENGTH)) * math.sqrt(1 - memory**2)
    values = np.empty_like(shocks)
    last = rng.standard_normal(repeats)
    for at in range(SERIES_LENGTH):
        last = values[:, at] = memory * last + shocks[:, at]
    return values


def differences(rng: Rng, worsening: float, memory: float, repeats: int) -> Floats:
    """Treatment minus control at the same moments, two independent series."""
    return series(rng, memory, repeats) - series(rng, memory, repeats) + worsening


def series_sequential(values: Floats) -> Outcome:
    """Ours; units are values: blocks until the decision times their length."""
    found = [series_evidence(one, SERIES_MARGIN, alpha=ALPHA) for one in values]
    result = of_evidence(found, SERIES_LENGTH)
    sizes = [SERIES_LENGTH if one is None else (one.decided_at or one.n) * (SERIES_LENGTH // one.n) for one in found]
    return Outcome(result.passed, result.failed, float(np.mean(sizes)), float(np.median(sizes)), len(values))


def series_as_independent(values: Floats) -> Outcome:
    """One z test on all values as if independent."""
    z = (values.mean(axis=1) - SERIES_MARGIN) / (values.std(axis=1) / math.sqrt(SERIES_LENGTH))
    return fixed(z, SERIES_LENGTH)


def series_fixed(values: Floats) -> Outcome:
    """One t test on the means of the same blocks that ours uses."""
    from scipy.special import stdtrit

    decisions = []
    for one in values:
        means = _block_means(one)
        n = len(means)
        reach = float(stdtrit(n - 1, 1 - ALPHA)) * float(means.std(ddof=1)) / math.sqrt(n)
        mean = float(means.mean())
        decisions.append(-1 if mean + reach < SERIES_MARGIN else 1 if mean - reach > SERIES_MARGIN else 0)
    return outcome(np.array(decisions), np.full(len(values), float(SERIES_LENGTH)))


def series_peeking(values: Floats) -> Outcome:
    """The t test on block means after every block from the third on."""
    from scipy.special import stdtrit

    found = []
    for one in values:
        n, mean, spread = _moments(_block_means(one)[None, :])
        degrees = np.maximum(n - 1, 1)
        reach = stdtrit(degrees, 1 - ALPHA) * spread / np.sqrt(degrees)
        passed, failed = (mean + reach < SERIES_MARGIN) & (n >= 3), (mean - reach > SERIES_MARGIN) & (n >= 3)
        found.append(first(passed, failed, n * (SERIES_LENGTH // len(n))))
    return Outcome(
        float(np.mean([one.passed for one in found])),
        float(np.mean([one.failed for one in found])),
        float(np.mean([one.mean_n for one in found])),
        float(np.median([one.mean_n for one in found])),
        len(values),
    )


def _block_means(values: Floats) -> Floats:
    size = max(block_length(values), -(-len(values) // 64))
    count = len(values) // size
    means: Floats = values[len(values) - count * size :].reshape(count, size).mean(axis=1)
    return means
