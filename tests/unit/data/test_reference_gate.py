"""The gate learns from a clean table, and says which column broke which limit."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import infer_gate
import numpy as np
import pandas as pd
import pytest
import schema

# By path, as an installed library (configobj) has a module called validate too.
SCRIPT = Path(__file__).parents[3] / "data/pipeline/validate.py"
spec = importlib.util.spec_from_file_location("reference_validate", SCRIPT)
assert spec is not None
assert spec.loader is not None
validate = importlib.util.module_from_spec(spec)
spec.loader.exec_module(validate)


@pytest.fixture(scope="module")
def clean() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    rows = 600
    table = pd.DataFrame({name: rng.normal(50, 5, rows) for name in schema.NUMERIC})
    table[["hour", "weekday"]] = rng.integers(0, 7, (rows, 2))
    for name in ("carrier", "origin", "dest"):
        table[name] = rng.choice(["A", "B", "C"], rows)
    table["late"] = (np.arange(rows) % 4 == 0).astype("int8")
    table.loc[rng.random(rows) < 0.05, "pressure"] = None
    return table.assign(flight_id=range(rows), month=np.repeat([1, 2, 3], 200))[list(schema.PREPARED)]


def broken(clean: pd.DataFrame, **columns: object) -> list[tuple[str, str]]:
    found = validate.failures(clean.assign(**columns), infer_gate.infer(clean))
    return [(f["column"], f["check"]) for f in found]


def test_a_clean_table_passes(clean: pd.DataFrame) -> None:
    assert broken(clean) == []


def test_values_out_of_range_are_counted(clean: pd.DataFrame) -> None:
    kelvin = clean["temp"].where(clean.index % 2 == 0, clean["temp"] + 273)
    found = validate.failures(clean.assign(temp=kelvin), infer_gate.infer(clean))
    assert found == [{"column": "temp", "check": "in_range", "count": 300}]


def test_too_many_missing_values_are_refused(clean: pd.DataFrame) -> None:
    assert broken(clean, pressure=clean["pressure"].where(clean.index % 2 == 0)) == [("pressure", "null_share")]


def test_an_unknown_category_is_refused(clean: pd.DataFrame) -> None:
    assert ("carrier", "isin") in broken(clean, carrier="ZZ")


def test_a_column_of_another_type_is_refused(clean: pd.DataFrame) -> None:
    assert ("temp", "dtype") in {(c, k[:5]) for c, k in broken(clean, temp=clean["temp"].astype(str))}


def test_a_missing_column_is_refused(clean: pd.DataFrame) -> None:
    assert len(validate.failures(clean.drop(columns="temp"), infer_gate.infer(clean))) == 1


def test_repeated_keys_are_refused(clean: pd.DataFrame) -> None:
    assert ("flight_id", "field_uniqueness") in broken(clean, flight_id=0)


def test_flips_within_the_usual_rate_slip_through(clean: pd.DataFrame) -> None:
    """The gate knows no more than a real one: exchanging labels at the same rate is not seen."""
    assert broken(clean, late=np.roll(clean["late"], 1)) == []
    assert ("late", "label_rate") in broken(clean, late=1 - clean["late"])


def test_too_few_rows_are_refused(clean: pd.DataFrame) -> None:
    found = validate.failures(clean.iloc[:300], infer_gate.infer(clean))
    assert {f["check"] for f in found} == {"rows", "rows_per_month"}
