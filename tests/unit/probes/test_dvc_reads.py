"""What DVC shows of a trial is read by name, and what is not there is an error, never a default."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from chaos_tasks.errors import ProbeError
from chaos_tasks.model.trial import Trial
from chaos_tasks.probes.dvc_reads import SHOWN, DvcMetric, DvcMetricParams, DvcParam, DvcParamParams
from chaos_tasks.testing.probe_conformance import bare_trial
from chaos_tasks.workloads import dvc_repro

METRICS = {"a.json": {"auc": 0.9, "n": 3, "by": {"origin=J.F": {"auc": 0.8}}, "bad": math.nan}, "b.json": {"auc": 0.7}}
PARAMS = {"train": {"lr": 0.1, "on": True, "layers": [1, 2]}, "other.yaml:train": {"lr": 0.2}}


@pytest.fixture
def trial(tmp_path: Path) -> Trial:
    (tmp_path / SHOWN).write_text(json.dumps({"metrics": METRICS, "params": PARAMS}))
    return bare_trial().model_copy(update={"out": str(tmp_path)})


def metric(trial: Trial, name: str, file: str = "", unit: str = "") -> object:
    return DvcMetric().measure(trial, DvcMetricParams(name=name, file=file, unit=unit)).value


def param(trial: Trial, name: str) -> object:
    return DvcParam().measure(trial, DvcParamParams(name=name)).value


def test_the_wrapper_writes_what_the_probes_read() -> None:
    assert dvc_repro.SHOWN == SHOWN


def test_a_metric_is_read_by_file_and_dotted_name(trial: Trial) -> None:
    assert metric(trial, "auc", "a.json") == 0.9
    assert metric(trial, "by.origin=J.F.auc") == 0.8
    assert math.isnan(metric(trial, "bad"))  # type: ignore[arg-type]
    reading = DvcMetric().measure(trial, DvcMetricParams(name="n", unit="rows"))
    assert (reading.value, reading.unit) == (3, "rows")


@pytest.mark.parametrize(
    ("name", "file", "said"),
    [
        ("auc", "", r"'auc' is in 2 of the metrics files of trial bare \(a.json, b.json\)"),
        ("f1", "", r"'f1' is in 0 of the metrics files"),
        ("auc", "c.json", r"declares no metrics file 'c.json' that it left \(it has: a.json, b.json\)"),
        ("by", "", "'by' of trial bare is no number"),
    ],
)
def test_a_metric_that_is_not_one_number_is_an_error(trial: Trial, name: str, file: str, said: str) -> None:
    with pytest.raises(ProbeError, match=said) as caught:
        metric(trial, name, file)
    assert caught.value.remedy


def test_a_parameter_is_read_as_it_is(trial: Trial) -> None:
    assert (param(trial, "train.lr"), param(trial, "train.on")) == (0.1, True)
    assert param(trial, "other.yaml:train.lr") == 0.2
    with pytest.raises(ProbeError, match=r"'train.depth' of trial bare is not there \(there are: other"):
        param(trial, "train.depth")
    with pytest.raises(ProbeError, match=r"'train.layers' of trial bare is no single"):
        param(trial, "train.layers")


def test_a_trial_of_which_dvc_was_not_asked_says_so(trial: Trial, tmp_path: Path) -> None:
    (tmp_path / SHOWN).write_text("{")
    with pytest.raises(ProbeError, match="is torn"):
        metric(trial, "auc")
    (tmp_path / SHOWN).unlink()
    with pytest.raises(ProbeError, match="left nothing that DVC shows"):
        param(trial, "train.lr")
