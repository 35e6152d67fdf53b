"""Whether scores mean what they say: calibration error, log loss and Brier score from sums that can be added up.

Expected calibration error over bins of equal width or of equal mass ("adaptive"): Guo, Pleiss, Sun, Weinberger: On
Calibration of Modern Neural Networks, 2017; Nixon et al.: Measuring Calibration in Deep Learning, 2019.

An absolute value of noise is never zero, so the error's own noise raises it; intervals of its change are drawn from its
directional derivative, each side with the bins near zero at their worst for it, as gaps are in ``fairness``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from chaos_tasks.stats import bootstrap
from chaos_tasks.stats.interval import Interval
from chaos_tasks.stats.unknown import Unknown

Array = np.ndarray[Any, np.dtype[Any]]
BINS = 15
CLIP = 1e-3
"""Scores are moved into [CLIP, 1 - CLIP] before a logarithm, which bounds the loss of a row by ln 1000 = 6.91."""
METHOD = "paired multinomial bootstrap of score bins"


@dataclass(frozen=True)
class Sums:
    """Per bin of score: rows, sum of scores, of labels, of log losses, of squared errors.  Sums of parts add up."""

    edges: tuple[float, ...]  # inner edges, increasing; one bin more than edges
    rows: Array
    scores: Array
    labels: Array
    log_loss_sum: Array
    brier_sum: Array

    @property
    def n(self) -> int:
        """Rows."""
        return int(self.rows.sum())

    @property
    def ece(self) -> float:
        """Mean over rows of their bin's |mean score - mean label|; NaN without a row."""
        return float(np.abs(self.scores - self.labels).sum()) / self.n if self.n else math.nan

    @property
    def log_loss(self) -> float:
        """Mean log loss of clipped scores; NaN without a row."""
        return float(self.log_loss_sum.sum()) / self.n if self.n else math.nan

    @property
    def brier(self) -> float:
        """Mean squared error; NaN without a row."""
        return float(self.brier_sum.sum()) / self.n if self.n else math.nan

    def __add__(self, other: Sums) -> Sums:
        """Sums over both sets of rows; raises ValueError for other bins."""
        if self.edges != other.edges:
            raise ValueError("only sums over the same bins can be added")
        mine, theirs = self._columns(), other._columns()
        return Sums(self.edges, *(a + b for a, b in zip(mine, theirs, strict=True)))

    def _columns(self) -> tuple[Array, ...]:
        return self.rows, self.scores, self.labels, self.log_loss_sum, self.brier_sum


def equal_width(bins: int = BINS) -> tuple[float, ...]:
    """Inner edges of bins of equal width on [0, 1]."""
    return tuple(place / bins for place in range(1, bins))


def equal_mass(scores: Array, bins: int = BINS) -> tuple[float, ...]:
    """Inner edges that part these scores into bins of about as many rows; fewer where scores are tied."""
    return tuple(float(edge) for edge in np.unique(np.quantile(scores, np.arange(1, bins) / bins)))


def sums(labels: Array, scores: Array, edges: tuple[float, ...]) -> Sums:
    """Sums over rows: labels (n,) of 0 and 1, scores (n,) within [0, 1]; a score on an edge belongs above it."""
    places = np.searchsorted(np.asarray(edges), scores, side="right")
    columns = (None, scores, labels, log_losses(labels, scores), brier_scores(labels, scores))
    return Sums(edges, *(np.bincount(places, weights, minlength=len(edges) + 1) for weights in columns))


def log_losses(labels: Array, scores: Array, clip: float = CLIP) -> Array:
    """Log loss of each row, within [0, ln(1 / clip)]: scores beyond ``clip`` are no more wrong than those at it."""
    p = np.clip(np.asarray(scores, np.float64), clip, 1 - clip)
    return np.asarray(np.where(labels == 1, -np.log(p), -np.log1p(-p)))


def brier_scores(labels: Array, scores: Array) -> Array:
    """Squared error of each row, within [0, 1]."""
    return np.asarray((np.asarray(scores, np.float64) - labels) ** 2)


@dataclass(frozen=True)
class EceChange:
    """Calibration error of both models, and how much larger the treatment's is than ``scale`` times the control's."""

    control: float
    treatment: float
    worsening: Interval
    p_pass: float
    p_fail: float


