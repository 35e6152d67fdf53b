"""Evidence that fades: weights, effective sizes and limits."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaos_tasks.stats.decay import FadedShare, effective_n, faded, mean_limits, wilson

UNIT = st.floats(0, 1)
SHARES = st.builds(
    lambda low, more, n, known: FadedShare(low, low + (1 - low) * more, n, known), UNIT, UNIT, st.floats(0, 50), UNIT
)


def test_a_half_is_left_after_a_half_life_and_the_future_has_lost_nothing() -> None:
    assert faded(14, 14) == 0.5
    assert faded(-3, 14) == faded(0, 14) == 1
    assert faded(math.inf, 14) == 0
    for age, half_life in ((1, 0), (1, -1), (math.nan, 1), (1, math.nan)):
        with pytest.raises(ValueError, match="half-life"):
            faded(age, half_life)


def test_equal_weights_count_fully_and_a_heavy_one_counts_as_one() -> None:
    assert effective_n([0.3] * 7) == pytest.approx(7)
    assert effective_n([1.0, 1e-12]) == pytest.approx(1)
    assert effective_n([1e-200, 1e-200]) == pytest.approx(2)
    assert effective_n([]) == effective_n([0.0]) == 0


def test_wilson_limits_are_those_of_the_books() -> None:
    """7 of 10 at 95 %: 0.397 to 0.892."""
    assert wilson(0.7, 10, level=0.95) == pytest.approx((0.3968, 0.8922), abs=1e-4)
    assert wilson(1.0, 0, level=0.9) == (0, 1)
    assert wilson(0.0, 5, level=0.9)[0] == 0
    with pytest.raises(ValueError, match="share"):
        wilson(1.1, 5, level=0.9)


@given(st.lists(SHARES, max_size=6))
def test_limits_hold_what_is_known_between_them(shares: list[FadedShare]) -> None:
    low, high = mean_limits(shares, level=0.9)
    assert 0 <= low <= high <= 1
    if shares:
        assert low <= sum(one.known * one.least for one in shares) / len(shares) + 1e-12


def test_what_is_unknown_widens_the_limits_by_all_of_itself() -> None:
    known = FadedShare(1.0, 1.0, 1e9, 1.0)
    half = FadedShare(1.0, 1.0, 1e9, 0.5)
    never = FadedShare(0.0, 1.0, 0.0, 0.0)
    assert mean_limits([known], level=0.9) == pytest.approx((1, 1), abs=1e-6)
    assert mean_limits([half], level=0.9) == pytest.approx((0.5, 1), abs=1e-6)
    assert mean_limits([never], level=0.9) == mean_limits([], level=0.9) == (0, 1)


def test_limits_hold_the_truth_as_often_as_they_say() -> None:
    """Four kinds with ten fresh answers each: the mean of their true shares is inside at least 90 % of the time."""
    rng = np.random.default_rng(5)
    hits, true = 0, np.array([0.5, 0.7, 0.9, 0.95])
    for _ in range(2000):
        seen = rng.binomial(10, true) / 10
        low, high = mean_limits([FadedShare(share, share, 10, 1.0) for share in seen], level=0.9)
        hits += low <= true.mean() <= high
    assert hits / 2000 >= 0.9 - 2 * math.sqrt(0.09 / 2000)
