"""A tiny project driven by the real command line: a Git+DVC repository, a workload that obeys, a ledger in SQLite."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from chaos_tasks.ledger import DatabaseLedger, open_ledger
from tests.system.tiny_target import ROWS, TinyProject, make_project

ROOT = Path(__file__).resolve().parents[1]
LOG_ITSELF = ("--require", "integrity", "--require", "order", "--require", "completeness")
"""What `squall audit verify` can show without any signed head."""

TRAIN = '''\
"""Makes some steps and writes a number, as the file `behaviour` says once a mark is beside the data."""
import argparse, json, pathlib, threading
parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int); parser.add_argument("--data"); parser.add_argument("--out")
options = parser.parse_args()
data, out = pathlib.Path(options.data), pathlib.Path(options.out)
rows = data.read_text().splitlines()
mark = data.with_name(".tiny-mark")
behaviour = pathlib.Path(__file__).with_name("behaviour").read_text() if mark.exists() else "well"
out.mkdir(parents=True, exist_ok=True)
for step in range(1, 6):
    print(f"step {step}", flush=True)
    threading.Event().wait(20 if behaviour == "slow" else 0.02)
if behaviour.startswith("breaks at "):
    share = float(mark.read_text().split()[-1])
    behaviour = "worse" if share >= float(behaviour.split()[-1]) else "well"
auc = {"worse": 0.5, "nan": float("nan")}.get(behaviour, 0.9)
if behaviour == "stuck":  # whoever undoes the mark finds a folder in its place
    mark.unlink()
    (mark / "something").mkdir(parents=True)
metrics = {"rows": len(rows) - 1} if behaviour == "absent" else {"auc": auc + 0.0}
(out / "metrics.json").write_text(json.dumps(metrics))
'''

EXPERIMENT = """\
version: 1
name: {name}
hypothesis: The tiny model stays as good when it is marked.
owner: tests
nightly: false
target: {target}
steady_state:
  - name: auc
    probe: model.metric
    params: {{metric: auc}}
    tolerance: {{type: range, min: 0.8}}
    when: under_fault
method:
  - {{name: mark, fault: tiny.mark, target: data}}
guards: {{lease: {lease}}}
analysis: {{seeds: 1, base_seed: 1}}
"""

PLAIN_REPO_TARGET = """\
version: 1
name: plain
source: {{type: dvc, repo: "{repo}", rev: main, data: [rows.csv], format: csv}}
workload: {{type: command, run: "true"}}
"""

MORE_TARGETS = """
[targets.plain]
file = "targets/plain.yaml"
environment = "lab"
families = ["tiny"]

[[targets.plain.identities.not_applicable]]
check = "principals"
families = ["tiny"]
reason = "One user runs everything of this project on one machine."

