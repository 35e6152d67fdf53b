"""A project small enough for tests: a Git+DVC repository, a workload of a quarter of a second, and a fault that obeys.

The fault and its probe-free experiments come as a distribution of their own, found by entry points like any third
party's, so that the system tests exercise that way too.
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

SQUALL_TOML = """\
[squall]
home = "home"
experiments = "dags/experiments"
environments = ["lab"]

[targets.tiny]
file = "targets/tiny.yaml"
environment = "lab"
disposable = true
families = ["tiny", "airflow", "process"]

[[targets.tiny.identities.not_applicable]]
check = "principals"
families = ["tiny", "airflow", "process"]
reason = "One user runs everything of this project on one machine."
"""

CROWDED = """
[targets.crowded]
file = "targets/crowded.yaml"
environment = "ci"
disposable = true
families = ["tiny"]

[[targets.crowded.identities.not_applicable]]
check = "principals"
families = ["tiny"]
reason = "One user runs everything of this project on one machine."

[limits.environments.ci]
hurt_at_once = 1
"""

TARGET = """\
version: 1
name: tiny
source: {{type: dvc, repo: "{source}", rev: main, data: [rows.csv], format: csv}}
workload:
  type: command
  run: "{{python}} {train} --seed {{seed}} --data {{data}}/rows.csv --out {{out}}"
  timeout: 60s
reads: {{metrics: metrics.json, progress: {{log: "step (\\\\d+)"}}}}
signals: [{{type: exit_code}}]
"""

TRAIN = '''\
"""Reads rows, makes some steps, writes a number."""
import argparse, json, os, pathlib, time
parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int); parser.add_argument("--data"); parser.add_argument("--out")
options = parser.parse_args()
rows = pathlib.Path(options.data).read_text().splitlines()
slow = pathlib.Path(__file__).with_name("slow").exists()
hold = pathlib.Path(__file__).with_name("hold")
for step in range(1, 6):
    print(f"step {step}", flush=True)
    while hold.exists():
        time.sleep(0.05)
    time.sleep(2.0 if slow else 0.05)
out = pathlib.Path(options.out)
out.mkdir(parents=True, exist_ok=True)
(out / "metrics.json").write_text(json.dumps({"rows": len(rows) - 1}))
'''

FAULT = '''\
"""A fault that marks the clone, and fails or stays half-way when it is told to."""

from __future__ import annotations

import time
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from chaos_tasks.faults.base import FaultParams
from chaos_tasks.model.handle import Finding, Fingerprint, Receipt, Reversibility
from chaos_tasks.model.place import DvcPlace


class MarkParams(FaultParams):
    intensity_field: ClassVar[str | None] = "share"
    mode: Literal["whole", "fail", "stay"] = "whole"
    share: float = Field(0.1, ge=0, le=0.5)


class Mark:
    kind = "tiny.mark"
    summary = "Put a mark into the clone"
    cause = "tests"
    params_type = MarkParams
    reversibility = Reversibility.RESTORES
    place_types = (DvcPlace,)
    policy: ClassVar = {}

    def snapshot(self, place, params, ctx):
        return {}

    def blast_radius(self, place, params):
        return params.share

    def inject(self, handle, params, ctx):
        mark(handle.place).write_text("half")
        if params.mode == "fail":
            raise OSError("told to fail half-way")
        deadline = time.monotonic() + 60
        while params.mode == "stay" and not Path(handle.place.clone + ".go").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        mark(handle.place).write_text(f"whole {params.share}")
        return Receipt(at=ctx.clock.now(), effective=True, summary="marked")

    def revert(self, handle, params, ctx):
        mark(handle.place).unlink(missing_ok=True)
        return Receipt(at=ctx.clock.now(), effective=True, summary="unmarked")

    def inspect(self, handle, params, ctx):
        text = mark(handle.place).read_text() if mark(handle.place).exists() else ""
        return {"": Finding.REVERTED, "half": Finding.PARTIAL}.get(text, Finding.INJECTED)

    def fingerprint(self, place, ctx):
        return Fingerprint(digest=str(mark(place).exists()), covers="the mark")


def mark(place):
    return Path(place.clone) / MARK


MARK = ".tiny-mark"
'''

EXPERIMENT = """\
name: {name}
hypothesis: The tiny training completes whatever is marked.
owner: ml-platform
nightly: {nightly}
target: tiny
steady_state:
  - {{name: completed, probe: workload.completed, tolerance: {{type: exactly, value: true}}}}
method:
  - {method}
