"""Mutants come from the data files' own columns, and draw within what their faults accept."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from chaos_tasks import registry
from chaos_tasks.gates.mutants import draw_intensity, families, params_of, strata
from chaos_tasks.gates.profile import Profile, profile
from chaos_tasks.gates.values import Family, Mutant
from tests.dvc_sources import table, write_table
from tests.unit.gates.benches import family


@pytest.fixture(params=["a.parquet", "a.csv"])
def shape(request: pytest.FixtureRequest, tmp_path: Path) -> Profile:
    path = tmp_path / str(request.param)
    write_table(path, table(1000))
    return profile(tmp_path, path.name, "csv" if path.suffix == ".csv" else "parquet")


def test_a_profile_knows_numbers_flags_and_groups(shape: Profile) -> None:
    columns = {column.name: column for column in shape.columns}
    assert shape.rows == 1000
    assert columns["late"].is_flag
    assert columns["late"].is_number
    assert columns["temp"].nulls == pytest.approx(50, abs=30)
    assert columns["distance"].distinct is None
    assert sum(columns["carrier"].groups.values()) == pytest.approx(1)
    assert not columns["carrier"].is_number


def test_all_families_have_parameters_that_their_faults_accept(shape: Profile) -> None:
    found, _ = families([shape], versions=3)
    assert {one.kind for one in found} >= {"data.label_flip", "data.missing_values", "data.stale_version"}
    for one in found:
        for intensity in (one.floor, one.top):
            registry.fault_params(one.kind, params_of(Mutant(family=one, intensity=intensity, seed=1)))


def test_every_data_fault_is_searched_or_left_out_for_a_reason(shape: Profile) -> None:
    found, left_out = families([shape], versions=3)
    kinds = {kind for kind in registry.fault_kinds() if kind.startswith("data.")}
    assert {one.kind for one in found} | left_out.keys() == kinds
    assert all(left_out.values())


def test_labels_are_flipped_group_by_group(shape: Profile) -> None:
    found, _ = families([shape])
    groups = {one.name.split("where=")[1].split()[0] for one in found if one.group == "carrier"}
    assert {"carrier=AA", "carrier=UA", "carrier=DL"} <= groups


def test_one_version_has_none_before_it(shape: Profile) -> None:
    assert not [one for one in families([shape], versions=1)[0] if one.kind == "data.stale_version"]


def test_an_empty_file_has_a_profile(tmp_path: Path) -> None:
    write_table(tmp_path / "a.parquet", table(10).slice(0, 0))
    shape = profile(tmp_path, "a.parquet", "parquet")
    assert shape.rows == 0
    families([shape])


def test_strata_do_not_depend_on_the_order_of_families() -> None:
    every = [family("a"), family("b"), family("a", group="carrier")]
    assert list(strata(every)) == list(strata(every[::-1]))
    assert len(strata(every)) == 3


@pytest.mark.parametrize("one", [family(), family(floor=1.0, top=9.0, whole=True), family(graded=False)])
def test_intensities_are_drawn_within_bounds(one: Family) -> None:
    rng = np.random.default_rng(0)
    drawn = [draw_intensity(one, rng) for _ in range(200)]
    assert all(one.floor <= intensity <= one.top for intensity in drawn)
    if one.whole:
        assert all(intensity.is_integer() for intensity in drawn)
