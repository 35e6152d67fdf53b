"""Forked trials and runs that span nights, through the real engine, supervisor and ledger, on the tiny project."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from chaos_tasks.model.trial import Arm
from chaos_tasks.model.verdict import Outcome, Reason
from chaos_tasks.runs import Run
from tests.tiny import ROOT, Tiny, make_tiny

SAVING = '''\
"""Walks a number at random, saves where it is every five steps, keeps two checkpoints, and goes on from the last."""
import argparse, json, pathlib, random, threading
parser = argparse.ArgumentParser()
for name in ("seed", "steps", "pause"):
    parser.add_argument("--" + name, type=float)
for name in ("data", "out", "checkpoints"):
    parser.add_argument("--" + name, type=pathlib.Path)
options = parser.parse_args()
told = options.out / "progress.jsonl"
def tell(**entry):
    with told.open("a") as file:
        file.write(json.dumps(entry) + "\\n")
def saved():
    return sorted(options.checkpoints.glob("ckpt-*.json"), key=lambda path: int(path.stem[5:]))
draw, step, value = random.Random(options.seed), 0, 0.0
if saved():
    state = json.loads(saved()[-1].read_text())
    step, value = state["step"], state["value"]
    draw.setstate((3, tuple(state["draw"][1]), None))
    tell(event="resume", step=step)
while step < options.steps:
    step, value = step + 1, value + draw.random()
    tell(event="step", step=step)
    if step % 5 == 0:
        path = options.checkpoints / f"ckpt-{step}.json"
        path.write_text(json.dumps({"step": step, "value": value, "draw": draw.getstate()}))
        tell(event="checkpoint", step=step, file=path.name)
        for old in saved()[:-2]:
            old.unlink()
    threading.Event().wait(options.pause)
(options.out / "metrics.json").write_text(json.dumps({"auc": value / step}))
'''

TARGET = """\
version: 1
name: tiny
source: {{type: dvc, repo: "{source}", rev: main, data: [rows.csv], format: csv}}
workload:
  type: command
  run: >-
    {{python}} {train} --seed {{seed}} --steps 80 --pause 0.03 --data {{data}}/rows.csv --out {{out}}
    --checkpoints {{checkpoints}}
  timeout: 60s
  restarts: 1
reads: {{metrics: metrics.json, progress: {{file: progress.jsonl}}, checkpoints: "ckpt-*.json"}}
"""

FORKED = """\
version: 1
name: forked
hypothesis: A killed walk goes on where it was.
owner: tests
target: tiny
steady_state:
  - name: auc
    probe: model.metric
    params: {metric: auc}
    tolerance: {type: non_inferiority, margin: 0.001}
  - {name: resumed, probe: workload.resumed, tolerance: {type: exactly, value: true}, when: under_fault}
method:
  - {name: kill, fault: process.kill, target: workload, trigger: {at: progress, step: 22}, draw: per_trial}
analysis: {seeds: 4, base_seed: 1, fork: {at_step: 18}}
"""

NIGHTLY = """\
version: 1
name: nights
hypothesis: The tiny model stays as good when it is marked.
owner: tests
target: tiny
steady_state:
  - name: auc
    probe: model.metric
    params: {metric: auc}
    tolerance: {type: non_inferiority, margin: 0.001}
method:
  - {name: mark, fault: tiny.mark, target: data}
guards: {lease: 30s}
analysis: {seeds: 2, nights: 2}
"""

ONE_NIGHT = """\
import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from chaos_tasks.campaign import request_of
from chaos_tasks.clock import SystemClock
from chaos_tasks.composition import build
from chaos_tasks.engine import Engine
from chaos_tasks.loading import load_experiment
from chaos_tasks.safety.guards import own_beat
from chaos_tasks.targets.process import host

class Later(SystemClock):
    def now(self):
        return super().now() + timedelta(days=int(sys.argv[2]))

with build() as squall:
    for name in ("sweeper", own_beat(host())):
        squall.ledger.beat(name)
    loop = replace(squall.engine.parts.loop, clock=Later())
    engine = Engine(replace(squall.engine.parts, clock=Later(), loop=loop))
    engine.run(request_of(load_experiment(Path(sys.argv[1])), f"night-{sys.argv[2]}"))
"""


@pytest.fixture
def tiny(tmp_path: Path) -> Iterator[Tiny]:
    made = make_tiny(tmp_path)
    yield made
    made.end_started()
    made.clean_up()


def use_saving_workload(tiny: Tiny) -> None:
    train = tiny.root / "code" / "saving.py"
    train.write_text(SAVING)
    (tiny.root / "targets" / "tiny.yaml").write_text(TARGET.format(source=tiny.root / "source", train=train))


def test_a_forked_run_trains_less_and_ends_as_its_controls(tiny: Tiny) -> None:
    use_saving_workload(tiny)
    path = tiny.root / "forked.yaml"
    path.write_text(FORKED)
    said = tiny.squall("run", path, "--run-id", "one", "--json")
    verdict = json.loads(said.out)
    assert verdict["outcome"] == "held", said.text
    with tiny.ledger() as ledger:
        run = Run(ledger, "one")
        treated = [end.trial for end in run.ended_trials(Arm.TREATMENT)]
        controls = {end.trial.seed: end.trial for end in run.ended_trials(Arm.CONTROL)}
    assert verdict["steps_saved"] == 15 * len(treated) > 0
    for trial in treated:
        control = controls[trial.seed]
        assert control.kept is not None
        assert trial.metrics == control.metrics
        assert trial.forked_from == control.id
        assert trial.fork is not None
        assert (trial.fork.step, trial.fork.sha256) == (15, control.kept.files["ckpt-15.json"])
        assert trial.launches[0].first_step == 15
        assert len(trial.launches) == 2


def test_the_doctor_forks_a_control_from_a_control(tiny: Tiny) -> None:
    use_saving_workload(tiny)
    said = tiny.squall("doctor", "--trial", "tiny", "--fork", "18")
    assert "forked at the checkpoint of step 15: the control's 1 metrics, bit for bit" in said.out, said.text
    early = tiny.squall("doctor", "--trial", "tiny", "--fork", "4")
    assert "left no checkpoint at or before step 4" in early.out
    forgetful = SAVING.replace("    draw.setstate", "    #")
    (tiny.root / "code" / "saving.py").write_text(forgetful)
    assert "the fork differs from its control in auc" in tiny.squall("doctor", "--trial", "tiny", "--fork", "18").out


def test_an_undecided_night_is_continued_by_the_next_one(tiny: Tiny) -> None:
    path = tiny.root / "nights.yaml"
    path.write_text(NIGHTLY)
    python_path = os.pathsep.join((str(tiny.project.site), str(ROOT)))
    told = {"PATH": os.environ["PATH"], "PYTHONPATH": python_path, "SQUALL_CONFIG": str(tiny.project.config)}
    for number in ("1", "2"):
        command = [sys.executable, "-c", ONE_NIGHT, str(path), number]
        subprocess.run(command, env=told, cwd=tiny.root, check=True, timeout=100)
    with tiny.ledger() as ledger:
        first, second = Run(ledger, "night-1").verdict(), Run(ledger, "night-2").verdict()
        plan = Run(ledger, "night-2").plan()
    assert first is not None
    assert second is not None
    assert (first.outcome, first.reasons) == (Outcome.INCONCLUSIVE, (Reason.INTERVAL_TOO_WIDE,)), first.sentence
    assert second.outcome is Outcome.HELD, second.sentence
    assert plan.continues == second.continues == ("night-1",)
    assert len(second.checks[0].seeds) > 2
    assert second.trials <= 4
