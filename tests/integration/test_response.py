"""A run that is killed and one that is paused, through the real engine, supervisor and ledger: what was measured."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from chaos_tasks.judging.dossier import Dossier, read_dossier
from chaos_tasks.judging.timeline import moments
from chaos_tasks.model.progress import Setback, TrialProgress
from chaos_tasks.model.trial import Arm, Trial
from tests.tiny import Tiny, make_tiny

TRAIN = '''\
"""Makes steps and dates them; saves every five steps, and goes on from the last save."""
import argparse, json, pathlib, threading, time
parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int)
for name in ("out", "checkpoints"):
    parser.add_argument("--" + name, type=pathlib.Path)
options = parser.parse_args()
told, state = options.out / "progress.jsonl", options.checkpoints / "state.json"
def tell(event, step):
    with told.open("a") as file:
        file.write(json.dumps({"t": time.time(), "event": event, "step": step, "samples": 32 * step}) + "\\n")
start = json.loads(state.read_text())["step"] if state.exists() else 0
tell("resume" if start else "start", start)
for step in range(start + 1, 61):
    threading.Event().wait(0.03)
    tell("step", step)
    if step % 5 == 0:
        partial = state.with_name("partial")
        partial.write_text(json.dumps({"step": step}))
        partial.replace(state)
        tell("checkpoint", step)
(options.out / "metrics.json").write_text(json.dumps({"auc": 0.9}))
'''

TARGET = """\
version: 1
name: tiny
source: {{type: dvc, repo: "{source}", rev: main, data: [rows.csv], format: csv}}
workload:
  type: command
  run: "{{python}} {train} --seed {{seed}} --out {{out}} --checkpoints {{checkpoints}}"
  timeout: 60s
  restarts: 1
reads: {{metrics: metrics.json, progress: {{file: progress.jsonl}}, checkpoints: "*.json"}}
"""

EXPERIMENT = """\
version: 1
name: response
hypothesis: A hurt walk is noticed, and soon where it was.
owner: tests
target: tiny
steady_state:
  - {{name: completed, probe: workload.completed, tolerance: {{type: exactly, value: true}}}}
  - {{name: caught-up, probe: response.recover_s, tolerance: {{type: range, max: 50}}, when: under_fault}}
  - {{name: useful, probe: response.ettr, tolerance: {{type: range, min: 0.01}}, when: under_fault}}
{more}method:
  - {{name: hurt, fault: {fault}, target: workload, trigger: {{at: progress, step: 23}}, draw: per_trial{hold}}}
analysis: {{seeds: 1, base_seed: 1}}
"""

NOTICED = "  - {name: noticed, probe: response.detect_s, tolerance: {type: range, max: 50}, when: under_fault}\n"


@pytest.fixture
def tiny(tmp_path: Path) -> Iterator[Tiny]:
    made = make_tiny(tmp_path)
    train = made.root / "code" / "dated.py"
    train.write_text(TRAIN)
    (made.root / "targets" / "tiny.yaml").write_text(TARGET.format(source=made.root / "source", train=train))
    yield made
    made.end_started()
    made.clean_up()


def ran(tiny: Tiny, fault: str, *, more: str = "", hold: str = "") -> Dossier:
    """The run of an experiment that held."""
    path = tiny.root / "response.yaml"
    path.write_text(EXPERIMENT.format(fault=fault, more=more, hold=hold))
    said = tiny.squall("run", path, "--run-id", "one", "--json")
    assert json.loads(said.out)["outcome"] == "held", said.text
    with tiny.ledger() as ledger:
        found = read_dossier(list(ledger.records(run_id="one")))
    assert found is not None
    return found


def hurt(dossier: Dossier) -> tuple[Trial, TrialProgress, Setback]:
    [trial] = dossier.arm(Arm.TREATMENT)
    assert trial.progress is not None
    [setback] = trial.progress.setbacks
    return trial, trial.progress, setback


def test_a_killed_run_tells_who_noticed_what_was_lost_and_how_often_to_save(tiny: Tiny) -> None:
    dossier = ran(tiny, "process.kill", more=NOTICED)
    trial, progress, setback = hurt(dossier)
    assert setback.step_before is not None
    assert setback.resumed_from is not None
    assert setback.resumed_from % 5 == 0
    assert 0 <= setback.step_before - setback.resumed_from <= 5
    assert setback.redone_steps == trial.lost_steps == setback.step_before - setback.resumed_from
    assert progress.redone_samples == 32 * progress.redone_steps
    times = (setback.restart_s, setback.back_s, setback.first_step_s, setback.caught_up_s)
    known = [seconds for seconds in times if seconds is not None]
    assert len(known) == 4
    assert sorted(known) == known
    spent = progress.useful_s + progress.redone_s + progress.saving_s + progress.down_s
    assert spent == pytest.approx(progress.span_s, rel=0.02)
    assert dossier.verdict is not None
    reaction = dossier.verdict.reaction
    assert reaction is not None
    assert reaction.noticed is not None
    assert (reaction.noticed.count, reaction.trials[0].noticed_by) == (1, "exit_code")
    assert reaction.lost is not None
    assert reaction.lost.device == "no GPU used"
    assert reaction.ratio is not None
    assert reaction.ratio.measured == pytest.approx(progress.useful_s / progress.span_s)
    assert reaction.ratio.predicted is not None
    assert reaction.ratio.best_period_s is not None
    story = [moment.what for moment in moments(dossier) if moment.what in ("noticed", "back", "caught up")]
    assert story == ["noticed", "back", "caught up"]


def test_a_paused_run_stood_still_for_its_hold_and_did_nothing_again(tiny: Tiny) -> None:
    dossier = ran(tiny, "process.pause", hold=", hold: 1s")
    trial, progress, setback = hurt(dossier)
    assert (setback.resumed_from, setback.redone_steps, trial.lost_steps) == (None, 0, 0)
    assert progress.stalled_s > 0.5
    assert setback.caught_up_s is not None
    assert setback.caught_up_s >= 1.0
    assert dossier.verdict is not None
    assert dossier.verdict.reaction is not None
    ratio = dossier.verdict.reaction.ratio
    assert ratio is not None
    assert (ratio.failures, ratio.predicted) == (0, None)


def test_a_control_wastes_nothing_but_its_saves(tiny: Tiny) -> None:
    [control] = ran(tiny, "process.kill").arm(Arm.CONTROL)
    progress = control.progress
    assert progress is not None
    assert (progress.redone_s, progress.down_s, progress.stalled_s, progress.setbacks) == (0, 0, 0, ())
    assert progress.useful_s + progress.saving_s == pytest.approx(progress.span_s, rel=0.01)
    assert progress.checkpoints is not None
    assert progress.checkpoints.count == 12
