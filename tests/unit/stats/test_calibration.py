"""Calibration from sums: parts add up, bounded losses, and a change of its error that noise does not decide."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaos_tasks.stats.calibration import (
    CLIP,
    EceChange,
    ece_change,
    equal_mass,
    equal_width,
    log_losses,
    sums,
)
from chaos_tasks.stats.unknown import Unknown


def rows(n: int, seed: int, shift: float = 0.3, noise: float = 0.2) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    draw = np.random.default_rng(seed)
    z = draw.normal(-1.2, 1, n)
    labels = (draw.random(n) < 1 / (1 + np.exp(-z))).astype(int)
    return labels, 1 / (1 + np.exp(-z)), 1 / (1 + np.exp(-z - shift - noise * draw.normal(size=n)))


def change(labels: np.ndarray, control: np.ndarray, treatment: np.ndarray, margin: float, seed: int = 1) -> EceChange:
    draw = np.random.default_rng(seed)
    found = ece_change(labels, control, treatment, margin, alpha=0.05, rng=draw, replicates=400)
    assert isinstance(found, EceChange)
    return found


def test_agrees_with_its_definition() -> None:
    labels, scores, _ = rows(3000, 1)
    place = np.minimum((scores * 15).astype(int), 14)
    gaps = [abs(scores[place == b].mean() - labels[place == b].mean()) * (place == b).mean() for b in np.unique(place)]
    found = sums(labels, scores, equal_width())
    assert found.ece == pytest.approx(sum(gaps))
    assert found.brier == pytest.approx(((scores - labels) ** 2).mean())
    assert found.log_loss == pytest.approx(-np.log(np.where(labels == 1, scores, 1 - scores)).mean(), rel=1e-3)


def test_bins_of_equal_mass_hold_as_many_rows() -> None:
    labels, scores, _ = rows(3000, 2)
    assert sums(labels, scores, equal_mass(scores, 10)).rows.tolist() == pytest.approx([300] * 10, abs=1)
    assert len(equal_mass(np.full(50, 0.2))) == 1


@given(st.integers(0, 50))
def test_sums_of_parts_add_up(cut: int) -> None:
    labels, scores, _ = rows(50, 3)
    parts = sums(labels[:cut], scores[:cut], equal_width()) + sums(labels[cut:], scores[cut:], equal_width())
    whole = sums(labels, scores, equal_width())
    assert parts.n == whole.n
    assert (parts.ece, parts.log_loss) == pytest.approx((whole.ece, whole.log_loss))


def test_other_bins_do_not_add_up() -> None:
    labels, scores, _ = rows(50, 3)
    with pytest.raises(ValueError, match="same bins"):
        sums(labels, scores, equal_width(5)) + sums(labels, scores, equal_width(6))


def test_a_row_loses_a_bounded_amount() -> None:
    losses = log_losses(np.array([0, 1, 1]), np.array([1.0, 0.0, 1.0]))
    assert losses.tolist() == pytest.approx([-math.log(CLIP), -math.log(CLIP), -math.log(1 - CLIP)])


def test_no_rows_have_no_number() -> None:
    empty = sums(np.empty(0), np.empty(0), equal_width())
    assert all(math.isnan(value) for value in (empty.ece, empty.log_loss, empty.brier))
    found = ece_change(np.empty(0), np.empty(0), np.empty(0), 0.1, alpha=0.05, rng=np.random.default_rng(1))
    assert isinstance(found, Unknown)


@pytest.mark.parametrize("bad", [math.nan, math.inf, 1.2, -0.1])
def test_a_score_that_is_no_chance_is_not_calibrated(bad: float) -> None:
    labels, control, treatment = rows(50, 4)
    treatment[3] = bad
    assert isinstance(ece_change(labels, control, treatment, 0.1, alpha=0.05, rng=np.random.default_rng(1)), Unknown)


def test_the_same_scores_pass_and_inflated_ones_fail() -> None:
    labels, control, treatment = rows(8000, 5, shift=0.8)
    same, worse = change(labels, control, control, 0.03), change(labels, control, treatment, 0.03)
    assert (same.worsening.low, same.worsening.high) == (0, 0)
    assert same.p_pass < 0.05
    assert worse.worsening.low > 0.03
    assert worse.p_fail < 0.05


def test_a_model_that_hardly_moved_is_bounded_tightly() -> None:
    found = change(*rows(8000, 6, shift=0.0, noise=0.02), 0.01)
    assert found.worsening.high < 0.01


@pytest.mark.parametrize(("shift", "noise"), [(0.3, 0.2), (0.0, 0.3), (0.05, 0.0)])
def test_errs_no_more_often_than_it_says_at_the_margin(shift: float, noise: float) -> None:
    labels, control, treatment = rows(1_000_000, 0, shift, noise)
    truth = sums(labels, treatment, equal_width()).ece - sums(labels, control, equal_width()).ece
    found = [change(*rows(3000, 100 + seed, shift, noise), truth, seed).worsening for seed in range(90)]
    for wrong in (sum(one.high < truth for one in found), sum(one.low > truth for one in found)):
        assert wrong / 90 <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / 90)
