"""Extra checks of a gate: each takes one number of a table and keeps it within limits learnt from clean versions.

This file stands alone (pandas only), so that a pipeline can carry a copy of it and a gate's file can quote single
functions of it.  A share lies within 0..1; rows in which a column that is compared is missing are left out; a number
that cannot be had (no rows left) is NaN, and NaN is out of every limit.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd


def null_share(table: pd.DataFrame, column: str, known: str = "") -> float:
    """Share of missing values; with `known`, among the rows that have that column."""
    rows = table[table[known].notna()] if known else table
    return float(rows[column].isna().mean())


def threshold_broken(table: pd.DataFrame, column: str, other: str, at: float, upper: float, lower: float) -> float:
    """Share of rows where `column` is not `upper` from other >= at on, and `lower` below."""
    rows = table[[column, other]].dropna()
    meant = (rows[other] >= at).map({True: upper, False: lower})
    return float((rows[column].astype(float) != meant).mean())


def order_broken(table: pd.DataFrame, low: str, high: str) -> float:
    """Share of rows where the one that should be lower is above the other."""
    rows = table[[low, high]].dropna()
    return float((rows[low] > rows[high]).mean())


def sum_broken(table: pd.DataFrame, column: str, terms: Mapping[str, float], plus: float, within: float) -> float:
    """Share of rows where `column` is further than `within` from the weighted sum of the others."""
    rows = table[[column, *terms]].dropna()
    wanted = sum((rows[name] * weight for name, weight in terms.items()), start=plus + 0 * rows[column])
    return float(((rows[column] - wanted).abs() > within).mean())


def not_determined(table: pd.DataFrame, column: str, by: Sequence[str]) -> float:
    """Share of rows whose value is not the most frequent one among the rows that agree in `by`."""
    rows = table[[*by, column]].dropna()
    counts = rows.groupby([*by, column], observed=True).size()
    most = counts.groupby(level=list(range(len(by))), observed=True).max()
    return float(1 - most.sum() / len(rows)) if len(rows) else math.nan


def repeated_keys(table: pd.DataFrame, by: Sequence[str]) -> float:
    """Share of rows whose key another row has had before."""
    return float(table.duplicated(list(by)).mean())


def share_moved(table: pd.DataFrame, column: str, shares: Mapping[str, float]) -> float:
    """Total variation distance (0..1) between the shares of the categories and those given."""
    found = table[column].astype("string").value_counts(normalize=True).to_dict()
    return float(0.5 * sum(abs(found.get(name, 0.0) - shares.get(name, 0.0)) for name in {*found, *shares}))


def rate_moved(table: pd.DataFrame, column: str, by: str, usual: Mapping[str, Sequence[float]], least: int) -> float:
    """Largest deviation of a group's mean from the table's, less its usual difference, in usual spreads.

    `usual`: difference and spread by group; groups with fewer than `least` rows are passed over.
    """
    rows = table[[column, by]].dropna()
    groups = rows.groupby(rows[by].astype("string"))[column].agg(["mean", "size"])
    apart = (groups["mean"] - rows[column].mean())[groups["size"] >= least]
    moved = [abs(apart[name] - usual[name][0]) / usual[name][1] for name in apart.index if name in usual]
    return float(max(moved, default=math.nan))


def rank_correlation(table: pd.DataFrame, column: str, other: str) -> float:
    """Spearman's, within -1..1; NaN where one of both is constant."""
    rows = table[[column, other]].dropna().rank()
    if rows[column].nunique() < 2 or rows[other].nunique() < 2:
        return math.nan
    return float(rows[column].corr(rows[other]))


def quantile(table: pd.DataFrame, column: str, at: float) -> float:
    """The value below which a share `at` of the known values lies."""
    return float(table[column].quantile(at))


def fewest_rows(table: pd.DataFrame, by: str) -> float:
    """Rows of the smallest group, as a share of the median group's."""
    sizes = table.groupby(by, observed=True).size()
    return float(sizes.min() / sizes.median()) if len(sizes) else math.nan


STATISTICS: Mapping[str, Callable[..., float]] = {
    one.__name__: one
    for one in (
        null_share,
        threshold_broken,
        order_broken,
        sum_broken,
        not_determined,
        repeated_keys,
        share_moved,
        rate_moved,
        rank_correlation,
        quantile,
        fewest_rows,
    )
}
"""What an extra check may ask for, by name."""


def taken(table: pd.DataFrame, statistic: str, arguments: Mapping[str, Any]) -> float:
    """The number that a check asks for; NaN where a column is gone or of another type."""
    try:
        return float(STATISTICS[statistic](table, **arguments))
    except (KeyError, TypeError, ValueError, ArithmeticError, NotImplementedError):
        return math.nan


def holds(table: pd.DataFrame, check: Mapping[str, Any]) -> bool:
    """Whether a check's number lies within its limits."""
    return bool(check["min"] <= taken(table, check["statistic"], check["arguments"]) <= check["max"])
