"""Two live processes of one run, with real processes on real databases: one goes on, the other is fenced."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
POINTS = "2"  # of each step at which the first process stands still; more by hand: `python -m tests.integration.rivals`


def play(ledger: str, name: str) -> list[dict[str, object]]:
    """A program of its own: it forks, and pytest has threads."""
    command = [sys.executable, "-m", "tests.integration.rivals", ledger, POINTS, name]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    played: list[dict[str, object]] = json.loads(done.stdout.splitlines()[-1])
    return played


PLAYS = ("two injects", "an inject that wakes after the revert", "two reverts", "two exercises")
WITH_THE_SUITE = ("sqlite", "two injects")
"""The others are played by `make live-tests`."""


CASES = [
    pytest.param(ledger, name, marks=() if (ledger, name) == WITH_THE_SUITE else pytest.mark.live)
    for name in PLAYS
    for ledger in ("sqlite", "postgresql")
]


@pytest.mark.parametrize(("ledger", "name"), CASES)
def test_of_two_processes_of_a_run_one_goes_on_and_nothing_stays_in(ledger: str, name: str) -> None:
    played = play(ledger, name)
    assert len(played) >= int(POINTS)
    assert [one for one in played if one["wrong"]] == []
