"""Tails: order statistics and exceedances that hold for any distribution, and say when there are too few values."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaos_tasks.stats.interval import Interval
from chaos_tasks.stats.tails import (
    ExceedanceRatio,
    exceedance,
    exceedance_ratio,
    quantile,
    quantile_interval,
    smallest_n,
)
from chaos_tasks.stats.unknown import Unknown


def draw(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def ratio(control: np.ndarray, treatment: np.ndarray, share: float) -> ExceedanceRatio:
    found = exceedance_ratio(control, treatment, share, alpha=0.05)
    assert isinstance(found, ExceedanceRatio)
    return found


@pytest.mark.parametrize(("share", "wanted"), [(0.5, 50), (0.99, 99), (0.991, 100), (0.001, 1)])
def test_a_quantile_is_one_of_the_values(share: float, wanted: int) -> None:
    assert quantile(draw(1).permutation(np.arange(1.0, 101)), share) == wanted


def test_a_quantile_of_none_is_no_number_and_its_share_lies_within() -> None:
    assert math.isnan(quantile(np.empty(0), 0.5))
    with pytest.raises(ValueError, match="share"):
        quantile(np.ones(3), 1.0)


@pytest.mark.parametrize("share", [0.5, 0.9, 0.99])
def test_the_quantiles_interval_covers_it_as_often_as_it_says(share: float) -> None:
    rng = draw(2)
    found = [quantile_interval(rng.random(400), share, alpha=0.05) for _ in range(500)]
    missed = [(one.low > share, one.high < share) for one in found if isinstance(one, Interval)]
    assert len(missed) == 500
    assert (np.mean(missed, axis=0) <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / 500)).all()


def test_too_few_values_say_how_many_it_takes() -> None:
    assert smallest_n(0.99, 0.05) == 299
    few = quantile_interval(draw(1).random(298), 0.99, alpha=0.05)
    assert isinstance(few, Unknown)
    assert "at least 299" in few.reason
    assert isinstance(quantile_interval(draw(1).random(299), 0.99, alpha=0.05), Interval)


@pytest.mark.parametrize("values", [[], [1.0, math.nan]], ids=["none", "nan"])
def test_no_numbers_have_no_tail(values: list[float]) -> None:
    array = np.array(values)
    assert isinstance(quantile_interval(array, 0.5, alpha=0.05), Unknown)
    assert isinstance(exceedance(array, 0.5, alpha=0.05), Unknown)
    assert isinstance(exceedance_ratio(array, np.ones(500), 0.9, alpha=0.05), Unknown)
    assert isinstance(exceedance_ratio(np.arange(500.0), array, 0.9, alpha=0.05), Unknown)


def test_a_constant_and_infinite_values_have_their_quantile() -> None:
    constant = quantile_interval(np.full(500, 2.0), 0.9, alpha=0.05)
    assert isinstance(constant, Interval)
    assert (constant.low, constant.estimate, constant.high) == (2, 2, 2)
    assert quantile(np.array([1.0, math.inf]), 0.9) == math.inf


def test_one_request_in_ten_twenty_times_as_slow_is_seen_in_the_tail() -> None:
    rng = draw(3)
    control, treatment = rng.exponential(size=600), rng.exponential(size=600)
    treatment[::10] *= 20
    assert ratio(control, treatment, 0.99).ratio.low > 1.5
    assert ratio(control, rng.exponential(size=600), 0.95).ratio.low < 1


@pytest.mark.parametrize("times", [1.0, 2.5])
def test_the_ratio_errs_no_more_often_than_it_says(times: float) -> None:
    rng, wrong = draw(4), np.zeros(2)
    for _ in range(160):
        found = ratio(rng.random(500), 1 - rng.random(500) / times, 0.98).ratio
        wrong += [found.low > times, found.high < times]
    assert (wrong / 160 <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / 160)).all()


def test_a_treatment_that_never_or_always_exceeds_is_bounded_on_one_side() -> None:
    control = np.arange(200.0)
    never, always = ratio(control, np.zeros(200), 0.9), ratio(control, np.full(200, 1e9), 0.9)
    assert (never.treatment, never.ratio.low) == (0, 0)
    assert never.ratio.high < 0.3
    assert always.ratio.high == math.inf
    assert always.ratio.low > 5


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=40), st.floats(-6, 6))
def test_a_share_lies_within_its_interval(values: list[float], limit: float) -> None:
    found = exceedance(np.array(values), limit, alpha=0.05)
    assert isinstance(found, Interval)
    assert 0 <= found.low <= found.estimate <= found.high <= 1
