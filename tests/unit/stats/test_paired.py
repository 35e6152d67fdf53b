"""Student's interval of paired differences: right where there is spread, silent where there is none to see."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaos_tasks.stats.interval import Interval, Position
from chaos_tasks.stats.paired import IDENTICAL, STUDENT, paired_interval

FINITE = st.floats(allow_nan=False, allow_infinity=False)


def test_agrees_with_scipys_own_interval() -> None:
    from scipy import stats

    differences = [0.031, 0.029, 0.036, 0.027, 0.030]
    found = paired_interval(differences, alpha=0.05)
    wanted = stats.ttest_1samp(differences, 0).confidence_interval(0.90)
    assert found is not None
    assert (found.low, found.high) == pytest.approx((wanted.low, wanted.high))
    assert (found.method, found.n, found.level) == (STUDENT, 5, 0.9)


@pytest.mark.parametrize(
    "differences",
    [[], [0.1], [math.nan, 0.1], [0.1, math.inf], [-math.inf, -math.inf], [1e308, -1e308]],
    ids=["none", "one", "nan", "inf", "all inf", "too large"],
)
def test_says_nothing_without_a_spread_to_see(differences: list[float]) -> None:
    assert paired_interval(differences, alpha=0.05) is None


@pytest.mark.parametrize("value", [0.0, 0.02, -3.0])
def test_equal_differences_have_zero_width_under_a_name_of_their_own(value: float) -> None:
    found = paired_interval([value, value, value], alpha=0.05)
    assert found is not None
    assert (found.low, found.estimate, found.high, found.method) == (value, value, value, IDENTICAL)


@pytest.mark.parametrize("alpha", [0.0, 0.5, -1, math.nan])
def test_refuses_an_error_rate_that_is_none(alpha: float) -> None:
    with pytest.raises(ValueError, match="alpha"):
        paired_interval([1.0, 2.0], alpha=alpha)


@given(st.lists(FINITE, max_size=12))
def test_any_numbers_give_an_ordered_finite_interval_or_none(differences: list[float]) -> None:
    found = paired_interval(differences, alpha=0.05)
    if found is not None:
        assert found.low <= found.estimate <= found.high
        assert math.isfinite(found.low)
        assert math.isfinite(found.high)


@given(st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=12))
def test_a_stricter_alpha_is_never_narrower(differences: list[float]) -> None:
    wide, narrow = paired_interval(differences, alpha=0.01), paired_interval(differences, alpha=0.1)
    assert wide is not None
    assert narrow is not None
    assert wide.high - wide.low >= narrow.high - narrow.low


def test_covers_the_truth_as_often_as_it_says() -> None:
    import numpy as np

    rng = np.random.default_rng(7)
    found = [paired_interval(rng.normal(0.3, 1.0, 4).tolist(), alpha=0.05) for _ in range(2000)]
    share = sum(one is not None and one.low <= 0.3 <= one.high for one in found) / len(found)
    assert share == pytest.approx(0.90, abs=0.02)


def test_touching_the_margin_decides_nothing() -> None:
    def at(low: float, high: float) -> Position:
        return Interval((low + high) / 2, low, high, 0.9, 4, "").against(1.0)

    assert at(0.0, 0.9) is Position.BELOW
    assert at(1.1, 2.0) is Position.ABOVE
    assert at(0.0, 1.0) is at(1.0, 2.0) is at(0.5, 1.5) is Position.STRADDLES
