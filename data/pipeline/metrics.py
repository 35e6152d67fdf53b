"""How good the scores are, overall and per slice; a model that returned NaN gets NaN."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]
Values = dict[str, float]
CALIBRATION_BINS = 15
SMALLEST_SLICE = 100


def ranks(scores: Array) -> Array:
    """Ranks from 1; ties share their mean rank."""
    _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return ((2 * last - counts + 1) / 2)[inverse]


def auc(labels: Array, scores: Array) -> float:
    """The chance that a late flight scores above one in time; NaN if either is absent."""
    positive = labels == 1
    late, total = int(positive.sum()), len(labels)
    if late in (0, total) or np.isnan(scores).any():
        return float("nan")
    above = ranks(scores)[positive].sum() - late * (late + 1) / 2
    return float(above / (late * (total - late)))


def log_loss(labels: Array, scores: Array) -> float:
    p = np.clip(scores.astype(np.float64), 1e-7, 1 - 1e-7)
    return float(-np.mean(np.where(labels == 1, np.log(p), np.log1p(-p))))


def brier(labels: Array, scores: Array) -> float:
    return float(np.mean((scores.astype(np.float64) - labels) ** 2))


def ece(labels: Array, scores: Array, bins: int = CALIBRATION_BINS) -> float:
    """Expected calibration error over bins of equal width."""
    if np.isnan(scores).any():
        return float("nan")
    place = np.minimum((scores * bins).astype(np.int64), bins - 1)
    gap = np.bincount(place, weights=scores.astype(np.float64) - labels, minlength=bins)
    return float(np.abs(gap).sum() / len(labels))


def overall(labels: Array, scores: Array) -> Values:
    return {
        "auc": auc(labels, scores),
        "log_loss": log_loss(labels, scores),
        "ece": ece(labels, scores),
        "brier": brier(labels, scores),
        "n": float(len(labels)),
        "late_rate_predicted": float(np.mean(scores, dtype=np.float64)),
    }


def slices(labels: Array, scores: Array, columns: Mapping[str, Array]) -> dict[str, Values]:
    """AUC where a slice is large enough and has both outcomes, named as in `carrier=AA`."""
    found: dict[str, Values] = {}
    for name, column in columns.items():
        for value in np.unique(column):
            rows = column == value
            if rows.sum() >= SMALLEST_SLICE and 0 < labels[rows].sum() < rows.sum():
                found[f"{name}={value}"] = {"auc": auc(labels[rows], scores[rows]), "n": float(rows.sum())}
    return found
