"""Evidence over looks: the first crossing stands, and the interval says the same as the decision."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaos_tasks.stats.evidence import Decision, Evidence, Look, settle


def a_look(n: int, log_e_pass: float = 0.0, log_e_fail: float = 0.0, low: float = -1.0, high: float = 1.0) -> Look:
    return Look(n, log_e_pass, log_e_fail, (low + high) / 2, low, high)


def evidence(*looks: Look, margin: float = 0.0) -> Evidence:
    return settle(looks, alpha=0.05, margin=margin, method="m", unit="seed")


def test_the_first_crossing_stands_whatever_comes_after() -> None:
    found = evidence(a_look(1), a_look(2, log_e_fail=3.0, low=0.1), a_look(3, log_e_pass=9.0, high=-0.1), a_look(4))
    assert found.decision() is found.decision(0.05) is Decision.FAIL
    assert found.decided_at == 2
    assert found.low > found.margin


def test_a_stricter_alpha_may_still_be_open() -> None:
    found = evidence(a_look(1, log_e_pass=3.5, high=-0.1))
    assert (found.decision(0.05), found.decision(0.01)) == (Decision.PASS, Decision.OPEN)


def test_keeps_the_largest_the_stopped_and_the_last_apart() -> None:
    found = evidence(a_look(1, 1.0), a_look(2, 3.1, high=-0.1), a_look(3, 4.0, high=-0.1), a_look(4, 2.0, -7.0))
    assert (found.log_e_pass, found.stopped_log_e_pass, found.last_log_e_pass) == (4.0, 3.1, 2.0)
    assert (found.log_e_fail, found.stopped_log_e_fail, found.last_log_e_fail) == (0.0, 0.0, -7.0)


def test_undecided_evidence_stops_at_its_last_look() -> None:
    found = evidence(a_look(1, 2.0), a_look(2, 1.0))
    assert (found.decision(), found.decided_at, found.stopped_log_e_pass) == (Decision.OPEN, None, 1.0)


def test_intervals_only_shrink_and_a_contradicting_one_is_left_aside_once_decided() -> None:
    found = evidence(
        a_look(1, low=-2.0, high=3.0),
        a_look(2, log_e_pass=3.2, low=-3.0, high=-0.5),
        a_look(3, low=5.0, high=6.0),
    )
    assert [(look.low, look.high) for look in found.looks] == [(-2.0, 3.0), (-2.0, -0.5), (-2.0, -0.5)]


def test_a_contradicting_interval_that_decides_replaces_the_earlier_ones() -> None:
    found = evidence(a_look(1, low=-1.0, high=1.0), a_look(2, log_e_fail=5.0, low=2.0, high=3.0))
    assert (found.low, found.high, found.decision()) == (2.0, 3.0, Decision.FAIL)


@pytest.mark.parametrize("alpha", [0.0, 0.5, -1.0, math.nan])
def test_refuses_an_error_rate_that_is_none(alpha: float) -> None:
    with pytest.raises(ValueError, match="alpha"):
        evidence(a_look(1)).decision(alpha)


LOGS = st.floats(-9, 9)
ENDS = st.floats(-5, 5)


@given(st.lists(st.tuples(LOGS, ENDS, ENDS), min_size=1, max_size=8))
def test_the_interval_leaves_the_margin_out_exactly_when_decided(rows: list[tuple[float, float, float]]) -> None:
    """Whatever looks come, as long as each look's own interval agrees with its own e-values up to rounding."""
    looks = []
    for n, (log_e, one, other) in enumerate(rows, 1):
        low, high = sorted((one, other))
        width = high - low
        if log_e >= 3:
            low, high = -width, 0.0  # touches: a rounding error
        else:
            low, high = min(low, 0.0), max(high, 0.0)
        looks.append(Look(n, log_e, -abs(log_e), 0.0, low, high))
    found = evidence(*looks)
    for n in range(1, len(looks) + 1):
        part = Evidence(found.looks[:n], 0.05, 0.0, "m", "seed")
        assert (part.low <= 0.0 <= part.high) == (part.decision() is Decision.OPEN)
        assert part.low <= part.high
