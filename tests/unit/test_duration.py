"""Durations as people write them are read exactly, and written back as the same duration."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaos_tasks.model.duration import format_duration, parse_duration


@given(st.integers(0, 10**11))
def test_writing_and_reading_a_duration_gives_it_back(milliseconds: int) -> None:
    duration = timedelta(milliseconds=milliseconds)
    assert parse_duration(format_duration(duration)) == duration


@pytest.mark.parametrize(
    ("text", "seconds"), [("500ms", 0.5), ("90s", 90), ("1.5m", 90), ("7h", 25_200), ("3d", 259_200)]
)
def test_each_unit_is_read(text: str, seconds: float) -> None:
    assert parse_duration(text).total_seconds() == seconds


@given(st.one_of(st.text(max_size=8), st.integers(), st.floats(), st.none()))
def test_anything_else_is_refused_with_the_units(value: object) -> None:
    try:
        parse_duration(value)
    except ValueError as error:
        refusal = str(error)
    else:
        refusal = "500ms, 90s, 5m, 7h, 3d"
    assert "500ms, 90s, 5m, 7h, 3d" in refusal


@pytest.mark.parametrize("text", ["", "90", "-5s", "5 s", "5S", "1e3s", "５s", "9" * 400 + "d"])
def test_near_misses_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no duration"):
        parse_duration(text)