[targets.precious]
file = "targets/precious.yaml"
environment = "production"
families = ["tiny"]
"""


@dataclass
class Said:
    """What a command said, and how it ended."""

    code: int
    out: str
    err: str

    @property
    def text(self) -> str:
        """Both streams."""
        return self.out + self.err


@dataclass
class Tiny:
    """The project, and commands on it."""

    project: TinyProject
    environment: Mapping[str, str] = field(default_factory=dict)
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    @property
    def root(self) -> Path:
        """Folder of squall.toml."""
        return self.project.root

    def experiment(self, name: str = "tiny", *, target: str = "tiny", lease: str = "30s") -> Path:
        """Write an experiment file."""
        path = self.root / f"{name}.yaml"
        path.write_text(EXPERIMENT.format(name=name, target=target, lease=lease))
        return path

    def behave(self, how: str) -> None:
        """What the workload does under the fault: well, worse, nan, absent, slow, stuck, `breaks at 0.2`."""
        (self.root / "code" / "behaviour").write_text(how)

    def start(self, *arguments: str | Path, folder: str = "", **extra: str) -> subprocess.Popen[str]:
        """Start `squall` as a process of its own, in the project's folder unless told."""
        return self.start_program("-m", "chaos_tasks.cli", *arguments, folder=folder, **extra)

    def start_program(self, *arguments: str | Path, folder: str = "", **extra: str) -> subprocess.Popen[str]:
        """Start Python in the project's environment."""
        command = [sys.executable, *map(str, arguments)]
        pipe = subprocess.PIPE
        env = {**self._environment(), **extra}
        process = subprocess.Popen(
            command, cwd=folder or self.root, env=env, stdout=pipe, stderr=pipe, text=True, start_new_session=True
        )
        self.started.append(process)
        return process

    def squall(self, *arguments: str | Path, **extra: str) -> Said:
        """Run `squall` to its end."""
        return end(self.start(*arguments, **extra))

    def _environment(self) -> dict[str, str]:
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
        path = os.pathsep.join((str(self.project.site), str(ROOT)))
        return {
            **kept,
            "PYTHONPATH": path,
            "SQUALL_CONFIG": str(self.project.config),
            "COLUMNS": "160",
            **self.environment,
        }

    @contextmanager
    def ledger(self) -> Iterator[DatabaseLedger]:
        """The ledger that the commands wrote."""
        opened = open_ledger(self.environment.get("SQUALL_LEDGER_URL") or f"sqlite:///{self.project.home}/ledger.db")
        try:
            yield opened
        finally:
            opened.close()

    def sweepers(self) -> list[psutil.Process]:
        """Sweepers of this project and no other, told by their environment."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                ours = process.environ().get("SQUALL_CONFIG") == str(self.project.config)
                if ours and "sweep" in process.cmdline():
                    found.append(process)
        return found

    def end_started(self) -> None:
        """End the commands that a failed test left behind, as a person would: they revert what is in."""
        for process in self.started:
            if process.poll() is None:
                process.terminate()
                end(process)
        self.started.clear()

    @contextmanager
    def lent(self) -> Iterator[Tiny]:
        """For one test of several: what it started is ended, and what it set is put back."""
        settings = self.project.config.read_text()
        yield self
        self.end_started()
        self.behave("well")
        self.project.config.write_text(settings)
        (self.project.home / "HALT").unlink(missing_ok=True)

    def clean_up(self) -> None:
        """End the sweepers that the commands started."""
        ending = self.sweepers()
        for process in ending:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGKILL)
        psutil.wait_procs(ending, timeout=5)


def end(process: subprocess.Popen[str], timeout_s: float = 60) -> Said:
    """Wait for a command."""
    out, err = process.communicate(timeout=timeout_s)
    return Said(process.returncode, out, err)


def until(true: Callable[[], bool], what: str, timeout_s: float = 40) -> None:
    """Wait for something; raises AssertionError naming it."""
    pause = threading.Event()
    for _ in range(int(timeout_s / 0.1)):
        if true():
            return
        pause.wait(0.1)
    raise AssertionError(f"not within {timeout_s} s: {what}")


def make_tiny(root: Path, *, rows: str = ROWS) -> Tiny:
    """The project with two more targets: a repository without DVC, and one that may not be hurt."""
    tiny = Tiny(make_project(root, root / "no-dag-files", rows=rows))
    (root / "code" / "train.py").write_text(TRAIN)
    tiny.behave("well")
    tiny.project.config.write_text(tiny.project.config.read_text() + MORE_TARGETS)
    (root / "plain").mkdir()
    (root / "plain" / "rows.csv").write_text("id\n1\n")
    git = ("git", "-c", "user.email=t@example.org", "-c", "user.name=t")
    for command in (("init", "-q", "-b", "main"), ("add", "--all"), ("commit", "-q", "-m", "Rows")):
        subprocess.run([*git, *command], cwd=root / "plain", check=True, capture_output=True)
    (root / "targets" / "plain.yaml").write_text(PLAIN_REPO_TARGET.format(repo=root / "plain"))
    precious = (root / "targets" / "tiny.yaml").read_text().replace("name: tiny", "name: precious")
    (root / "targets" / "precious.yaml").write_text(precious)
    return tiny
