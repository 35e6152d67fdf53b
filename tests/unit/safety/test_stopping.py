"""Readings add up to a stop: so many bad ones among the last, the unreadable included, and none within the grace."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from chaos_tasks.model.experiment import StopCondition
from chaos_tasks.safety.stopping import Stopped, Tally, is_bad

NOW = datetime(2026, 11, 24, tzinfo=UTC)


def condition(**changes: Any) -> StopCondition:
    told = {"name": "loss", "probe": "live.series", "tolerance": {"type": "range", "max": 2.0}}
    return StopCondition.model_validate({**told, **changes})


def fed(tally: Tally, *values: object, trial: str = "t", in_grace: bool = False) -> list[Stopped | None]:
    said = [(None, value) if isinstance(value, str) else (value, "") for value in values]
    return [tally.add(NOW, value, error, trial=trial, in_grace=in_grace) for value, error in said]  # type: ignore[arg-type]


def test_one_bad_reading_stops_by_default_and_says_what_was_allowed() -> None:
    good, bad = fed(Tally(condition()), 1.0, 3.0)
    assert good is None
    assert bad is not None
    assert bad.text == "stop condition loss is 3, allowed is at most 2"
    assert [one.bad for one in bad.readings] == [False, True]


def test_a_reading_that_fails_stops_too() -> None:
    (stopped,) = fed(Tally(condition()), "no line has the field loss")
    assert stopped is not None
    assert "cannot be read: no line has the field loss" in stopped.text


@pytest.mark.parametrize("value", [math.nan, math.inf, None, "text", True, 2.1])
def test_what_is_no_number_within_the_range_is_bad(value: object) -> None:
    assert is_bad(condition(), value)  # type: ignore[arg-type]


@pytest.mark.parametrize(("value", "bad"), [(200, False), (500, True), (None, True), (True, True)])
def test_an_exact_value_is_that_value_and_of_its_sort(value: object, bad: bool) -> None:
    assert is_bad(condition(tolerance={"type": "exactly", "value": 200}), value) is bad  # type: ignore[arg-type]


def test_a_single_spike_is_forgiven_where_two_of_three_are_asked() -> None:
    answers = fed(Tally(condition(strikes=2, of=3)), 9.0, 1.0, 1.0, 9.0, 1.0, 9.0)
    assert [bool(one) for one in answers] == [False, False, False, False, False, True]
    assert answers[-1] is not None
    assert "2 of the last 3 readings" in answers[-1].text


def test_nothing_counts_in_the_grace_nor_from_the_trial_before() -> None:
    tally = Tally(condition(strikes=2, of=2))
    assert fed(tally, 9.0, 9.0, 9.0, in_grace=True) == [None, None, None]
    assert fed(tally, 9.0) == [None]
    assert fed(tally, 9.0, trial="next") == [None]
    assert fed(tally, 9.0, trial="next")[0] is not None


def test_a_good_reading_never_stops() -> None:
    assert fed(Tally(condition(strikes=1, of=3)), 9.0, 1.0)[1] is None


@given(st.lists(st.booleans(), min_size=1, max_size=40), st.integers(1, 6), st.integers(0, 6))
def test_it_stops_exactly_where_the_window_holds_enough_bad_readings(bads: list[bool], strikes: int, more: int) -> None:
    of = strikes + more
    tally = Tally(condition(strikes=strikes, of=of))
    answers = fed(tally, *(9.0 if bad else 1.0 for bad in bads))
    expected = [bad and sum(bads[max(0, n - of + 1) : n + 1]) >= strikes for n, bad in enumerate(bads)]
    assert [answer is not None for answer in answers] == expected


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"strikes": 3, "of": 2}, "3 bad readings of the last 2"),
        ({"every": timedelta(milliseconds=50)}, "reads too often"),
        ({"tolerance": {"type": "non_inferiority", "margin": 1}}, "does not match any of the expected tags"),
        ({"strikes": 0}, "greater than or equal to 1"),
    ],
)
def test_a_condition_that_cannot_trip_is_refused(changes: dict[str, Any], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        condition(**changes)
