"""A clean table with relations to be found, and two ways to corrupt it."""

from __future__ import annotations

import numpy as np
import pandas as pd

NAME = "a.parquet"


def clean(rows: int = 3000, seed: int = 1) -> pd.DataFrame:
    """`late` follows from `delay`, `at` from `hour` and `minute`, `distance` from `route`; `dew` stays below `temp`."""
    rng = np.random.default_rng(seed)
    delay = np.round(rng.gamma(1.2, 20, rows) - 15)
    hour, minute = rng.integers(5, 24, rows), rng.integers(0, 60, rows)
    route = rng.choice(["A", "B", "C", "D"], rows, p=[0.4, 0.3, 0.2, 0.1])
    temp = rng.normal(55, 10, rows)
    return pd.DataFrame(
        {
            "id": np.arange(rows),
            "delay": np.where(rng.random(rows) < 0.02, np.nan, delay),
            "late": (delay >= 15).astype("int8"),
            "hour": hour,
            "minute": minute,
            "at": 100 * hour + minute,
            "route": route,
            "distance": pd.Series(route).map({"A": 200, "B": 900, "C": 1500, "D": 2400}).to_numpy(),
            "temp": temp,
            "dew": temp - rng.gamma(2, 5, rows),
        }
    )


def flipped(table: pd.DataFrame, share: float, seed: int = 2) -> pd.DataFrame:
    """A share of the labels on the wrong side."""
    hit = np.random.default_rng(seed).random(len(table)) < share
    return table.assign(late=np.where(hit, 1 - table["late"], table["late"]).astype("int8"))


def reflected(table: pd.DataFrame, column: str, share: float, seed: int = 3) -> pd.DataFrame:
    """A share of a number on the other side of its median, within its range."""
    hit = np.random.default_rng(seed).random(len(table)) < share
    low, high = table[column].min(), table[column].max()
    other = (2 * table[column].median() - table[column]).clip(low, high).round().astype(table[column].dtype)
    return table.assign(**{column: table[column].where(~hit, other)})