guards: {{lease: 10s}}
analysis: {{seeds: {seeds}, base_seed: 1}}
"""

METHODS = {
    "healthy": "{name: mark, fault: tiny.mark, target: data, params: {mode: whole}}",
    "inject-fails": "{name: mark, fault: tiny.mark, target: data, params: {mode: fail}}",
    "inject-stays": "{name: mark, fault: tiny.mark, target: data, params: {mode: stay}}",
    "stepped": "{name: mark, fault: tiny.mark, target: data}",
    "task-killed": "{name: kill, fault: airflow.task_kill, target: task, trigger: {at: progress, step: 2}}",
}


@dataclass(frozen=True)
class TinyProject:
    """Where everything of the project is."""

    root: Path

    @property
    def config(self) -> Path:
        """Its squall.toml."""
        return self.root / "squall.toml"

    @property
    def home(self) -> Path:
        """Squall's home."""
        return self.root / "home"

    @property
    def dags(self) -> Path:
        """Its DAG files."""
        return self.root / "dags"

    @property
    def site(self) -> Path:
        """Folder for PYTHONPATH with the distribution that brings the fault."""
        return self.root / "site"

    @property
    def slow(self) -> Path:
        """While this file exists a trial takes ten seconds."""
        return self.root / "code" / "slow"

    @property
    def hold(self) -> Path:
        """While this file exists no trial goes on."""
        return self.root / "code" / "hold"

    def marks(self) -> list[Path]:
        """What is left of the fault anywhere below home."""
        runs = self.home / "runs"  # os.walk passes over folders that a sweeper deletes meanwhile, and glob does not
        return [
            Path(folder) / ".tiny-mark" for folder, inside, files in os.walk(runs) if ".tiny-mark" in (*inside, *files)
        ]


ROWS = "id,label\n" + "".join(f"{row},{row % 2}\n" for row in range(20))


def make_project(root: Path, dag_files: Path, *, rows: str = ROWS) -> TinyProject:
    """Write the whole project below an empty folder."""
    project = TinyProject(root)
    for folder in ("dags/experiments", "targets", "code", "site/tiny_faults-1.0.dist-info", "source", "home"):
        (root / folder).mkdir(parents=True)
    project.config.write_text(SQUALL_TOML)
    (root / "code" / "train.py").write_text(TRAIN)
    target = TARGET.format(source=root / "source", train=root / "code" / "train.py")
    (root / "targets" / "tiny.yaml").write_text(target)
    for path in dag_files.glob("*.py"):
        (project.dags / path.name).write_text(path.read_text())
    for name, method in METHODS.items():
        nightly = "true" if name in ("healthy", "inject-fails") else "false"
        text = EXPERIMENT.format(name=name, method=method, nightly=nightly, seeds=2)
        ramp = "ramp: {levels: [0.1, 0.2], runs: 2}\n" if name == "stepped" else ""
        (project.dags / "experiments" / f"{name}.yaml").write_text(text + ramp)
    _distribution(project.site)
    make_source(root / "source", rows)
    return project


def add_crowd(project: TinyProject, size: int) -> tuple[str, ...]:
    """Experiments of which one at a time may hold its target, by the limits of an environment of their own."""
    settings = project.config.read_text().replace('environments = ["lab"', 'environments = ["lab", "ci"')
    limited = settings + CROWDED
    project.config.write_text(limited)
    tiny = project.root / "targets" / "tiny.yaml"
    # A trial may be held up for longer than the others may take.
    crowded = tiny.read_text().replace("name: tiny", "name: crowded").replace("timeout: 60s", "timeout: 300s")
    (project.root / "targets" / "crowded.yaml").write_text(crowded)
    names = tuple(f"crowd-{number}" for number in range(size))
    for name in names:
        text = EXPERIMENT.format(name=name, method=METHODS["healthy"], nightly="false", seeds=1)
        text = text.replace("lease: 10s", "lease: 120s")  # on a busy machine a task may take longer than ten to begin
        (project.dags / "experiments" / f"{name}.yaml").write_text(text.replace("target: tiny\n", "target: crowded\n"))
    return names


def _distribution(site: Path) -> None:
    (site / "tiny_faults.py").write_text(FAULT)
    info = site / "tiny_faults-1.0.dist-info"
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: tiny-faults\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[squall.faults]\ntiny.mark = tiny_faults:Mark\n")


def make_source(repo: Path, rows: str) -> None:
    """One data version in Git and DVC."""
    (repo / "rows.csv").write_text(rows)
    _run(repo, "git", "init", "-q", "-b", "main")
    _run(repo, "git", "config", "user.email", "test@example.org")
    _run(repo, "git", "config", "user.name", "test")
    _run(repo, sys.executable, "-m", "dvc", "init", "-q")
    (repo / ".dvc" / "config").write_text("[core]\n    analytics = false\n    check_update = false\n")
    _run(repo, sys.executable, "-m", "dvc", "add", "-q", "rows.csv")
    _run(repo, "git", "add", "--all")
    _run(repo, "git", "commit", "-q", "-m", "Rows")


def _run(repo: Path, *argv: str) -> None:
    subprocess.run(argv, cwd=repo, check=True, capture_output=True)
