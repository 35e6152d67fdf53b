"""What a decision costs, and when the stream's own alarms fire."""

from __future__ import annotations

import math
from pathlib import Path

import alarms
import pytest
import scoring

FLIGHT = {"carrier": "AA", "origin": "JFK", "dest": "LAX", "hour": 8, "weekday": 1, "late": True}


@pytest.fixture
def model(data: Path) -> scoring.Model:
    return scoring.load(data / "stream/model.json")


def test_a_missing_number_counts_as_average(model: scoring.Model) -> None:
    average = {name: number["mean"] for name, number in model["numbers"].items()}
    chance = scoring.score(model, {**FLIGHT, **average})
    assert 0 < chance < 1
    assert chance == pytest.approx(scoring.score(model, {**FLIGHT, **dict.fromkeys(average)}))


def test_rain_makes_late(model: scoring.Model) -> None:
    dry = {name: number["mean"] for name, number in model["numbers"].items()}
    assert scoring.score(model, {**FLIGHT, **dry, "precip": 0.5}) > scoring.score(model, {**FLIGHT, **dry})


def test_an_absent_field_raises(model: scoring.Model) -> None:
    with pytest.raises(KeyError):
        scoring.score(model, FLIGHT)


def test_costs() -> None:
    assert [scoring.cost(late, held) for late in (True, False) for held in (True, False)] == [1, 4, 1, 0]


def test_lag_alarm_needs_a_second_of_lag_and_fires_once() -> None:
    watch = alarms.Watch()
    fired = []
    for tick in range(40):
        watch.record(tick / 10, lag=0.5)
        fired += [(tick, name) for name in watch.check(tick / 10)]
    assert fired == [(10, "lag")]


def test_low_lag_never_alarms() -> None:
    watch = alarms.Watch()
    for tick in range(40):
        watch.record(tick / 10, lag=0.01)
        assert watch.check(tick / 10) == []


def test_silence_alarms_once_but_not_before_the_first_record() -> None:
    watch = alarms.Watch()
    assert watch.check(50.0) == []
    watch.record(50.0, lag=0.0)
    assert watch.check(50.5) == []
    assert watch.check(51.0) == ["stream_stalled"]
    assert watch.check(52.0) == []


def test_quantile() -> None:
    assert alarms.quantile([3.0, 1.0, 2.0], 0.5) == 2.0
    assert math.isnan(alarms.quantile([], 0.5))
