"""Each fault changes what it says it changes, and nothing else.  No repository is needed for this."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import JsonValue, ValidationError

from chaos_tasks import registry
from chaos_tasks.errors import InjectError
from chaos_tasks.faults.data.label_flip import reflect
from chaos_tasks.faults.data.version import Change
from chaos_tasks.model.handle import Handle
from chaos_tasks.model.place import DvcPlace
from tests.conformance.arrange_data import contexts
from tests.dvc_sources import table, write_table


def apply(kind: str, file: Path, params: Mapping[str, JsonValue], seed: int = 1) -> Change:
    """Only the mutation, on a file of its own."""
    fault = registry.fault(kind)
    data_format = "csv" if file.suffix == ".csv" else "parquet"
    place = DvcPlace(clone="-", source="-", commit="-", data=(file.name,), format=data_format)
    handle = Handle(
        id="h", run_id="r", step="s", kind=kind, place=place, params=dict(params), prior={}, seed=seed, epoch=1
    )
    scratch = contexts(file.parent / f"scratch-{seed}-{len(list(file.parent.iterdir()))}")()
    changed: Change = fault.change(handle, file, fault.params_type.model_validate(dict(params)), scratch)  # type: ignore[attr-defined]
    return changed


def read(file: Path) -> pa.Table:
    return pacsv.read_csv(file) if file.suffix == ".csv" else pq.read_table(file)


def differing(before: pa.Table, after: pa.Table, column: str) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    pairs = zip(before[column].to_pylist(), after[column].to_pylist(), strict=True)
    return np.array([old != new for old, new in pairs])


@pytest.fixture(params=["a.parquet", "a.csv"])
def file(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    target = tmp_path / str(request.param)
    write_table(target, table(1000))
    return target


@pytest.mark.parametrize("column", ["late", "diverted"])
def test_label_flip_flips_exactly_the_share_and_nothing_else(file: Path, column: str) -> None:
    before = read(file)
    change = apply("data.label_flip", file, {"column": column, "fraction": 0.25})
    after = read(file)
    assert differing(before, after, column).sum() == change.evidence["changed"] == 250
    assert after.drop_columns([column]).equals(before.drop_columns([column]))
    assert after.schema.equals(before.schema, check_metadata=True)
    assert sorted(set(after[column].to_pylist())) == sorted(set(before[column].to_pylist()))


def test_label_flip_only_where_it_is_told(file: Path) -> None:
    before = read(file)
    apply("data.label_flip", file, {"column": "late", "fraction": 0.5, "where": {"carrier": ["AA", "DL"]}})
    hit = differing(before, read(file), "late")
    carriers = np.array(before["carrier"].to_pylist())
    assert set(carriers[hit]) == {"AA", "DL"}
    assert hit.sum() == round(0.5 * np.isin(carriers, ["AA", "DL"]).sum())


def test_label_flip_can_be_asymmetric(file: Path) -> None:
    before = read(file)
    apply("data.label_flip", file, {"column": "late", "fraction": 1, "from_value": 1, "to_value": 0})
    assert set(read(file)["late"].to_pylist()) == {0}
    assert set(before["late"].to_pylist()) == {0, 1}


def test_label_flip_by_threshold_swaps_the_side_within_the_range(file: Path) -> None:
    before = read(file)
    apply("data.label_flip", file, {"column": "arr_delay", "fraction": 0.3, "threshold": 15})
    after = read(file)
    old = np.array(before["arr_delay"].to_pylist(), dtype=float)
    new = np.array(after["arr_delay"].to_pylist(), dtype=float)
    hit = (old >= 15) != (new >= 15)
    assert hit.sum() == round(0.3 * np.isfinite(old).sum())
    assert np.array_equal(np.isnan(old), np.isnan(new))
    assert np.nanmin(new) >= np.nanmin(old)
    assert np.nanmax(new) <= np.nanmax(old)


@given(value=st.integers(-100, 1500).map(float), limit=st.integers(-99, 1500).map(float), spread=st.integers(0, 5))
def test_reflection_always_changes_the_side(value: float, limit: float, spread: int) -> None:
    low, high = min(value, limit - 1) - spread, max(value, limit) + spread
    (other,) = reflect(np.array([value]), limit, low, high)
    assert (other >= limit) != (value >= limit)
    assert low <= other <= high


@pytest.mark.parametrize("mechanism", ["mcar", "mar", "mnar"])
def test_missing_values_loses_exactly_the_share_of_what_was_present(file: Path, mechanism: str) -> None:
    before = read(file)
    params: dict[str, JsonValue] = {"columns": ["temp"], "fraction": 0.3, "mechanism": mechanism}
    apply("data.missing_values", file, params | ({"given": "distance"} if mechanism == "mar" else {}))
    after = read(file)
    present = len(before) - before["temp"].null_count
    assert after["temp"].null_count - before["temp"].null_count == round(0.3 * present)
    assert after.drop_columns(["temp"]).equals(before.drop_columns(["temp"]))
    decides = np.array(before["temp" if mechanism == "mnar" else "distance"].to_pylist(), dtype=float)
    lost = np.array([value is None for value in after["temp"].to_pylist()]) & ~np.isnan(
        np.array(before["temp"].to_pylist(), dtype=float)
    )
    share_above = (decides[lost] > np.nanmedian(decides)).mean()
    assert share_above > 0.7 if mechanism != "mcar" else 0.35 < share_above < 0.65


def test_missing_values_keeps_integers_and_categories(tmp_path: Path) -> None:
    file = tmp_path / "a.parquet"
    write_table(file, table(1000))
    before = pq.read_table(file)
    apply("data.missing_values", file, {"columns": ["distance", "carrier", "diverted"], "fraction": 0.1})
    after = pq.read_table(file)
    assert after.schema.equals(before.schema, check_metadata=True)
    assert [after[name].null_count for name in ("distance", "carrier", "diverted")] == [100, 100, 100]


@pytest.mark.parametrize(
    ("params", "names"),
    [
        ({"change": "rename", "column": "temp", "to": "temperature"}, {"temperature"}),
        ({"change": "drop", "column": "temp"}, set()),
        ({"change": "add", "column": "wind", "to": "float64"}, {"temp", "wind"}),
    ],
)
def test_schema_drift_changes_the_names_alone(file: Path, params: dict[str, JsonValue], names: set[str]) -> None:
    before = read(file)
    apply("data.schema_drift", file, params)
    after = read(file)
    assert set(after.column_names) - (set(before.column_names) - {"temp"}) == names
    kept = [name for name in before.column_names if name != "temp"]
    assert after.select(kept).equals(before.select(kept))


def test_schema_drift_retypes(tmp_path: Path) -> None:
    file = tmp_path / "a.parquet"
    write_table(file, table(100))
    apply("data.schema_drift", file, {"change": "retype", "column": "distance", "to": "string"})
    assert pq.read_schema(file).field("distance").type == pa.string()


@pytest.mark.parametrize("kind", ["data.label_flip", "data.missing_values"])
def test_no_rows_is_not_effective(file: Path, kind: str) -> None:
    named: dict[str, JsonValue] = {"column": "late"} if kind == "data.label_flip" else {"columns": ["temp"]}
    before = file.read_bytes()
    assert not apply(kind, file, {**named, "fraction": 0}).effective
    assert file.read_bytes() == before


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(tmp_path: Path) -> None:
    contents = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        (tmp_path / name).mkdir()
        file = tmp_path / name / "a.parquet"
        write_table(file, table(500))
        apply("data.label_flip", file, {"column": "late", "fraction": 0.1}, seed)
        contents.append(file.read_bytes())
    assert contents[0] == contents[1] != contents[2]


@pytest.mark.parametrize(
    ("kind", "params", "said"),
    [
        ("data.label_flip", {"column": "nope", "fraction": 0.1}, "no column nope"),
        ("data.label_flip", {"column": "distance", "fraction": 0.1}, "more than 2 values"),
        ("data.label_flip", {"column": "distance", "fraction": 0.1, "threshold": 1e9}, "on one side"),
        ("data.label_flip", {"column": "carrier", "fraction": 0.1, "threshold": 1}, "no number"),
        ("data.missing_values", {"columns": ["temp", "nope"], "fraction": 0.1}, "no column nope"),
        ("data.schema_drift", {"change": "rename", "column": "temp", "to": "late"}, "already has"),
        ("data.schema_drift", {"change": "retype", "column": "carrier", "to": "int32"}, "are no int32"),
    ],
)
def test_what_cannot_be_done_is_refused_with_a_remedy(
    file: Path, kind: str, params: dict[str, JsonValue], said: str
) -> None:
    before = file.read_bytes()
    with pytest.raises(InjectError, match=said) as refused:
        apply(kind, file, params)
    assert refused.value.remedy
    assert file.read_bytes() == before


@pytest.mark.parametrize(
    ("kind", "params"),
    [
        ("data.label_flip", {"column": "late", "fraction": 1.1}),
        ("data.label_flip", {"column": "late", "fraction": 0.1, "to_value": 1}),
        ("data.missing_values", {"columns": [], "fraction": 0.1}),
        ("data.missing_values", {"columns": ["a"], "fraction": 0.1, "mechanism": "mar"}),
        ("data.missing_values", {"columns": ["a"], "fraction": 0.1, "mechanism": "mar", "given": "a"}),
        ("data.schema_drift", {"change": "rename", "column": "a"}),
        ("data.schema_drift", {"change": "retype", "column": "a", "to": "duck"}),
        ("data.stale_version", {}),
        ("data.object_bitrot", {"start": 0.5, "end": 0.5}),
    ],
)
def test_parameters_that_make_no_sense_are_refused(kind: str, params: dict[str, JsonValue]) -> None:
    with pytest.raises(ValidationError):
        registry.fault_params(kind, params)
