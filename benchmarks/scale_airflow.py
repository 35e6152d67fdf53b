"""Runs under Airflow's own scheduler on 20 tiny targets, eight at a time: throughput, and who takes the time.

Everything is real: LocalExecutor, PostgreSQL, clones by DVC; only the workload is small, a quarter of a second.
Processor seconds are those of whole process trees, read while they live.
"""

from __future__ import annotations

import os
import shutil
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest

from benchmarks.scale_toy import require
from chaos_tasks.lab import processes, stack
from chaos_tasks.lab.airflow_api import AirflowApi, DagRun
from chaos_tasks.lab.parts import LabOptions, Part
from chaos_tasks.ledger import open_ledger
from chaos_tasks.model.handle import Phase
from chaos_tasks.model.record import RecordKind
from chaos_tasks.runs import Run
from chaos_tasks.settings import read_settings
from tests.servers import make_short_folder
from tests.system.conftest import environment_of
from tests.system.tiny_target import EXPERIMENT, METHODS, TARGET, TinyProject, make_project

ROOT = Path(__file__).resolve().parents[1]
RUNS, TARGETS, LANES = 200, 20, 8
LOOK_S, PATIENCE_S = 0.5, 3600.0
ENTRY = """
[targets.{name}]
file = "targets/{name}.yaml"
environment = "lab"
disposable = true
families = ["tiny"]

[[targets.{name}.identities.not_applicable]]
check = "principals"
families = ["tiny"]
reason = "One user runs everything of this project on one machine."
"""


@dataclass
class Shares:
    """Processor seconds by part; a process counts with what it had used when it was last seen alive."""

    seen: dict[tuple[str, int, float], float] = field(default_factory=dict)

    def look(self, daemons: dict[str, int]) -> None:
        """Read the trees of the parts; below the scheduler, what runs a task is `tasks`."""
        for part, pid in daemons.items():
            for process, name in _tree(part, pid):
                with suppress(psutil.Error):
                    times = process.cpu_times()
                    self.seen[name, process.pid, process.create_time()] = times.user + times.system

    def seconds(self) -> dict[str, float]:
        """Sums."""
        found: dict[str, float] = {}
        for (name, _, _), used in self.seen.items():
            found[name] = found.get(name, 0.0) + used
        return found


def _tree(part: str, pid: int) -> Iterator[tuple[psutil.Process, str]]:
    """A LocalExecutor forks its workers from the scheduler: what they and all below them use are the tasks."""
    with suppress(psutil.Error):
        process = psutil.Process(pid)
        yield process, part
        for child in process.children(recursive=True):
            yield child, "tasks" if part == "scheduler" else part


def measure(*, runs: int = RUNS, targets: int = TARGETS, lanes: int = LANES) -> dict[str, Any]:
    """Trigger all at once, wait for all, hold the promises against the ledger, and say what it took."""
    with _lab(targets, lanes) as (project, api, daemons):
        ledger = open_ledger(read_settings(project.config, {"SQUALL_HOME": str(project.home)}).ledger_url)
        before, shares = Shares(), Shares()
        before.look(daemons)
        began = time.perf_counter()
        started = [api.trigger(f"chaos_on-{number % targets:02}") for number in range(runs)]
        ended = _await(api, started, lambda: shares.look(daemons))
        wall_s = time.perf_counter() - began
        tasks = [task for run in started for task in api.task_instances(run.dag_id, run.run_id)]
        worked = sum(task.duration or 0.0 for task in tasks)
        verdicts = [stored.record.run_id for stored in ledger.records(kinds=(RecordKind.EVALUATE_VERDICT,))]
        require({run.state for run in ended} == {"success"}, "every DAG run succeeds")
        require(len(verdicts) == runs and len(set(verdicts)) == runs, "every run is judged, once")
        require(all(Run(ledger, run_id).verdict() is not None for run_id in verdicts), "every run has its verdict")
        require({state.phase for state in ledger.handles()} == {Phase.REVERTED}, "every fault is reverted")
        require(ledger.waiting() == [] and ledger.locked_runs() == frozenset(), "nothing is locked, nobody waits")
        ledger.close()
    used = {name: seconds - before.seconds().get(name, 0.0) for name, seconds in shares.seconds().items()}
    total = sum(used.values())
    cores = len(os.sched_getaffinity(0))
    return {
        "runs": runs,
        "targets": targets,
        "lanes": lanes,
        "runs_per_minute": round(60 * runs / wall_s, 1),
        "wall_s": round(wall_s, 1),
        "tasks": len(tasks),
        "task_seconds_per_run": round(worked / runs, 1),
        "cpu_s_per_run": round(total / runs, 1),
        "share_of_cpu": {name: round(seconds / total, 3) for name, seconds in sorted(used.items())},
        "processors_busy": round(total / (wall_s * cores), 2),
        "promises": "every run judged once, every fault reverted, nothing locked",
    }


def _await(api: AirflowApi, started: Sequence[DagRun], look: Callable[[], None]) -> list[DagRun]:
    """All of them, once they have ended; one is asked about at each look, since asking is work for the API server."""
    deadline = time.monotonic() + PATIENCE_S
    open_runs, ended = deque(started), list[DagRun]()
    while open_runs:
        require(time.monotonic() < deadline, f"all runs end within {PATIENCE_S:.0f} s")
        look()
        run = open_runs.popleft()
        now = api.run(run.dag_id, run.run_id)
        if now.finished:
            ended.append(now)
        else:
            open_runs.append(run)
            time.sleep(LOOK_S)
    return ended


@contextmanager
def _lab(targets: int, lanes: int) -> Iterator[tuple[TinyProject, AirflowApi, dict[str, int]]]:
    """Airflow with so many experiments, each on a target of its own."""
    folder = make_short_folder()
    project = make_project(folder / "p", ROOT / "dags")
    names = [f"on-{number:02}" for number in range(targets)]
    for name in METHODS:
        (project.dags / "experiments" / f"{name}.yaml").unlink()
    _write(project, names)
    with pytest.MonkeyPatch.context() as environment:
        for key, value in environment_of(project).items():
            environment.setenv(key, value)
        dags = frozenset({*(f"chaos_{name}" for name in names), "chaos_nightly", "chaos_on_demand"})
        options = LabOptions(
            home=project.home, dags=project.dags, config=project.config, ports=None, lanes=lanes, expected_dags=dags
        )
        try:
            state = stack.up(options, {Part.AIRFLOW, Part.SWEEPER})
            password = state.airflow_password.get_secret_value() if state.airflow_password else ""
            daemons = {one.name: one.pid for one in stack.status(project.home) if one.pid is not None}
            with AirflowApi(state.airflow_url, state.airflow_user, password) as api:
                yield project, api, daemons
        finally:
            stack.down(project.home)
            processes.end_strays(project.home)
            shutil.rmtree(folder, ignore_errors=True)


def _write(project: TinyProject, names: Sequence[str]) -> None:
    entries = [project.config.read_text()]
    for name in names:
        target = TARGET.format(source=project.root / "source", train=project.root / "code" / "train.py")
        (project.root / "targets" / f"{name}.yaml").write_text(target.replace("name: tiny", f"name: {name}"))
        entries.append(ENTRY.format(name=name))
        text = EXPERIMENT.format(name=name, method=METHODS["healthy"], nightly="false", seeds=1)
        text = text.replace("target: tiny", f"target: {name}").replace("lease: 10s", "lease: 120s")
        (project.dags / "experiments" / f"{name}.yaml").write_text(text)
    project.config.write_text("".join(entries))
