"""The bootstrap of rows, done on their counts: a resample of n rows is one multinomial draw over the cells.

Rows of one cell are alike to the statistic, so this is not an approximation of the row bootstrap but its distribution
(Efron, Tibshirani: An Introduction to the Bootstrap, 1993, chapters 6 and 13), at a cost that does not depend on n.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from chaos_tasks.stats.interval import Interval

Array = np.ndarray[Any, np.dtype[Any]]


def resample(counts: Array, n: int, replicates: int, rng: np.random.Generator) -> Array:
    """``replicates`` tables of ``n`` rows drawn with chances proportional to ``counts`` (any shape, not negative).

    Returns int64 of shape (*counts.shape, replicates): the replicates of a cell lie side by side.
    """
    flat = counts.reshape(-1)
    drawn = np.zeros((len(flat), replicates), dtype=np.int64)
    left, rest = np.full(replicates, n, dtype=np.int64), float(flat.sum())
    # Cell by cell, each a binomial of what the cells before it left: a sixth faster than numpy's multinomial, and the
    # largest first, since a binomial of one n is prepared once.
    filled = [int(cell) for cell in np.argsort(-flat, kind="stable") if flat[cell] > 0]
    for cell in filled[:-1]:
        drawn[cell] = rng.binomial(left, min(1.0, flat[cell] / rest))
        left -= drawn[cell]
        rest -= flat[cell]
    if filled:
        drawn[filled[-1]] = left
    return drawn.reshape(*counts.shape, replicates)


def percentile_interval(estimate: float, replicates: Array, alpha: float, n: int, method: str) -> Interval | None:
    """Each side alpha, straight from the replicates' quantiles; None when none of them is a finite number."""
    found = replicates[np.isfinite(replicates)]
    if not len(found):
        return None
    low, high = np.quantile(found, [alpha, 1 - alpha])
    return Interval(estimate, float(low), float(high), 1 - 2 * alpha, n, f"{method}, percentile")


def upper_bound(estimate: float, errors: Array, alpha: float) -> float:
    """What the truth exceeds with chance alpha, where ``errors`` are draws of (estimate - truth)."""
    return estimate - float(np.quantile(errors, alpha))


def lower_bound(estimate: float, errors: Array, alpha: float) -> float:
    """What the truth falls short of with chance alpha, where ``errors`` are draws of (estimate - truth)."""
    return estimate - float(np.quantile(errors, 1 - alpha))


def p_below(estimate: float, errors: Array, margin: float) -> float:
    """P-value against "the truth is the margin or more"; never 0."""
    return float((np.count_nonzero(errors <= estimate - margin) + 1) / (len(errors) + 1))


def p_above(estimate: float, errors: Array, margin: float) -> float:
    """P-value against "the truth is the margin or less"; never 0."""
    return float((np.count_nonzero(errors >= estimate - margin) + 1) / (len(errors) + 1))


def absolute_errors(centres: Array, spreads: Array, noise: Array, reach: float | None) -> Array:
    """Draws (replicates,) of measured less true sum of |x| over ``centres`` (k,), with ``noise`` (k, replicates).

    With ``reach``, an x within so many of its standard errors (``spreads``) of zero counts as truly zero, which noise
    raises most; without, each sign counts as known (Fang, Santos 2019, as in ``fairness``).
    """
    signed = np.where(centres < 0, -1.0, 1.0)[:, None] * noise
    if reach is None:
        return np.asarray(signed.sum(axis=0))
    near = (np.abs(centres) <= reach * spreads)[:, None]
    return np.asarray(np.where(near, np.abs(noise), signed).sum(axis=0))


def reach_of(n: int) -> float:
    """Standard errors within which numbers count as tied, or as zero: grows without end with the number of rows, but
    slower than the errors shrink."""
    return float(np.sqrt(np.log(max(n, 3))))
