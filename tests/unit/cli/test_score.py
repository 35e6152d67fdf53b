"""`squall score`: a target that nobody tested is worth nothing, and what was found is said."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from chaos_tasks.cli.exit_codes import ExitCode
from chaos_tasks.cli.main import run
from chaos_tasks.ledger import open_ledger
from chaos_tasks.model.verdict import Outcome
from tests.unit.judging.test_history import run as run_of

INVENTORY = """\
[squall]
home = "home"

[targets.{name}]
file = "target.yaml"
environment = "lab"
"""
TARGET = """\
name: {name}
source: {{type: dvc, repo: nowhere, data: [word.csv], format: csv}}
workload: {{type: command, run: "train {{seed}}"}}
"""


@pytest.fixture
def ledger_url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """An inventory with one target, and an empty ledger."""
    (tmp_path / "squall.toml").write_text(INVENTORY.format(name="flights"))
    (tmp_path / "target.yaml").write_text(TARGET.format(name="flights"))
    url = f"sqlite:///{tmp_path}/ledger.db"
    monkeypatch.setenv("SQUALL_CONFIG", str(tmp_path / "squall.toml"))
    monkeypatch.setenv("SQUALL_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SQUALL_LEDGER_URL", url)
    return url


def record_run(url: str, outcome: Outcome) -> None:
    """Write a run of a moment ago into the ledger."""
    ledger, now = open_ledger(url), datetime.now(UTC)
    for stored in run_of("flip", outcome, planned_at=now):
        ledger.append(stored.record.model_copy(update={"occurred_at": now}))
    ledger.close()


def told(capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    """The one score that was printed."""
    (one,) = json.loads(capsys.readouterr().out)
    assert isinstance(one, dict)
    return one


def test_a_target_that_nobody_tested_is_worth_nothing(ledger_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["score", "--json"]) == ExitCode.HELD
    one = told(capsys)
    assert (one["value"], one["high"], one["fresh"]) == (0, 1, 0)


def test_one_fresh_answer_is_worth_its_share_of_the_catalogue(
    ledger_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    record_run(ledger_url, Outcome.HELD)
    assert run(["score", "--json"]) == ExitCode.HELD
    one = told(capsys)
    assert one["value"] == pytest.approx(1 / int(str(one["kinds"])), rel=1e-3)
    assert one["fresh"] == 1


def test_what_pulls_a_target_down_is_said(ledger_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    record_run(ledger_url, Outcome.DEVIATED)
    assert run(["score", "flights"]) == ExitCode.HELD
    said = capsys.readouterr().out
    assert "flip deviated and nothing noticed" in said
    assert "process.kill" in said


def test_an_unknown_target_is_a_wrong_input(ledger_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["score", "nope"]) == ExitCode.INVALID
    assert "squall doctor" in capsys.readouterr().err
