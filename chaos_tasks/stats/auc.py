"""The area under the ROC curve of two models on the same rows, and its change, with DeLong's variance.

DeLong, DeLong, Clarke-Pearson: Comparing the areas under two or more correlated receiver operating characteristic
curves, Biometrics 44 (1988), by ranks as in Sun, Xu: Fast implementation of DeLong's algorithm, IEEE Signal Processing
Letters 21 (2014).  Ties count one half.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np

from chaos_tasks.stats.interval import Interval
from chaos_tasks.stats.unknown import Unknown

Array = np.ndarray[Any, np.dtype[Any]]
DELONG = "paired DeLong"
IDENTICAL = "identical ranks"


@dataclass(frozen=True)
class AucChange:
    """AUC of both models and how much worse the treatment's is than ``scale`` times the control's.

    ``influence``: each row's part in the worsening, (n,), with mean 0; its variance over n is DeLong's.
    """

    control: float
    treatment: float
    worsening: float
    error: float  # standard error of the worsening
    influence: Array
    positives: int
    negatives: int

    def interval(self, alpha: float) -> Interval:
        """1 - 2 alpha, by the normal distribution; of zero width, under a name of its own, where no rank changed."""
        reach = NormalDist().inv_cdf(1 - alpha) * self.error
        n, method = self.positives + self.negatives, DELONG if self.error else IDENTICAL
        return Interval(self.worsening, self.worsening - reach, self.worsening + reach, 1 - 2 * alpha, n, method)


def auc(labels: Array, scores: Array) -> float | Unknown:
    """Chance that a row of label 1 scores above one of label 0; Unknown where one of the labels is absent."""
    bad = _unusable(labels, scores)
    return bad if bad is not None else _placed(labels == 1, scores)[0]


def auc_change(labels: Array, control: Array, treatment: Array, *, scale: float = 1.0) -> AucChange | Unknown:
    """``labels`` (n,) of 0 and 1, scores of both models (n,), finite.

    Unknown where a label has no row, only one (it has no variance), or a score is no number.
    """
    for scores in (control, treatment):
        bad = _unusable(labels, scores)
        if bad is not None:
            return bad
    positive = labels == 1
    m = int(positive.sum())
    n = len(labels) - m
    if min(m, n) < 2:
        return Unknown(f"{m} rows of label 1 and {n} of label 0 have no variance to see")
    before, places_before = _placed(positive, control)
    after, places_after = _placed(positive, treatment)
    worsening = scale * before - after
    parts = scale * places_before - places_after - worsening
    error = math.sqrt(float(parts[positive].var(ddof=1)) / m + float(parts[~positive].var(ddof=1)) / n)
    influence = parts * np.where(positive, len(labels) / m, len(labels) / n)
    return AucChange(before, after, worsening, error, influence, m, n)


def auc_blocks(
    labels: Array, control: Array, treatment: Array, rng: np.random.Generator, *, scale: float = 1.0
) -> Array:
    """Worsenings of the AUC within disjoint blocks of rows: independent, within [-1, 1] for scale 1, each of them the
    AUC's worsening on average; so what holds for means of bounded rows holds for them exactly.

    A block has one row of the rarer label and as many of the other as there are to go round, drawn by ``rng``.
    Returns (blocks,), empty where a label is absent.
    """
    positive, negative = (rng.permutation(np.flatnonzero(labels == label)) for label in (1, 0))
    blocks = min(len(positive), len(negative))
    if not blocks:
        return np.empty(0)
    positive, negative = (rows[: len(rows) // blocks * blocks].reshape(blocks, -1) for rows in (positive, negative))
    before, after = (_wins(scores[positive], scores[negative]) for scores in (control, treatment))
    return np.asarray(scale * before - after)


def _wins(positive: Array, negative: Array) -> Array:
    """Share of pairs in each block in which the positive row is above; one of the two has a single column."""
    return np.asarray(((positive > negative) + 0.5 * (positive == negative)).mean(axis=1))


def midranks(values: Array) -> Array:
    """Ranks from 1 of (n,) values; ties share their mean rank."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return np.asarray(((2 * last - counts + 1) / 2)[inverse])


def _placed(positive: Array, scores: Array) -> tuple[float, Array]:
    """The AUC, and each row's place: the share of rows of the other label that it is on the right side of."""
    m, n = int(positive.sum()), int((~positive).sum())
    ranks = midranks(scores)
    places = np.empty(len(scores))
    places[positive] = (ranks[positive] - midranks(scores[positive])) / n
    places[~positive] = 1 - (ranks[~positive] - midranks(scores[~positive])) / m
    return float(places[positive].mean()), places


def _unusable(labels: Array, scores: Array) -> Unknown | None:
    if not np.isfinite(scores).all():
        return Unknown("a score is no finite number")
    absent = [str(label) for label in (0, 1) if not (labels == label).any()]
    return Unknown(f"no row has label {' or '.join(absent)}") if absent else None
