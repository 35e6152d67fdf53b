"""The reference gate loads checks that were adopted later, each on the table that it names."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from tests.unit.data.test_reference_gate import validate

CHECKS = [
    {
        "name": "late_follows_from_delay",
        "table": "raw/flights.parquet",
        "statistic": "threshold_broken",
        "arguments": {"column": "late", "other": "arr_delay", "at": 15, "upper": 1, "lower": 0},
        "min": 0.0,
        "max": 0.001,
    },
    {
        "name": "few_missing",
        "table": "prepared/train.parquet",
        "statistic": "null_share",
        "arguments": {"column": "temp"},
        "min": 0.0,
        "max": 0.1,
    },
]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    for folder in ("raw", "made"):
        (tmp_path / folder).mkdir()
    (tmp_path / "extra.json").write_text(json.dumps({"checks": CHECKS}))
    write(tmp_path, late=[0, 0, 1, 1], temp=[1.0, 2.0, 3.0, 4.0])
    return tmp_path


def write(place: Path, *, late: list[int], temp: list[float | None]) -> None:
    pd.DataFrame({"arr_delay": [-5.0, 14.0, 15.0, 90.0], "late": late}).to_parquet(place / "raw/flights.parquet")
    pd.DataFrame({"temp": temp}).to_parquet(place / "made/train.parquet")


def found(place: Path) -> list[tuple[str, str]]:
    failures = validate.adopted(place / "extra.json", place, place / "made")
    return [(failure["column"], failure["check"]) for failure in failures]


def test_clean_tables_pass(place: Path) -> None:
    assert found(place) == []


def test_a_wrong_label_in_the_raw_table_is_refused(place: Path) -> None:
    write(place, late=[0, 1, 1, 1], temp=[1.0, 2.0, 3.0, 4.0])
    assert found(place) == [("flights", "late_follows_from_delay")]


def test_each_table_is_asked_its_own_checks(place: Path) -> None:
    write(place, late=[1, 0, 1, 1], temp=[None, None, 3.0, 4.0])
    assert found(place) == [("flights", "late_follows_from_delay"), ("train", "few_missing")]


def test_a_column_that_is_gone_is_refused(place: Path) -> None:
    pd.DataFrame({"late": [0, 1]}).to_parquet(place / "raw/flights.parquet")
    assert found(place) == [("flights", "late_follows_from_delay")]
