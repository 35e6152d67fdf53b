"""The same kills against Chaos Toolkit and Squall pausing a process: how many processes each leaves stopped.

    python -m benchmarks.kills_beside --opponents PYTHON

PYTHON is an interpreter whose environment has chaostoolkit.  Both sides strike themselves at the same points with a
real signal.  Chaos Toolkit runs as its users run it with care: rollbacks declared, `--rollback-strategy always`.  It
has no command that undoes a dead run: what a second run of the experiment (whose rollbacks play) leaves is counted too.
Squall acts through `chaos_tasks.acts`, as engine and supervisor do, with Ctrl-C and TERM taken as `squall run` takes
them; after the lease a new process reverts through the same function as the sweep.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from chaos_tasks.acts import ActParts

ROOT = Path(__file__).resolve().parents[1]
RESULT = ROOT / "benchmarks" / "results" / "kills_beside.json"
POINTS = ("before inject", "after inject", "under fault", "before undo", "after undo")
HOWS = ("SIGKILL", "GROUP", "SIGTERM", "SIGINT")
LEASE_S = 1.0
SETTLED_S = 0.3

MODULE = """\
import os, signal
def strike(point):
    if os.environ.get("POINT") != point:
        return
    if os.environ["HOW"] == "GROUP":
        os.killpg(0, signal.SIGKILL)
    os.kill(os.getpid(), getattr(signal, os.environ["HOW"]))
def pause(pid):
    strike("before inject")
    os.kill(pid, signal.SIGSTOP)
    strike("after inject")
def watch():
    strike("under fault")
    return True
def resume(pid):
    strike("before undo")
    os.kill(pid, signal.SIGCONT)
    strike("after undo")
"""


def activity(kind: str, func: str, pid: int | None) -> dict[str, object]:
    provider = {"type": "python", "module": "pausing", "func": func, "arguments": {} if pid is None else {"pid": pid}}
    return {"type": kind, "name": func, "provider": provider}


def experiment(pid: int) -> dict[str, object]:
    """The equivalent experiment; the probe reads under the fault."""
    return {
        "title": "A paused process",
        "description": "Pause, look, resume",
        "method": [activity("action", "pause", pid), activity("probe", "watch", None)],
        "rollbacks": [activity("action", "resume", pid)],
        "runtime": {"rollbacks": {"strategy": "always"}},
    }


def run(command: list[str], folder: Path, point: str, how: str) -> None:
    """In a session of its own, so that a group's end is not ours."""
    env = {**os.environ, "POINT": point, "HOW": how, "PYTHONPATH": f"{folder}:{ROOT}"}
    subprocess.run(command, cwd=folder, env=env, capture_output=True, start_new_session=True, timeout=60, check=False)


def toolkit(python: str, folder: Path, pid: int, point: str, how: str) -> tuple[bool, bool]:
    """Whether the process stands still after the kill, and after the experiment was run again by hand."""
    (folder / "pausing.py").write_text(MODULE)
    (folder / "experiment.json").write_text(json.dumps(experiment(pid)))
    command = [str(Path(python).parent / "chaos"), "--no-version-check", "run", "--rollback-strategy", "always"]
    run([*command, "experiment.json"], folder, point, how)
    left = is_stopped(pid)
    run([*command, "experiment.json"], folder, "", "")
    return left, is_stopped(pid)


def squall(folder: Path, pid: int, point: str, how: str) -> tuple[bool, bool]:
    """The same after the kill, and after the lease and one sweep that needs nobody."""
    command = [sys.executable, "-m", "benchmarks.kills_beside"]
    run([*command, "--act", str(pid)], folder, point, how)
    left = is_stopped(pid)
    if left:
        time.sleep(LEASE_S)
    run([*command, "--sweep"], folder, "", "")
    return left, is_stopped(pid)


def is_stopped(pid: int) -> bool:
    """A signal that was sent a moment ago may not have been taken yet."""
    until = time.monotonic() + SETTLED_S
    while time.monotonic() < until:
        if psutil.Process(pid).status() == psutil.STATUS_STOPPED:
            return True
        time.sleep(0.02)
    return False


def act(pid: int) -> None:
    """Arm, inject, look, revert; a child process."""
    from chaos_tasks import acts
    from chaos_tasks.model.handle import Handle
    from chaos_tasks.targets.process import place_of

    signal.signal(signal.SIGTERM, signal.default_int_handler)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    place = place_of(pid, trial_id="bench", out="out", checkpoints="checkpoints", checkpoint_glob="*")
    made = parts(striking=True)
    prior = made.fault.snapshot(place, made.fault.params_type(), made.context)
    one = Handle(
        id="bench/pause",
        run_id="bench",
        step="pause",
        kind="process.pause",
        place=place,
        params={},
        prior=prior,
        seed=1,
    )
    state = acts.arm(made, one, lease_s=LEASE_S)
    try:
        acts.inject(made, state)
        strike("under fault")
    finally:
        now = made.ledger.handle(one.id)
        if now is not None:
            acts.revert(made, now, by="revert task")


