"""Garbled experiment, target and settings files: an exit code, a message, no traceback, and nothing is touched."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaos_tasks.ledger import open_ledger
from chaos_tasks.model.record import RecordKind
from chaos_tasks.safety.guards import SWEEPER, own_beat
from chaos_tasks.targets.process import host
from tests.fuzzing import Answer, ask, assert_answered, budget, damaged_bytes, damaged_yaml, tree
from tests.tiny import ROOT

EXPERIMENT = """\
version: 1
name: fuzzed
hypothesis: The tiny model stays as good when labels are wrong.
owner: tests
nightly: false
target: precious
risk: medium
steady_state:
  - name: auc
    probe: model.metric
    params: {metric: auc}
    tolerance: {type: non_inferiority, margin: 0.02, better: higher}
    when: under_fault
  - {name: done, probe: workload.completed, tolerance: {type: exactly, value: true}}
method:
  - name: flip
    fault: data.label_flip
    target: data
    params: {column: label, fraction: 0.1, from_value: 0, to_value: 1}
  - {name: pause, fault: process.pause, target: workload, trigger: {at: progress, step: 5}, hold: 2s}
guards:
  lease: 30s
  blast_radius: 0.2
  watch:
    - {name: loss, probe: live.series, params: {file: loss.jsonl, field: loss}, tolerance: {type: range, max: 4}}
analysis: {seeds: 2, base_seed: 1}
"""

TARGET = """\
version: 1
name: precious
source: {type: dvc, repo: source, rev: main, data: [rows.csv], format: csv}
workload:
  type: command
  run: "{python} train.py --seed {seed} --data {data}/rows.csv --out {out}"
  timeout: 60s
  restarts: 1
reads: {metrics: metrics.json, progress: {log: "step (\\\\d+)"}}
signals: [{type: exit_code}]
resources:
  bucket: {type: s3, endpoint: "http://127.0.0.1:9", region: us-east-1, bucket: b, prefix: p/, principal: u}
"""

TOML = """\
[squall]
home = "home"
experiments = "experiments"
lanes = 2
environments = ["lab"]

[ledger]
url = ""

[notify]
file = "notices.jsonl"
repeat_after = "1h"

[notify.webhooks.chat]
url = "http://127.0.0.1:9/hook"

[targets.precious]
file = "precious.yaml"
environment = "production"
disposable = true
families = ["data", "process"]

[[calendar.windows]]
days = ["mon", "tue"]
opens = 22:00:00
closes = 06:00:00
zone = "Europe/Zurich"

