"""Set-up steps and DVC stages, run for real."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from chaos_tasks.clock import SystemClock
from chaos_tasks.errors import WorkloadError
from chaos_tasks.model.target import CommandWorkload, DvcSource, DvcStageWorkload, SetupStep, Target
from chaos_tasks.probes.dvc_reads import DvcMetric, DvcMetricParams, DvcParam, DvcParamParams
from chaos_tasks.testing.probe_conformance import bare_trial
from chaos_tasks.workloads.command import render
from chaos_tasks.workloads.setup import StepResult, run_setup


def target(workload: CommandWorkload | DvcStageWorkload) -> Target:
    return Target(name="tiny", source=DvcSource(repo="r", data=("d.csv",)), workload=workload)


def with_steps(*steps: SetupStep) -> Target:
    return target(CommandWorkload(run="true", setup=steps, environment={"OUT": "{out}"}))


def run(folder: Path, *steps: SetupStep, must_succeed: bool = False) -> tuple[StepResult, ...]:
    values = {"python": sys.executable, "prepared": str(folder)}
    return run_setup(
        with_steps(*steps), values, cwd=folder, log_dir=folder, clock=SystemClock(), must_succeed=must_succeed
    )


def test_steps_run_in_order_and_stop_at_the_gate_that_refuses(tmp_path: Path) -> None:
    results = run(
        tmp_path,
        SetupStep(name="prepare", run="cp /dev/null {prepared}/made"),
        SetupStep(name="gate", run="{python} -I -S -c 'print(\"no\"); raise SystemExit(3)'", gate=True),
        SetupStep(name="never", run="cp /dev/null {prepared}/never"),
    )
    assert [(one.name, one.exit_code, one.gate_refused) for one in results] == [
        ("prepare", 0, False),
        ("gate", 3, True),
    ]
    assert (tmp_path / "made").exists()
    assert not (tmp_path / "never").exists()
    assert "no" in results[1].tail


def test_a_failed_step_raises_only_when_it_must_succeed(tmp_path: Path) -> None:
    step = SetupStep(name="prepare", run="{python} -I -S -c 'raise SystemExit(\"boom\")'")
    assert run(tmp_path, step)[0].exit_code == 1
    with pytest.raises(WorkloadError, match="exit code 1") as raised:
        run(tmp_path, step, must_succeed=True)
    assert "boom" not in str(raised.value), "what a step prints may quote rows, and an error goes on record"
    assert any("boom" in note for note in raised.value.__notes__)


def test_a_program_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(WorkloadError, match="no-such-program"):
        run(tmp_path, SetupStep(name="prepare", run="no-such-program"))


def test_a_stage_is_reproduced_with_its_seed_and_its_outputs_are_copied(tmp_path: Path) -> None:
    clone, out = tmp_path / "clone", tmp_path / "out"
    clone.mkdir()
    out.mkdir()
    read = "seed = yaml.safe_load(open('params.yaml'))['train']['seed']"
    train = f"import json, yaml\n{read}\njson.dump({{'seed': seed}}, open('metrics.json', 'w'))\n"
    (clone / "train.py").write_text(train)
    (clone / "params.yaml").write_text("train:\n  seed: 1\n  depth: 2\n")
    stage: dict[str, object] = {
        "cmd": f"{sys.executable} train.py",
        "deps": ["train.py"],
        "params": ["train.seed"],
        "outs": [{"metrics.json": {"cache": False}}],
    }
    (clone / "dvc.yaml").write_text(json.dumps({"stages": {"train": stage}}))
    home = {"HOME": str(tmp_path), "DVC_NO_ANALYTICS": "1", "PATH": os.environ["PATH"], "PYTHONPATH": os.getcwd()}
    subprocess.run([sys.executable, "-m", "dvc", "init", "-q", "--no-scm"], cwd=clone, check=True, env=home)
    workload = DvcStageWorkload(stage="train", seed_param="train.seed")
    values = {"python": sys.executable, "repo": str(clone), "out": str(out), "seed": "41"}
    for seed in ("41", "42"):
        subprocess.run(render(target(workload), {**values, "seed": seed}), check=True, env=home)
        assert json.loads((out / "metrics.json").read_text()) == {"seed": int(seed)}
    assert "depth: 2" in (clone / "params.yaml").read_text()


def test_dvc_shows_the_metrics_and_parameters_of_a_stage_that_was_really_reproduced(tmp_path: Path) -> None:
    clone, out = tmp_path / "clone", tmp_path / "out"
    clone.mkdir()
    out.mkdir()
    read = "seed = yaml.safe_load(open('params.yaml'))['train']['seed']"
    write = "json.dump({'test': {'auc': seed / 10}}, open('m.json', 'w'))"
    (clone / "train.py").write_text(f"import json, yaml\n{read}\n{write}\n")
    (clone / "params.yaml").write_text("train: {seed: 1, depth: 2}\n")
    stage = {"cmd": f"{sys.executable} train.py", "params": ["train.seed"], "metrics": [{"m.json": {"cache": False}}]}
    (clone / "dvc.yaml").write_text(json.dumps({"stages": {"train": stage}}))
    home = {"HOME": str(tmp_path), "DVC_NO_ANALYTICS": "1", "PATH": os.environ["PATH"], "PYTHONPATH": os.getcwd()}
    for command in (["git", "init", "-q"], [sys.executable, "-m", "dvc", "init", "-q"]):
        subprocess.run(command, cwd=clone, env=home, check=True, capture_output=True)
    tiny = target(DvcStageWorkload(stage="train", seed_param="train.seed"))
    values = {"python": sys.executable, "repo": str(clone), "out": str(out), "seed": "7"}
    command = [*render(tiny, values), "--show"]
    done = subprocess.run(command, cwd=clone, env=home, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    trial = bare_trial().model_copy(update={"out": str(out)})
    assert DvcMetric().measure(trial, DvcMetricParams(name="test.auc", file="m.json")).value == 0.7
    assert DvcParam().measure(trial, DvcParamParams(name="train.seed")).value == 7
    assert DvcParam().measure(trial, DvcParamParams(name="train.depth")).value == 2
