"""Each statistic counts what it says, and what cannot be counted is within no limit."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from chaos_tasks.gates import checks
from tests.unit.gates.clean_tables import clean, flipped

TABLE = pd.DataFrame(
    {
        "key": [1, 2, 2, 4],
        "flag": [0, 1, 1, None],
        "size": [10.0, 20.0, 5.0, 30.0],
        "more": [11.0, 19.0, 6.0, None],
        "group": ["a", "a", "b", "b"],
        "twin": [1, 1, 2, 3],
    }
)

CASES: list[tuple[str, Mapping[str, object], float]] = [
    ("null_share", {"column": "flag"}, 0.25),
    ("null_share", {"column": "more", "known": "flag"}, 0.0),
    ("threshold_broken", {"column": "flag", "other": "size", "at": 20, "upper": 1, "lower": 0}, 1 / 3),
    ("order_broken", {"low": "size", "high": "more"}, 1 / 3),
    ("sum_broken", {"column": "more", "terms": {"size": 1.0}, "plus": 1.0, "within": 0.5}, 1 / 3),
    ("not_determined", {"column": "twin", "by": ["group"]}, 0.25),
    ("repeated_keys", {"by": ["key"]}, 0.25),
    ("repeated_keys", {"by": ["key", "group"]}, 0.0),
    ("share_moved", {"column": "group", "shares": {"a": 0.75, "b": 0.25}}, 0.25),
    ("rate_moved", {"column": "size", "by": "group", "usual": {"a": [-1.25, 0.5]}, "least": 1}, 0.0),
    ("rank_correlation", {"column": "size", "other": "more"}, 1.0),
    ("quantile", {"column": "size", "at": 0.5}, 15.0),
    ("fewest_rows", {"by": "group"}, 1.0),
]


@pytest.mark.parametrize(("statistic", "arguments", "wanted"), CASES)
def test_a_statistic_counts_what_it_says(statistic: str, arguments: Mapping[str, object], wanted: float) -> None:
    assert checks.taken(TABLE, statistic, arguments) == pytest.approx(wanted)


def test_each_statistic_has_a_case() -> None:
    assert {name for name, _, _ in CASES} == set(checks.STATISTICS)


@pytest.mark.parametrize(("statistic", "arguments", "wanted"), CASES)
def test_an_empty_table_is_within_no_limits_or_counts_nothing(
    statistic: str, arguments: Mapping[str, object], wanted: float
) -> None:
    value = checks.taken(TABLE.iloc[:0], statistic, arguments)
    assert math.isnan(value) or value in (0.0, 0.5)  # no keys repeat, and no category has its share


@pytest.mark.parametrize(("statistic", "arguments", "wanted"), CASES)
def test_a_column_that_is_gone_is_within_no_limits(
    statistic: str, arguments: Mapping[str, object], wanted: float
) -> None:
    told = {"statistic": statistic, "arguments": arguments, "min": -math.inf, "max": math.inf}
    assert not checks.holds(TABLE.assign(other=1)[["other"]], told)


def test_a_column_of_another_type_is_within_no_limits() -> None:
    told = {"statistic": "quantile", "arguments": {"column": "group", "at": 0.5}, "min": -1e9, "max": 1e9}
    assert not checks.holds(TABLE, told)


def test_a_constant_column_has_no_rank_correlation() -> None:
    constant = TABLE.assign(size=1.0)
    assert math.isnan(checks.rank_correlation(constant, "size", "more"))


def test_infinite_values_break_an_order_and_no_program() -> None:
    infinite = TABLE.assign(size=np.inf)
    assert checks.order_broken(infinite, "size", "more") == 1.0


def test_a_rate_that_moves_in_one_group_alone_is_seen() -> None:
    table = clean()
    usual = {name: [0.0, 0.05] for name in "ABCD"}
    hit = table["route"] == "C"
    moved = table.assign(late=np.where(hit, 1, table["late"]))
    before, after = (checks.rate_moved(one, "late", "route", usual, 10) for one in (table, moved))
    assert before < 3 < after


def test_flips_are_counted_against_the_number_that_decides() -> None:
    share = checks.threshold_broken(flipped(clean(), 0.1), "late", "delay", 15, 1, 0)
    assert share == pytest.approx(0.1, abs=0.02)


def test_the_reference_pipeline_carries_the_same_file() -> None:
    """It imports nothing of ours, so it has a copy."""
    ours = Path(checks.__file__).read_bytes()
    assert (Path(__file__).parents[3] / "data/pipeline/extra_checks.py").read_bytes() == ours
