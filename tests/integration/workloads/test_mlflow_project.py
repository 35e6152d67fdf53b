"""An MLproject runs with its seed in a tracking store of the trial's own, and its metrics are those of its run."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from chaos_tasks.model.target import DvcSource, MlflowProjectWorkload, Predictions, Reads, RedirectedWrite, Target
from chaos_tasks.workloads.command import render, render_environment
from chaos_tasks.workloads.environment import clean, interpreter_first

PROJECT = """\
name: stranger
entry_points:
  fit:
    parameters:
      seed: {type: int, default: 1}
      rate: {type: float, default: 0.1}
    command: "python fit.py {seed} {rate}"
"""
FIT = """\
import sys, mlflow
with mlflow.start_run():
    mlflow.log_metric("auc", float(sys.argv[1]) / 10 + float(sys.argv[2]))
    open("/dev/stdout", "w").write("fitted\\n")
    mlflow.log_text("id,score\\n1,0.5\\n", "predictions.csv")
    if float(sys.argv[2]) > 1:
        raise SystemExit(3)
"""


def target(rate: str, *, own_copy: bool = False) -> Target:
    workload = MlflowProjectWorkload(entry_point="fit", parameters={"rate": rate}, own_copy=own_copy)
    return Target(
        name="stranger",
        source=DvcSource(repo="r", data=("d.csv",)),
        workload=workload,
        reads=Reads(predictions=Predictions(path="predictions.csv", key="id", label="late", score="score")),
        writes=(RedirectedWrite(what="s3://models/", environment={"PREFIX": "s3://models/squall/{trial}/"}),),
    )


@pytest.fixture
def values(tmp_path: Path) -> dict[str, str]:
    repo, out = tmp_path / "repo", tmp_path / "out"
    repo.mkdir()
    out.mkdir()
    (repo / "MLproject").write_text(PROJECT)
    (repo / "fit.py").write_text(FIT)
    return {"python": sys.executable, "repo": str(repo), "out": str(out), "seed": "7", "trial": "run-control-7"}


def run(rate: str, values: dict[str, str], *, own_copy: bool = False) -> subprocess.CompletedProcess[str]:
    path = {"PATH": interpreter_first(sys.executable, os.environ["PATH"])}
    return subprocess.run(
        render(target(rate, own_copy=own_copy), values),
        cwd=values["repo"],
        env=clean(os.environ, {**path, **render_environment(target(rate), values)}),
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )


def test_metrics_and_artifacts_of_the_run_are_read_and_nothing_is_written_elsewhere(values: dict[str, str]) -> None:
    before = sorted(path.name for path in Path(values["repo"]).rglob("*"))
    done = run("0.5", values)
    assert done.returncode == 0, done.stderr
    out = Path(values["out"])
    assert json.loads((out / "metrics.json").read_text()) == {"auc": pytest.approx(1.2)}
    assert (out / "predictions.csv").read_text() == "id,score\n1,0.5\n"
    with sqlite3.connect(out / "mlflow.db") as store:
        assert store.execute("select name from experiments where name = 'squall'").fetchall()
    assert sorted(path.name for path in Path(values["repo"]).rglob("*")) == before


def test_in_a_copy_of_its_own_a_trial_writes_where_it_always_does(values: dict[str, str]) -> None:
    repo, out = Path(values["repo"]), Path(values["out"])
    (repo / "fit.py").write_text(FIT + 'open("model.txt", "x").write("made")\n')
    (repo / ".dvc").mkdir()
    before = sorted(path.name for path in repo.rglob("*"))
    for _ in range(2):
        done = run("0.5", values, own_copy=True)
        assert done.returncode == 0, done.stderr
    assert json.loads((out / "metrics.json").read_text()) == {"auc": pytest.approx(1.2)}
    assert sorted(path.name for path in repo.rglob("*")) == before
    assert not (out / "tree").exists()


def test_a_failed_entry_point_fails_the_trial(values: dict[str, str]) -> None:
    assert run("2.0", values).returncode == 1


def test_redirected_writes_and_tracking_are_variables_of_the_trial(values: dict[str, str]) -> None:
    told = render_environment(target("0.5"), values)
    assert told["PREFIX"] == "s3://models/squall/run-control-7/"
    assert told["MLFLOW_TRACKING_URI"] == f"sqlite:///{values['out']}/mlflow.db"
