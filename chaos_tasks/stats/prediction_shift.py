"""How far a fault moved a model's predictions, whether or not they got worse: labels are not needed.

On the same rows: the mean move of a score, decisions that flipped (McNemar: Note on the sampling error of the
difference between correlated proportions, Psychometrika 12, 1947), and how far apart the distributions of scores are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from chaos_tasks.stats import bootstrap
from chaos_tasks.stats.interval import Interval
from chaos_tasks.stats.reliability import share_interval
from chaos_tasks.stats.unknown import Unknown

Array = np.ndarray[Any, np.dtype[Any]]
BINS = 32
PSI_BINS = 10
METHOD = "paired multinomial bootstrap of score bins"


@dataclass(frozen=True)
class Flips:
    """McNemar's table: rows by the decisions of both models."""

    stayed_0: int
    to_1: int
    to_0: int
    stayed_1: int

    @property
    def n(self) -> int:
        """Rows."""
        return self.stayed_0 + self.to_1 + self.to_0 + self.stayed_1

    def share(self, *, alpha: float) -> Interval | Unknown:
        """Share of rows whose decision flipped, with Clopper and Pearson's interval; Unknown without a row."""
        found = share_interval(self.to_1 + self.to_0, self.n, alpha=alpha)
        return found if found is not None else Unknown("there is no row")

    @property
    def p_symmetric(self) -> float:
        """Exact two-sided p-value that flips go either way alike; 1 without a flip."""
        from scipy.special import bdtr

        flips = self.to_1 + self.to_0
        return min(1.0, 2 * float(bdtr(float(min(self.to_1, self.to_0)), flips, 0.5))) if flips else 1.0


def flips(control: Array, treatment: Array, threshold: float) -> Flips:
    """Decide 1 from ``threshold`` on, for scores (n,) of both models."""
    cell = 2 * (control >= threshold).astype(np.int64) + (treatment >= threshold)
    stayed_0, to_1, to_0, stayed_1 = (int(count) for count in np.bincount(cell, minlength=4))
    return Flips(stayed_0, to_1, to_0, stayed_1)


def moves(control: Array, treatment: Array) -> Array:
    """|treatment - control| of each row."""
    return np.abs(np.asarray(treatment, np.float64) - control)


@dataclass(frozen=True)
class Distance:
    """A distance of two distributions of scores with its interval, and p-values against a margin."""

    interval: Interval
    p_pass: float
    p_fail: float


def wasserstein(
    control: Array, treatment: Array, margin: float, *, alpha: float, rng: np.random.Generator, replicates: int = 4000
) -> Distance | Unknown:
    """First Wasserstein distance of the scores (n,) of both models, exact; its 1 - 2 alpha interval from a bootstrap of
    rows in bins of score.  Unknown without a row or with a score that is no finite number."""
    bad = _unusable(control, treatment)
    if bad is not None:
        return bad
    value = float(np.abs(np.sort(np.asarray(control, np.float64)) - np.sort(treatment)).mean())
    low, high = _ends(control, treatment)
    if low == high:
        return _nothing(len(control), alpha, margin)
    edges = np.linspace(low, high, BINS + 1)[1:-1]
    rows, before, after = _cells(control, treatment, edges)
    n = len(control)
    places = np.arange(len(edges))[:, None]
    contrast = (before <= places).astype(np.float64) - (after <= places)  # of the two distribution functions, by edge
    weight = (high - low) / BINS / n
    centres = contrast @ rows
    spreads = np.sqrt(contrast**2 @ rows)
    noise = contrast @ bootstrap.resample(rows, n, replicates, rng) - centres[:, None]
    least = weight * bootstrap.absolute_errors(centres, spreads, noise, None)
    most = weight * bootstrap.absolute_errors(centres, spreads, noise, bootstrap.reach_of(n))
    return _distance(value, least, most, margin, alpha, n)


def population_stability(
    control: Array, treatment: Array, margin: float, *, alpha: float, rng: np.random.Generator, replicates: int = 4000
) -> Distance | Unknown:
    """Population stability index over tenths of the control's scores, with its 1 - 2 alpha interval.

    Noise raises it, so the interval is the wider of percentile and pivot on each side.  Unknown as ``wasserstein``.
    """
    bad = _unusable(control, treatment)
    if bad is not None:
        return bad
    edges = np.unique(np.quantile(control, np.arange(1, PSI_BINS) / PSI_BINS))
    rows, before, after = _cells(control, treatment, edges)
    n, bins = len(control), np.arange(len(edges) + 1)[:, None]

    def index(counts: Array) -> Array:
        return psi((before == bins).astype(np.float64) @ counts, (after == bins).astype(np.float64) @ counts)

    value = float(index(rows))
    errors = index(bootstrap.resample(rows, n, replicates, rng)) - value
    both = np.sort(errors), np.sort(-errors)
    return _distance(value, np.minimum(*both), np.maximum(*both), margin, alpha, n)


def psi(reference: Array, current: Array) -> Array:
    """Population stability index of counts over the first axis; half a row is added to each count."""
    p, q = ((counts + 0.5) / (counts + 0.5).sum(axis=0) for counts in (reference, current))
    return np.asarray(((q - p) * np.log(q / p)).sum(axis=0))


def _distance(value: float, least: Array, most: Array, margin: float, alpha: float, n: int) -> Distance:
    low = max(0.0, bootstrap.lower_bound(value, most, alpha))
    high = bootstrap.upper_bound(value, least, alpha)
    interval = Interval(value, min(low, value), max(high, value), 1 - 2 * alpha, n, METHOD)
    return Distance(interval, bootstrap.p_below(value, least, margin), bootstrap.p_above(value, most, margin))


def _nothing(n: int, alpha: float, margin: float) -> Distance:
    """All scores of both models are one number."""
    return Distance(Interval(0.0, 0.0, 0.0, 1 - 2 * alpha, n, "identical scores"), float(margin <= 0), 1.0)


def _ends(control: Array, treatment: Array) -> tuple[float, float]:
    return float(min(control.min(), treatment.min())), float(max(control.max(), treatment.max()))


def _cells(control: Array, treatment: Array, edges: Array) -> tuple[Array, Array, Array]:
    """Rows of each filled pair of bins, and the bin of the control and of the treatment in it."""
    count = len(edges) + 1
    before, after = (np.searchsorted(edges, scores, side="right") for scores in (control, treatment))
    rows = np.bincount(before * count + after, minlength=count * count)
    filled = np.flatnonzero(rows)
    return rows[filled], filled // count, filled % count


def _unusable(control: Array, treatment: Array) -> Unknown | None:
    if not len(control):
        return Unknown("there is no row")
    return (
        None if np.isfinite(control).all() and np.isfinite(treatment).all() else Unknown("a score is no finite number")
    )
