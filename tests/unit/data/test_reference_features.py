"""What is derived from the raw tables, on a handful of flights."""

from __future__ import annotations

import features
import pandas as pd
import pytest
import schema

HOURS = pd.date_range("2013-01-07 10:00", periods=4, freq="h", tz="UTC")


def flights() -> pd.DataFrame:
    frame = pd.DataFrame({"time_hour": HOURS.repeat(2), "dep_delay": [0.0, 200.0, 5, 5, 1, 1, None, 2]})
    frame["arr_delay"] = [0.0, 210.0, 20, 5, 1, 1, None, 15]
    frame["late"] = [0.0, 1, 1, 0, 0, 0, None, 1]
    return frame.assign(
        flight_id=range(8),
        year=2013,
        month=1,
        day=7,
        hour=5,
        carrier="AA",
        origin="JFK",
        dest="LAX",
        distance=2475,
    )


def weather() -> pd.DataFrame:
    return pd.DataFrame({"time_hour": HOURS, "origin": "JFK", **dict.fromkeys(features.WEATHER, 1.0)})


def test_flights_that_never_arrived_are_left_out() -> None:
    table = features.prepared(flights(), weather())
    assert table["flight_id"].tolist() == [0, 1, 2, 3, 4, 5, 7]
    assert list(table.columns) == list(schema.PREPARED)


def test_recent_delay_shows_only_what_could_be_seen_two_hours_before() -> None:
    """A delay of 200 minutes counts as 60, and nobody sees his own."""
    table = features.prepared(flights(), weather()).set_index("flight_id")
    assert table["recent_delay"].isna().tolist() == [True] * 4 + [False] * 3
    assert table.loc[4, "recent_delay"] == 30.0
    assert table.loc[7, "recent_delay"] == 5.0


def test_a_renamed_column_raises() -> None:
    with pytest.raises(KeyError):
        features.prepared(flights().rename(columns={"dep_delay": "departure_delay"}), weather())


def test_doubled_weather_raises() -> None:
    with pytest.raises(pd.errors.MergeError):
        features.prepared(flights(), pd.concat([weather(), weather()]))