[limits]
experiments_per_night = 5
"""


@dataclass(frozen=True)
class Project:
    """A project in which nothing may be hurt: its one target is in production."""

    root: Path

    def write(self, name: str, content: bytes | str) -> Path:
        """A file of it."""
        path = self.root / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def restore(self) -> None:
        """All three files as they should be."""
        self.write("squall.toml", TOML)
        self.write("precious.yaml", TARGET)
        self.write("experiments/fuzzed.yaml", EXPERIMENT)

    def beat(self) -> None:
        """There is a sweeper, so that no command starts one."""
        ledger = open_ledger(f"sqlite:///{self.root}/home/ledger.db")
        ledger._database.read("PRAGMA synchronous = OFF")
        for name in (SWEEPER, own_beat(host())):
            ledger.beat(name)
        ledger.close()

    def assert_untouched(self, before: dict[str, bytes], answers: list[Answer]) -> None:
        """No act was even begun."""
        for answer in answers:
            assert_answered(answer)
        assert tree(self.root / "source") == before
        ledger = open_ledger(f"sqlite:///{self.root}/home/ledger.db")
        acts = list(ledger.records(kinds=[RecordKind.INJECT_INTENT, RecordKind.FAULT_ARMED]))
        ledger.close()
        assert not acts


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    root = tmp_path_factory.mktemp("fuzz")
    for folder in ("source", "home", "experiments"):
        (root / folder).mkdir()
    (root / "source" / "rows.csv").write_text("id,label\n1,0\n2,1\n")
    git = ("git", "-c", "user.email=t@example.org", "-c", "user.name=t")
    for command in (("init", "-q", "-b", "main"), ("add", "--all"), ("commit", "-q", "-m", "Rows")):
        subprocess.run([*git, *command], cwd=root / "source", check=True, capture_output=True)
    made = Project(root)
    made.restore()
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("SQUALL_")]:
            patch.delenv(name)
        patch.setenv("SQUALL_CONFIG", str(root / "squall.toml"))
        patch.setenv("SQUALL_HOME", str(root / "home"))
        patch.setenv("SQUALL_LEDGER_URL", f"sqlite:///{root}/home/ledger.db")
        patch.chdir(root)
        yield made


def test_the_files_are_whole_before_they_are_garbled(project: Project) -> None:
    project.restore()
    project.beat()
    answer = ask(["validate"])
    assert answer.code == 0, answer.text
    refused = ask(["run", "experiments/fuzzed.yaml", "--quiet"])
    assert refused.code == 4, refused.text
    assert "production" in refused.text


@budget(25)
@given(content=damaged_yaml(EXPERIMENT))
def test_a_garbled_experiment_is_refused_in_words(project: Project, content: bytes) -> None:
    project.restore()
    before = tree(project.root / "source")
    path = str(project.write("experiments/fuzzed.yaml", content))
    project.beat()
    answers = [ask(["validate", path]), ask(["plan", path]), ask(["run", path, "--quiet"])]
    project.assert_untouched(before, answers)
    if answers[0].code == 2:
        assert [answer.code for answer in answers[1:]] == [2, 2]


@budget(15)
@given(content=damaged_yaml(TARGET))
def test_a_garbled_target_is_refused_in_words(project: Project, content: bytes) -> None:
    project.restore()
    before = tree(project.root / "source")
    project.write("precious.yaml", content)
    project.beat()
    file = "experiments/fuzzed.yaml"
    answers = [ask(["validate"]), ask(["validate", file]), ask(["plan", file]), ask(["run", file, "--quiet"])]
    project.assert_untouched(before, answers)


@budget(15)
@given(
    content=damaged_bytes(TOML.encode())
    | st.sampled_from(TOML.splitlines()).flatmap(
        lambda line: st.sampled_from(
            ["nan", "inf", "-1", "9" * 5000, "1979-05-27", '""', '"\\u0000"', "[]", "{}", "[[[[]]]]", "true", "'''x"]
        ).map(lambda value: TOML.replace(line, f"{line.partition('=')[0] or 'x'}= {value}").encode())
    )
    | st.sampled_from([b"", b"\xff", b"x = " + b"[" * 100_000, b"a" + b".a" * 50_000 + b" = 1", b"[squall]\nhome = 1"])
)
def test_garbled_settings_are_refused_in_words(project: Project, content: bytes) -> None:
    project.restore()
    before = tree(project.root / "source")
    project.write("squall.toml", content)
    project.beat()
    file = "experiments/fuzzed.yaml"
    answers = [ask(["validate"]), ask(["plan", file]), ask(["run", file, "--quiet"]), ask(["status"])]
    project.assert_untouched(before, answers)


@pytest.mark.parametrize("content", [b"x: " + b"[" * 100_000, b"a: &a [*a]\n", b"\xff\xfe", b"x: " + b"9" * 10_000])
def test_a_real_process_answers_the_same_way(project: Project, content: bytes) -> None:
    """What would end an interpreter (a stack that overflows in C) cannot be seen from inside of it."""
    project.restore()
    path = project.write("experiments/fuzzed.yaml", content)
    project.beat()
    told = subprocess.run(
        [sys.executable, "-m", "chaos_tasks.cli", "run", str(path), "--quiet"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert told.returncode == 2, told.stderr
    assert "Traceback" not in told.stderr
    assert "->" in told.stderr
