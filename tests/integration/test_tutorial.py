"""The tutorial and the jobs for CI, done as they stand: each command of the pages, in a folder of its own."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import psutil
import pytest
import yaml

DOCS = Path(__file__).resolve().parents[2] / "docs"
TUTORIAL, CI = (DOCS / "tutorial.md", DOCS / "ci.md")
DEVIATED = 1


@dataclass
class Page:
    """A folder in which the commands of a page are done, and what the last of each said."""

    root: Path
    summary: Path

    def do(self, command: str) -> subprocess.CompletedProcess[str]:
        """One command line, without a shell; `python` and `squall` are this environment's."""
        environment = {**os.environ, "GITHUB_STEP_SUMMARY": str(self.summary)}
        environment = {name: text for name, text in environment.items() if not name.startswith("SQUALL_")}
        words = [
            os.path.expandvars(word) for word in shlex.split(command.replace("$GITHUB_STEP_SUMMARY", str(self.summary)))
        ]
        own = {"python": [sys.executable], "squall": [sys.executable, "-m", "chaos_tasks.cli"]}
        words = [*own[words[0]], *words[1:]]
        return subprocess.run(
            words, cwd=self.root, env=environment, capture_output=True, text=True, timeout=300, check=False
        )


def _written() -> Iterator[tuple[str, str]]:
    yield from re.findall(
        r"<!-- write: (\S+) -->\n```python\n(.*?)```", TUTORIAL.read_text(encoding="utf-8"), re.DOTALL
    )


def _commands() -> list[str]:
    blocks = re.findall(r"```console\n(.*?)```", TUTORIAL.read_text(encoding="utf-8"), re.DOTALL)
    return [line.removeprefix("$ ") for block in blocks for line in block.splitlines() if line.startswith("$ ")]


def _job(name: str) -> Any:
    found = re.search(rf"<!-- job: {name} -->\n```yaml\n(.*?)```", CI.read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None
    return yaml.safe_load(found[1])


def _squall(lines: list[str]) -> list[str]:
    return [line for line in lines if line.startswith("squall ")]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    root = tmp_path_factory.mktemp("tutorial") / "shop"
    root.mkdir()
    for name, text in _written():
        (root / name).write_text(text, encoding="utf-8")
    yield Page(root, root.parent / "summary.md")
    for process in list(_sweepers(root)):
        process.kill()
        process.wait(timeout=10)


def _sweepers(root: Path) -> Iterator[psutil.Process]:
    """Those that the page's commands have started; each would stay until it has had nothing to do for a while."""
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if "sweep" in process.cmdline() and process.cwd() == str(root):
                yield process


def test_the_tutorial_ends_in_a_silent_deviation_and_changes_nothing(page: Page) -> None:
    commands = _commands()
    assert len(commands) == 8
    for command in commands[:2]:
        assert page.do(command).returncode == 0
    before = {path.name: path.read_bytes() for path in page.root.iterdir()}
    said = {command.split()[1]: page.do(command) for command in commands[2:]}
    expected = {"init": 0, "doctor": 0, "suggest": 0, "plan": 0, "run": DEVIATED, "status": 0}
    assert {name: one.returncode for name, one in said.items()} == expected, [one.stderr for one in said.values()]
    assert "deviated (silent)" in said["run"].stdout
    assert "accuracy 0." in said["doctor"].stdout
    assert all(len(line) <= 100 for line in said["doctor"].stdout.splitlines() if "/" not in line)
    assert {name: (page.root / name).read_bytes() for name in before} == before


@pytest.mark.parametrize("name", ["github", "gitlab"])
def test_a_job_says_in_its_summary_and_in_junit_what_the_exit_code_says(page: Page, name: str) -> None:
    if name == "github":
        steps = _job("github")["jobs"]["experiment"]["steps"]
        lines, summary = _squall([step.get("run", "") for step in steps]), page.summary
    else:
        lines, summary = _squall(_job("gitlab")["squall"]["script"]), page.root / "squall.md"
    assert len(lines) == 2
    renewed, run = (page.do(line) for line in lines)
    assert (renewed.returncode, run.returncode) == (0, DEVIATED), renewed.stderr + run.stderr
    assert "shop\\-label\\-flip deviated" in summary.read_text() or "shop-label-flip deviated" in summary.read_text()
    suites = ElementTree.parse(page.root / "squall.xml").getroot()
    assert int(suites.get("failures", "0")) >= 1
