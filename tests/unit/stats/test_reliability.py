"""Exact bounds of a share: what a handful of trials really says."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaos_tasks.stats.reliability import largest_failure_share, share_interval, trials_for_reliability


def test_agrees_with_scipys_exact_interval() -> None:
    from scipy import stats

    for successes, n in ((0, 4), (1, 4), (7, 9), (4, 4), (50, 200)):
        found = share_interval(successes, n, alpha=0.05)
        wanted = stats.binomtest(successes, n).proportion_ci(0.90, "exact")
        assert found is not None
        assert (found.low, found.high) == pytest.approx((wanted.low, wanted.high))


def test_no_trials_say_nothing() -> None:
    assert share_interval(0, 0, alpha=0.05) is None
    assert largest_failure_share(0, alpha=0.05) == 1.0


def test_the_rule_of_three_is_its_limit() -> None:
    assert largest_failure_share(300, alpha=0.05) == pytest.approx(3 / 300, rel=0.01)


def test_all_successes_leave_open_what_the_lower_bound_says() -> None:
    found = share_interval(4, 4, alpha=0.05)
    assert found is not None
    assert 1 - found.low == pytest.approx(largest_failure_share(4, alpha=0.05))


@given(st.integers(1, 500), st.data(), st.sampled_from([0.001, 0.05, 0.3]))
def test_the_share_lies_within_its_interval(n: int, data: st.DataObject, alpha: float) -> None:
    found = share_interval(data.draw(st.integers(0, n)), n, alpha=alpha)
    assert found is not None
    assert 0 <= found.low <= found.estimate <= found.high <= 1


@pytest.mark.parametrize(("successes", "n", "alpha"), [(5, 4, 0.05), (-1, 4, 0.05), (1, 2, 0.5), (1, 2, 0)])
def test_refuses_impossible_counts(successes: int, n: int, alpha: float) -> None:
    with pytest.raises(ValueError, match=r"trials|alpha"):
        share_interval(successes, n, alpha=alpha)


@pytest.mark.parametrize(("share", "trials"), [(0.95, 59), (0.5, 5), (0.05, 1), (0.99, 299)])
def test_so_many_clean_trials_show_a_reliability(share: float, trials: int) -> None:
    assert trials_for_reliability(share, alpha=0.05) == trials


@given(st.floats(0.001, 0.9999), st.floats(1e-6, 0.999))
def test_the_trials_asked_for_are_the_fewest_that_show_it(share: float, alpha: float) -> None:
    trials = trials_for_reliability(share, alpha=alpha)
    assert largest_failure_share(trials, alpha=alpha) <= (1 - share) * (1 + 1e-6)
    assert trials == 1 or largest_failure_share(trials - 1, alpha=alpha) > (1 - share) * (1 - 1e-6)


@pytest.mark.parametrize(("share", "alpha"), [(0.0, 0.05), (1.0, 0.05), (0.1, 0.0), (0.1, 1.0)])
def test_refuses_a_reliability_that_no_number_of_trials_shows(share: float, alpha: float) -> None:
    with pytest.raises(ValueError, match="within"):
        trials_for_reliability(share, alpha=alpha)
