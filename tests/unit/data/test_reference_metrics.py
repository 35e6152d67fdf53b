"""The metrics agree with scikit-learn, and NaN stays NaN."""

from __future__ import annotations

import math

import metrics
import numpy as np
import pytest
from sklearn.metrics import brier_score_loss, log_loss, roc_auc_score

RNG = np.random.default_rng(5)
LABELS = (RNG.random(3000) < 0.3).astype(np.float32)
SCORES = np.clip(RNG.random(3000) * 0.7 + LABELS * 0.2, 0.001, 0.999).round(2)


def test_agrees_with_scikit_learn() -> None:
    assert metrics.auc(LABELS, SCORES) == pytest.approx(roc_auc_score(LABELS, SCORES), abs=1e-12)
    assert metrics.log_loss(LABELS, SCORES) == pytest.approx(log_loss(LABELS, SCORES), abs=1e-9)
    assert metrics.brier(LABELS, SCORES) == pytest.approx(brier_score_loss(LABELS, SCORES), abs=1e-9)


def test_calibration_error_of_a_calibrated_score_is_small_and_of_a_shifted_one_is_the_shift() -> None:
    chances = np.random.default_rng(1).uniform(0.1, 0.8, 200_000)
    labels = (np.random.default_rng(2).random(200_000) < chances).astype(float)
    assert metrics.ece(labels, chances) < 0.01
    assert metrics.ece(labels, chances + 0.1) == pytest.approx(0.1, abs=0.01)


def test_one_nan_score_makes_every_metric_nan() -> None:
    found = metrics.overall(LABELS, np.where(np.arange(3000) == 7, np.nan, SCORES))
    assert [k for k, v in found.items() if not math.isnan(v)] == ["n"]


def test_slices_are_named_and_small_ones_left_out() -> None:
    carriers = np.where(np.arange(3000) < 50, "OO", "AA")
    found = metrics.slices(LABELS, SCORES, {"carrier": carriers})
    assert list(found) == ["carrier=AA"]
    assert found["carrier=AA"]["n"] == 2950