def ece_change(
    labels: Array,
    control: Array,
    treatment: Array,
    margin: float,
    *,
    alpha: float,
    rng: np.random.Generator,
    scale: float = 1.0,
    edges: tuple[float, ...] | None = None,
    replicates: int = 4000,
) -> EceChange | Unknown:
    """Change on the same rows with its 1 - 2 alpha interval; ``edges`` are the same for both, by default equal width.

    Two bounds are taken on each side, each at alpha / 2, and the tighter one counts: that of the two errors, and that
    of the change within each bin.  Rows are resampled by cell (label, control's bin, treatment's bin), within which a
    score counts as the cell's mean: with bins a fifteenth wide that leaves out less than 1 % of a row's variance.
    The same scores have no change, whatever the rows.  Unknown without a row or with a score
    outside of [0, 1].
    """
    if not len(labels):
        return Unknown("there is no row")
    if not all(((scores >= 0) & (scores <= 1)).all() for scores in (control, treatment)):
        return Unknown("a score is no chance within [0, 1]")
    inner = equal_width() if edges is None else edges
    cells = _cells(labels, (control, treatment), inner)
    before, after = (sums(labels, scores, inner).ece for scores in (control, treatment))
    value = after - scale * before
    drawn = bootstrap.resample(cells.rows, len(labels), replicates, rng)
    reach = bootstrap.reach_of(len(labels))
    one, other = (cells.excess_of(model, drawn) for model in (0, 1))
    least = other.errors(None) - scale * one.errors(reach)
    most = other.errors(reach) - scale * one.errors(None)
    above, below = _by_bins(one, other, scale, reach)
    high = min(bootstrap.upper_bound(value, least, alpha / 2), bootstrap.upper_bound(*above, alpha / 2))
    low = max(bootstrap.lower_bound(value, most, alpha / 2), bootstrap.lower_bound(*below, alpha / 2))
    interval = Interval(value, min(low, value), max(high, value), 1 - 2 * alpha, len(labels), METHOD)
    p_pass = min(bootstrap.p_below(value, least, margin), bootstrap.p_below(*above, margin))
    p_fail = min(bootstrap.p_above(value, most, margin), bootstrap.p_above(*below, margin))
    return EceChange(before, after, interval, min(1.0, 2 * p_pass), min(1.0, 2 * p_fail))


@dataclass(frozen=True)
class _Excess:
    """Sum of (score - label) / n per bin, of one model: measured, its standard error, resampled less measured."""

    value: Array  # (bins,)
    spread: Array  # (bins,)
    noise: Array  # (bins, replicates)

    def errors(self, reach: float | None) -> Array:
        """Draws (replicates,) of measured less true calibration error; see ``absolute_errors``."""
        return bootstrap.absolute_errors(self.value, self.spread, self.noise, reach)

    def signs(self, near: Array, reach: float) -> Array:
        """Sign of each bin; that of ``near`` where its own cannot be told."""
        known = np.abs(self.value) > reach * self.spread
        return np.where(np.where(known, self.value, near) < 0, -1.0, 1.0)


def _by_bins(
    one: _Excess, other: _Excess, scale: float, reach: float
) -> tuple[tuple[float, Array], tuple[float, Array]]:
    """Bounds of the change by that of each bin, which two like models share most of: |b| - |a| <= sign(b) (b - a), and
    >= sign(a) (b - a).  Each as its measured value and draws of (measured - true)."""
    change, noise = other.value - scale * one.value, other.noise - scale * one.noise
    above, below = other.signs(change, reach), one.signs(-change, reach)
    return (float(above @ change), above @ noise), (float(below @ change), below @ noise)


@dataclass(frozen=True)
class _Cells:
    """Filled cells (label, control's bin, treatment's bin): rows, and per model the bin and mean excess of a row."""

    rows: Array  # (cells,)
    bins: tuple[Array, Array]
    excess: tuple[Array, Array]  # mean of score - label
    count: int  # bins

    def excess_of(self, model: int, drawn: Array) -> _Excess:
        """Per bin of one model."""
        n = self.rows.sum()
        part = np.where(self.bins[model] == np.arange(self.count)[:, None], self.excess[model], 0.0) / n
        value = part @ self.rows
        return _Excess(value, np.sqrt(part**2 @ self.rows), part @ drawn - value[:, None])


def _cells(labels: Array, models: tuple[Array, Array], edges: tuple[float, ...]) -> _Cells:
    count = len(edges) + 1
    control, treatment = (np.searchsorted(np.asarray(edges), scores, side="right") for scores in models)
    cell = (labels.astype(np.int64) * count + control) * count + treatment
    rows = np.bincount(cell, minlength=2 * count * count)
    filled = np.flatnonzero(rows)
    excess = [np.bincount(cell, scores - labels, minlength=len(rows))[filled] / rows[filled] for scores in models]
    bins = (filled // count % count, filled % count)
    return _Cells(rows[filled], bins, (excess[0], excess[1]), count)
