"""Shift of predictions on the same rows: exact distances, McNemar's flips, and intervals that noise does not decide."""

from __future__ import annotations

import math

import numpy as np
import pytest

from chaos_tasks.stats.interval import Interval
from chaos_tasks.stats.prediction_shift import Distance, flips, moves, population_stability, psi, wasserstein
from chaos_tasks.stats.unknown import Unknown

WAYS = [wasserstein, population_stability]


def rows(n: int, seed: int, shift: float = 0.3, noise: float = 0.2) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(seed)
    z = draw.normal(-1.2, 1, n)
    return 1 / (1 + np.exp(-z)), 1 / (1 + np.exp(-z - shift - noise * draw.normal(size=n)))


def measured(way: object, control: np.ndarray, treatment: np.ndarray, margin: float, seed: int = 1) -> Distance:
    assert callable(way)
    found = way(control, treatment, margin, alpha=0.05, rng=np.random.default_rng(seed), replicates=400)
    assert isinstance(found, Distance)
    return found


def test_flips_are_counted_by_direction() -> None:
    found = flips(np.array([0.1, 0.6, 0.6, 0.4]), np.array([0.5, 0.4, 0.7, 0.1]), 0.5)
    assert (found.stayed_0, found.to_1, found.to_0, found.stayed_1) == (1, 1, 1, 1)
    share = found.share(alpha=0.05)
    assert isinstance(share, Interval)
    assert share.estimate == 0.5


def test_the_test_of_symmetry_is_mcnemars() -> None:
    from scipy.stats import binomtest

    found = flips(np.repeat([0.0, 1.0, 0.0], [12, 3, 50]), np.repeat([1.0, 0.0, 0.0], [12, 3, 50]), 0.5)
    assert found.p_symmetric == pytest.approx(binomtest(3, 15).pvalue)
    assert flips(np.zeros(4), np.zeros(4), 0.5).p_symmetric == 1


def test_the_distance_is_scipys() -> None:
    from scipy.stats import wasserstein_distance

    control, treatment = rows(2000, 1)
    found = measured(wasserstein, control, treatment, 0.05).interval.estimate
    assert found == pytest.approx(wasserstein_distance(control, treatment))
    assert found <= moves(control, treatment).mean()


@pytest.mark.parametrize("way", WAYS)
def test_the_same_scores_are_no_distance_apart(way: object) -> None:
    control, _ = rows(2000, 2)
    found = measured(way, control, control, 0.01)
    assert (found.interval.estimate, found.interval.high) == (0, 0)
    assert found.p_pass < 0.01


def test_constant_scores_that_agree_are_no_distance_apart() -> None:
    found = measured(wasserstein, np.full(9, 0.3), np.full(9, 0.3), 0.01)
    assert (found.interval.low, found.interval.high, found.p_fail) == (0, 0, 1)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("bad", [[], [math.nan, 0.5], [math.inf, 0.5]], ids=["none", "nan", "inf"])
def test_says_why_there_is_none(way: object, bad: list[float]) -> None:
    assert callable(way)
    values = np.array(bad)
    assert isinstance(way(np.full(len(values), 0.5), values, 0.1, alpha=0.05, rng=np.random.default_rng(1)), Unknown)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("shift", "noise"), [(0.3, 0.2), (0.0, 0.4)])
def test_errs_no_more_often_than_it_says_at_the_margin(way: object, shift: float, noise: float) -> None:
    truth = measured(way, *rows(300_000, 0, shift, noise), 1.0).interval.estimate
    found = [measured(way, *rows(2000, 100 + seed, shift, noise), truth, seed).interval for seed in range(60)]
    for wrong in (sum(one.high < truth for one in found), sum(one.low > truth for one in found)):
        assert wrong / 60 <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / 60)


def test_psi_of_equal_shares_is_zero_and_an_empty_bin_is_finite() -> None:
    assert psi(np.array([10.0, 10.0]), np.array([10.0, 10.0])) == 0
    assert math.isfinite(float(psi(np.array([10.0, 0.0]), np.array([0.0, 10.0]))))
