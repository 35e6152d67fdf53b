"""Tails of a series on disk: order statistics, lost values count as infinite, and too few are not measured."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from chaos_tasks import registry
from chaos_tasks.errors import ProbeError
from chaos_tasks.model.trial import Arm, Trial
from tests.predictions import LAYOUT, drawn, trial

LAGS = [place / 1000 for place in range(1, 1001)]


def read(of: Trial, **params: Any) -> Any:
    wanted = {"file": "decisions.jsonl", "field": "lag", **params}
    return registry.probe("model.tail").measure(of, registry.probe_params("model.tail", wanted)).value


@pytest.fixture
def left(tmp_path: Path) -> Trial:
    return trial(tmp_path, Arm.TREATMENT, drawn(200), lags=LAGS)


def test_a_quantile_and_a_share_are_read(left: Trial) -> None:
    assert read(left, quantile=0.99) == 0.99
    assert read(left, above=0.9) == 0.1


def test_what_was_lost_makes_the_tail_worse(left: Trial) -> None:
    assert read(left, quantile=0.99, expected=1000) == 0.99
    assert read(left, quantile=0.99, expected=1009) == 0.999
    assert read(left, quantile=0.99, expected=1100) == math.inf
    assert read(left, above=0.9, expected=2000) == 0.55


def test_a_stream_that_lost_everything_has_an_infinite_tail(tmp_path: Path) -> None:
    silent = trial(tmp_path, Arm.TREATMENT, drawn(200), lags=[])
    assert read(silent, quantile=0.5, expected=600) == math.inf
    with pytest.raises(ProbeError, match="0 values of lag"):
        read(silent, quantile=0.5)


def test_torn_and_foreign_lines_are_passed_over_and_nan_is_measured(tmp_path: Path, left: Trial) -> None:
    path = tmp_path / "treatment" / "decisions.jsonl"
    path.write_text(path.read_text() + '{"poison": 1}\n[]\n{"lag": true}\n{"lag": "x"}\n{"lag": 0.')
    assert read(left, quantile=0.99) == 0.99
    path.write_text(path.read_text() + '\n{"lag": NaN}\n')
    assert math.isnan(read(left, quantile=0.99))


def test_a_column_of_a_table_is_a_series_too(tmp_path: Path, left: Trial) -> None:
    pq.write_table(pa.table({"lag": LAGS}), tmp_path / "treatment" / "lags.parquet")
    assert read(left, file="lags.parquet", quantile=0.5) == 0.5


@pytest.mark.parametrize(
    "params", [{"min_n": 1001}, {"field": "absent"}, {"file": "absent.jsonl"}, {"file": "../x.jsonl"}]
)
def test_says_when_there_is_no_tail(left: Trial, params: dict[str, Any]) -> None:
    with pytest.raises(ProbeError) as caught:
        read(left, quantile=0.99, **params)
    assert caught.value.remedy


@pytest.mark.parametrize("params", [{}, {"quantile": 0.9, "above": 1.0}, {"quantile": 1.0}])
def test_asks_for_one_thing(left: Trial, params: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        read(left, **params)


def test_a_models_own_gap_is_read_from_its_predictions(tmp_path: Path) -> None:
    def gap(columns: Any, **params: Any) -> Any:
        wanted = {"group": "origin", "gap": "tpr", "predictions": LAYOUT.model_dump(), **params}
        probe, typed = registry.probe("model.fairness_gap"), registry.probe_params("model.fairness_gap", wanted)
        return probe.measure(trial(tmp_path, Arm.TREATMENT, columns), typed).value

    assert gap(drawn()) < 0.1 < gap(drawn(hurt="JFK"))
    broken = drawn()
    broken["score"][3] = math.nan
    assert math.isnan(gap(broken))
    with pytest.raises(ProbeError, match="0 of 3 groups have 9000 rows"):
        gap(drawn(), min_group=9000)
