"""Repeated rows come right after themselves, as many as asked for, and nothing else changes."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from tests.dvc_sources import table, write_table
from tests.unit.faults.data.test_mutations import apply, read

KIND = "data.duplicate_rows"


@pytest.fixture(params=["a.parquet", "a.csv"])
def file(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    target = tmp_path / str(request.param)
    write_table(target, table(1000))
    return target


def occurrences(data: pa.Table) -> dict[int, int]:
    counted = data["id"].value_counts().to_pylist()
    return {pair["values"]: pair["counts"] for pair in counted}


def test_exactly_the_share_comes_again_and_nothing_is_lost_or_moved(file: Path) -> None:
    before = read(file)
    change = apply(KIND, file, {"fraction": 0.25, "copies": 2})
    after = read(file)
    counts = occurrences(after)
    assert sorted(counts.values()) == [1] * 750 + [3] * 250
    assert change.evidence["repeated"] == 250
    assert change.evidence["rows_after"] == len(after) == 1500
    ids = after["id"].to_pylist()
    first_of_each = [index for index, row in enumerate(ids) if index == 0 or ids[index - 1] != row]
    assert after.take(first_of_each).equals(before)


def test_a_larger_fraction_repeats_a_superset(tmp_path: Path) -> None:
    repeated = []
    for fraction in (0.1, 0.4):
        target = tmp_path / f"{fraction}.parquet"
        write_table(target, table(1000))
        apply(KIND, target, {"fraction": fraction})
        repeated.append({row for row, times in occurrences(read(target)).items() if times > 1})
    assert repeated[0] < repeated[1]


def test_nothing_chosen_is_not_effective_and_leaves_the_file(file: Path) -> None:
    before = file.read_bytes()
    assert not apply(KIND, file, {"fraction": 0.0}).effective
    assert file.read_bytes() == before
