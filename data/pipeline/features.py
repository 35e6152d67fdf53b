"""Derives what is known about a flight an hour before it should leave, and whether it came late."""

from __future__ import annotations

import pandas as pd
from schema import KEY, PREPARED

WEATHER = ["temp", "dewp", "humid", "wind_speed", "precip", "pressure", "visib"]
# A delay is only known once it has been waited for: two hours ahead, at most 60 minutes can have been seen.
LOOK_BACK = pd.Timedelta(hours=2)
SEEN_DELAY = (-15.0, 60.0)


def airport_hours(flights: pd.DataFrame) -> pd.DataFrame:
    """One row per origin and hour: how many departures are planned."""
    return flights.groupby(["origin", "time_hour"], as_index=False).agg(departures=(KEY, "count"))


def recent_delays(flights: pd.DataFrame) -> pd.DataFrame:
    """The mean departure delay at an origin two hours earlier, as far as it could be seen by then."""
    seen = flights.assign(recent_delay=flights["dep_delay"].clip(*SEEN_DELAY))
    hourly = seen.groupby(["origin", "time_hour"], as_index=False)["recent_delay"].mean()
    return hourly.assign(time_hour=hourly["time_hour"] + LOOK_BACK)


def join(flights: pd.DataFrame, weather: pd.DataFrame) -> pd.DataFrame:
    """Flights with the weather and the state of their airport; no flight is lost or multiplied."""
    at = ["origin", "time_hour"]
    joined = flights.merge(weather[at + WEATHER], on=at, how="left", validate="many_to_one")
    joined = joined.merge(airport_hours(flights), on=at, how="left", validate="many_to_one")
    return joined.merge(recent_delays(flights), on=at, how="left", validate="many_to_one")


def arrived(flights: pd.DataFrame) -> pd.DataFrame:
    """Without the cancelled and diverted, which have no arrival and so no label."""
    return flights[flights["arr_delay"].notna() & flights["late"].notna()]


def prepared(flights: pd.DataFrame, weather: pd.DataFrame) -> pd.DataFrame:
    """The training table, in order of `flight_id`."""
    table = arrived(join(flights, weather))
    date = pd.to_datetime(table[["year", "month", "day"]])
    table = table.assign(weekday=date.dt.day_of_week, late=table["late"].astype("int8"))
    return table[list(PREPARED)].sort_values(KEY, ignore_index=True)