def sweep() -> None:
    """What a sweep does with handles whose lease is over; a child process."""
    from chaos_tasks import acts
    from chaos_tasks.model.handle import OPEN_PHASES

    made = parts(striking=False)
    for state in made.ledger.handles(phases=OPEN_PHASES, expired=True):
        acts.revert(made, state, by="sweep")


def parts(*, striking: bool) -> ActParts:
    """Of the real fault on a real ledger."""
    from chaos_tasks import registry
    from chaos_tasks.acts import ActParts
    from chaos_tasks.clients import from_credentials
    from chaos_tasks.clock import SystemClock
    from chaos_tasks.faults.base import FaultContext
    from chaos_tasks.ledger import open_ledger
    from chaos_tasks.model.plan import Recorder

    fault = registry.fault("process.pause")
    if striking:
        around(type(fault), "inject", "before inject", "after inject")
        around(type(fault), "revert", "before undo", "after undo")
    context = FaultContext(clock=SystemClock(), clients=from_credentials({}), scratch=Path.cwd(), lease_s=LEASE_S)
    return ActParts(open_ledger("sqlite:///ledger.db"), fault, context, Recorder())


def around(owner: type, name: str, before: str, after: str) -> None:
    original = getattr(owner, name)

    def struck(*args: object) -> object:
        strike(before)
        result = original(*args)
        strike(after)
        return result

    setattr(owner, name, struck)


STRUCK: list[str] = []


def strike(point: str) -> None:
    """Once: a second try of the same act is not struck again."""
    if os.environ.get("POINT") == point and not STRUCK:
        STRUCK.append(point)
        how = os.environ["HOW"]
        os.killpg(0, signal.SIGKILL) if how == "GROUP" else os.kill(os.getpid(), getattr(signal, how))


def main() -> None:
    """Twenty cells of a pause under a minute; the kinds with a memory take about two minutes a kill."""
    options = argparse.ArgumentParser()
    options.add_argument("--opponents", type=os.path.abspath, help="Interpreter with chaostoolkit.")
    options.add_argument("--act", type=int)
    options.add_argument("--sweep", action="store_true")
    options.add_argument("--only", choices=("pause", "memory"), help="One half; the other's rows stay as they are.")
    options.add_argument("--kills", default="", help="With memory: HOW/POINT,...; by default all twenty.")
    told = options.parse_args()
    if told.act:
        act(told.act)
    elif told.sweep:
        sweep()
    else:
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell that starts it in the background ignores it
        known = json.loads(RESULT.read_text()) if RESULT.exists() else {}
        if told.only != "memory":
            known["rows"] = compare(told.opponents)
        if told.only != "pause":
            known["memory"] = with_memory(told.opponents, told.kills)
        RESULT.write_text(json.dumps(known, indent=1) + "\n")


def with_memory(python: str, asked: str) -> list[dict[str, object]]:
    """Kinds whose undo must know what was before."""
    from benchmarks import kills_with_memory

    every = [(how, point) for how in HOWS for point in POINTS]
    kills = [(how, point) for how, point in every if not asked or f"{how}/{point}" in asked.split(",")]
    rows = kills_with_memory.measure(python, kills)
    print("\n".join(kills_with_memory.counts(rows)))
    return rows


def compare(python: str) -> list[dict[str, object]]:
    """Every cell of both sides pausing a process, and the counts."""
    rows = []
    for how in HOWS:
        for point in POINTS:
            row: dict[str, object] = {"how": how, "point": point}
            sides: dict[str, Callable[[Path, int, str, str], tuple[bool, bool]]] = {
                "chaostoolkit": partial(toolkit, python),
                "squall": squall,
            }
            for name, play in sides.items():
                row[f"{name}_left"], row[f"{name}_after"] = cell(play, point, how)
            rows.append(row)
            print(row, flush=True)
    for name in ("chaostoolkit", "squall"):
        stopped, still = (sum(bool(row[f"{name}_{when}"]) for row in rows) for when in ("left", "after"))
        print(f"{name:13} stopped after the kill: {stopped} of {len(rows)}; after the remedy: {still}")
    return rows


def cell(play: Callable[[Path, int, str, str], tuple[bool, bool]], point: str, how: str) -> tuple[bool, bool]:
    """One kill, on a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        victim = subprocess.Popen(["sleep", "600"], start_new_session=True)
        try:
            return play(Path(folder), victim.pid, point, how)
        finally:
            victim.kill()
            victim.wait()


if __name__ == "__main__":
    main()
