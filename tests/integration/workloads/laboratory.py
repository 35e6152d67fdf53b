"""A tiny training program, and what the tests of the supervisor need around it."""

from __future__ import annotations

import os
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

from chaos_tasks.clock import SystemClock
from chaos_tasks.model.spec import TrialSpec
from chaos_tasks.model.target import ExitCodeSignal, Progress
from chaos_tasks.model.trial import Arm

CLOCK = SystemClock()
TRAIN = textwrap.dedent(
    """
    import json, os, pathlib, sys, time
    out, checkpoints = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
    steps, gate = int(sys.argv[3]), pathlib.Path(sys.argv[4])
    states = sorted(checkpoints.glob("*.ckpt"), key=lambda p: int(p.stem), reverse=True)
    start = 0
    for state in states:
        try:
            start = json.loads(state.read_text())["step"]
            break
        except ValueError:
            print("torn checkpoint", state.name, flush=True)
    for step in range(start + 1, steps + 1):
        with (out / "progress.jsonl").open("a") as f:
            f.write(json.dumps({"step": step}) + "\\n")
        print("step", step, flush=True)
        if step % 5 == 0:
            partial = checkpoints / "partial"
            partial.write_text(json.dumps({"step": step, "weights": "x" * 1000}))
            partial.replace(checkpoints / f"{step}.ckpt")
        while step >= steps - 1 and not (gate.name == "open" or gate.exists() or (gate.name == "restart" and start)):
            time.sleep(0.01)
        time.sleep(0.005)
    (out / "env.json").write_text(json.dumps(dict(os.environ)))
    (out / "metrics.json").write_text('{"auc": 0.9, "loss": NaN, "note": "x", "slices": {"a": {"auc": 0.8}}}')
    """
)


def make_spec(folder: Path, *, steps: int = 12, gate: str = "open", **changes: Any) -> TrialSpec:
    """A trial that trains ``steps`` steps; with a gate it waits before the last one until that file appears.

    Gate "open" never waits, "restart" only in a launch that did not resume from a checkpoint.
    """
    script = folder / "train.py"
    script.write_text(TRAIN, encoding="utf-8")
    out, checkpoints = folder / "out", folder / "checkpoints"
    given: dict[str, Any] = {
        "trial_id": f"run-1/treatment/{folder.name}",
        "run_id": "run-1",
        "experiment": "tiny",
        "arm": Arm.TREATMENT,
        "seed": 7,
        "command": (sys.executable, "-I", "-S", str(script), str(out), str(checkpoints), str(steps), gate),
        "cwd": str(folder),
        "out": str(out),
        "checkpoints": str(checkpoints),
        "progress": Progress(file="progress.jsonl"),
        "checkpoint_glob": "*.ckpt",
        "signals": (ExitCodeSignal(),),
        "timeout_s": 30.0,
        "lease_s": 20.0,
    }
    return TrialSpec(**{**given, **changes})


def supervisor_environment(folder: Path) -> dict[str, str]:
    """Whole environment of a supervisor with a SQLite ledger of its own."""
    return {
        "PATH": os.environ["PATH"],
        "SQUALL_LEDGER_URL": f"sqlite:///{folder}/ledger.db",
        "AIRFLOW__CORE__FERNET_KEY": "never seen by a workload",
    }


def eventually(holds: Callable[[], bool], what: str, timeout_s: float = 20.0) -> None:
    """Poll until it holds; AssertionError naming ``what`` after the deadline."""
    deadline = CLOCK.monotonic() + timeout_s
    while not holds():
        assert CLOCK.monotonic() < deadline, f"{what} did not happen within {timeout_s} s"
        CLOCK.sleep(0.02)
