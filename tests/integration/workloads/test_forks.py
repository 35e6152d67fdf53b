"""A forked trial is what its control would have been from that step on: bit for bit, on the real training."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from chaos_tasks.model.experiment import ProgressTrigger
from chaos_tasks.model.spec import FiringSpec, ForkSpec, TrialSpec
from chaos_tasks.model.target import Progress
from chaos_tasks.model.trial import Arm, Trial, TrialStatus
from chaos_tasks.probes.workload import Resumed
from chaos_tasks.workloads.fencing import end_recorded
from chaos_tasks.workloads.runner import SupervisedRunner
from tests.integration.workloads.laboratory import make_spec, supervisor_environment

DATA = Path(__file__).parents[3] / "data"
KILL = {
    "parent_handle_id": "run-1/kill",
    "n": 0,
    "step": "kill",
    "kind": "process.kill",
    "params": {},
    "trigger": ProgressTrigger(step=30),
    "seed": 3,
}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """January of the reference data, ready to train on, and the same with flipped labels."""
    root = tmp_path_factory.mktemp("reference")
    sealed = ("--sealed", root / "eval.parquet", "--sealed-rows", 2000)
    _script("ingest.py", "--through", "2013-01", "--out", root / "raw", *sealed)
    _script("prepare.py", "--raw", root / "raw", "--out", root / "clean")
    table = pq.read_table(root / "clean" / "train.parquet")
    late = pc.subtract(1, table["late"].cast("int64")).cast(table["late"].type)
    (root / "flipped").mkdir()
    flipped = table.set_column(table.column_names.index("late"), "late", late)
    pq.write_table(flipped, root / "flipped" / "train.parquet")
    return root


def _script(name: str, *arguments: object) -> None:
    command = [sys.executable, str(DATA / "pipeline" / name), *map(str, arguments)]
    subprocess.run(command, check=True, timeout=120, env={**os.environ, "OMP_NUM_THREADS": "1"})


@pytest.fixture
def runner(tmp_path: Path) -> Iterator[SupervisedRunner]:
    made = SupervisedRunner(environment=supervisor_environment(tmp_path), log=tmp_path / "supervisor.log")
    yield made
    made.close()
    end_recorded(tmp_path)


def training(prepared: Path, folder: Path, arm: Arm, *more: str, table: str = "clean", **changes: Any) -> TrialSpec:
    """A trial of the reference training: 44 steps, a checkpoint every ten; options given twice count as given last."""
    out, checkpoints = folder / "out", folder / "checkpoints"
    where = ("--prepared", prepared / table, "--sealed", prepared / "eval.parquet", "--out", out)
    how = ("--checkpoints", checkpoints, "--batch", 1200, "--save-every", 10, "--device", "cpu")
    command = (sys.executable, DATA / "pipeline" / "trial.py", *where, *how, *more)
    given = {
        "trial_id": f"run-1/{arm.value}/7",
        "run_id": "run-1",
        "experiment": "forks",
        "arm": arm,
        "seed": 7,
        "command": tuple(map(str, command)),
        "cwd": str(DATA),
        "out": str(out),
        "checkpoints": str(checkpoints),
        "predictions_file": "predictions.parquet",
        "progress": Progress(file="progress.jsonl"),
        "checkpoint_glob": "ckpt-*.pt",
        "timeout_s": 60.0,
    }
    return TrialSpec(**{**given, **changes})


@pytest.fixture
def control(prepared: Path, tmp_path: Path, runner: SupervisedRunner) -> Trial:
    """A control that keeps its checkpoint at or before step 25."""
    keep = {"keep_checkpoint_at": 25, "keep_in": str(tmp_path / "control" / "kept")}
    trial = runner.run(training(prepared, tmp_path / "control", Arm.CONTROL, **keep))
    assert trial.status is TrialStatus.COMPLETED, trial.error
    return trial


def fork_of(control: Trial) -> ForkSpec:
    assert control.kept is not None
    return ForkSpec(trial_id=control.id, kept=control.kept)


def test_a_control_forked_from_a_control_has_its_metrics_bit_for_bit(
    prepared: Path, tmp_path: Path, runner: SupervisedRunner, control: Trial
) -> None:
    assert control.kept is not None
    assert (control.kept.step, sorted(control.kept.files)) == (20, ["ckpt-10.pt", "ckpt-20.pt"])
    assert "ckpt-20.pt" not in {path.name for path in (tmp_path / "control" / "checkpoints").iterdir()}
    forked = runner.run(training(prepared, tmp_path / "fork", Arm.TREATMENT, fork=fork_of(control)))
    assert forked.status is TrialStatus.COMPLETED, forked.error
    assert forked.launches[0].first_step == 20
    assert forked.files == control.files  # metrics and predictions, by digest
    assert dict(forked.metrics) == dict(control.metrics)
    assert (forked.forked_from, forked.steps_saved) == (control.id, 20)
    assert forked.fork is not None
    assert forked.fork.sha256 == control.kept.files["ckpt-20.pt"]


def test_a_killed_fork_resumes_and_ends_as_its_control(
    prepared: Path, tmp_path: Path, runner: SupervisedRunner
) -> None:
    # Long between two saves: the trainer's own save is not atomic, and a kill that hits it is another finding.
    rare = ("--epochs", "20", "--save-every", "200")
    keep = {"keep_checkpoint_at": 205, "keep_in": str(tmp_path / "control" / "kept")}
    control = runner.run(training(prepared, tmp_path / "control", Arm.CONTROL, *rare, **keep))
    firings = (FiringSpec.model_validate({**KILL, "trigger": ProgressTrigger(step=210)}),)
    more = {"fork": fork_of(control), "firings": firings, "restarts": 1}
    killed = runner.run(training(prepared, tmp_path / "fork", Arm.TREATMENT, *rare, **more))
    assert killed.status is TrialStatus.COMPLETED, killed.error
    assert [launch.exit_code for launch in killed.launches] == [-9, 0]
    assert Resumed().measure(killed, Resumed.params_type()).value is True
    assert killed.files == control.files


def test_a_workload_that_does_not_resume_makes_the_fork_void(
    prepared: Path, tmp_path: Path, runner: SupervisedRunner, control: Trial
) -> None:
    other = training(prepared, tmp_path / "fork", Arm.TREATMENT, "--epochs", "1", fork=fork_of(control))
    trial = runner.run(other)
    assert trial.status is TrialStatus.VOID
    assert "did not resume from the checkpoint of step 20" in trial.error
    assert trial.steps_saved == 0


def test_labels_that_flip_in_mid_training_reach_the_model_only_where_the_workload_goes_on(
    prepared: Path, tmp_path: Path, runner: SupervisedRunner, control: Trial
) -> None:
    fork = fork_of(control)
    refused = runner.run(training(prepared, tmp_path / "refused", Arm.TREATMENT, table="flipped", fork=fork))
    assert refused.status is TrialStatus.VOID
    went_on = training(prepared, tmp_path / "went", Arm.TREATMENT, "--resume-changed", table="flipped", fork=fork)
    trial = runner.run(went_on)
    assert trial.status is TrialStatus.COMPLETED, trial.error
    assert trial.launches[0].first_step == 20
    whole = runner.run(training(prepared, tmp_path / "whole", Arm.TREATMENT, table="flipped"))
    assert whole.metrics["auc"] < trial.metrics["auc"] < control.metrics["auc"]  # a part of the harm, not all of it


def test_a_checkpoint_that_was_touched_since_makes_the_fork_void(tmp_path: Path, runner: SupervisedRunner) -> None:
    (tmp_path / "control").mkdir()
    kept_in = tmp_path / "kept"
    told = make_spec(tmp_path / "control", keep_checkpoint_at=7, keep_in=str(kept_in), arm=Arm.CONTROL)
    control = runner.run(told)
    assert control.kept is not None
    assert control.kept.step == 5
    (kept_in / "5.ckpt").write_text(json.dumps({"step": 11}))
    (tmp_path / "fork").mkdir()
    trial = runner.run(make_spec(tmp_path / "fork", fork=fork_of(control)))
    assert trial.status is TrialStatus.VOID
    assert "is not what was kept" in trial.error
    assert not trial.launches


def test_a_retried_fork_goes_on_from_its_own_checkpoints(tmp_path: Path, runner: SupervisedRunner) -> None:
    (tmp_path / "control").mkdir()
    told = make_spec(tmp_path / "control", keep_checkpoint_at=7, keep_in=str(tmp_path / "kept"), arm=Arm.CONTROL)
    fork = fork_of(runner.run(told))
    (tmp_path / "fork").mkdir()
    spec = make_spec(tmp_path / "fork", fork=fork)
    assert runner.run(spec).launches[0].first_step == 6
    again = runner.run(spec)
    assert [launch.first_step for launch in again.launches] == [6, 11]
    assert again.status is TrialStatus.COMPLETED
