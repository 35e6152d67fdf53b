"""A DAG of somebody else's, with our notifier on its failures, as docs/integrations.md shows it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import DAG

from chaos_tasks.ledger import open_ledger
from chaos_tasks.model.verdict import Outcome
from squall_operators.notifying import SquallNotifier
from squall_operators.provider import get_provider_info
from tests.doc_blocks import block
from tests.unit.operators.conftest import ROOT, Squall, context_of
from tests.unit.test_answers import judged


@pytest.fixture
def told(project: Squall) -> Path:
    """A project in which a run has deviated an hour ago; where it writes its notices."""
    (project.root / "squall.toml").write_text(
        '[squall]\nhome = "home"\n[ledger]\nurl = "sqlite:///' + str(project.root / "ledger.db") + '"\n'
    )
    ledger = open_ledger(f"sqlite:///{project.root}/ledger.db")
    judged(ledger, "bad", Outcome.DEVIATED)
    ledger.close()
    return project.root / "home" / "notices.jsonl"


def test_the_page_shows_a_dag_that_tells_when_it_fails(told: Path) -> None:
    shown: dict[str, Any] = {}
    exec(block("notifier", (ROOT / "docs" / "integrations.md").read_text(encoding="utf-8"))[0], shown)
    dag = next(one for one in shown.values() if isinstance(one, DAG))
    assert isinstance(dag.on_failure_callback, SquallNotifier)
    dag.on_failure_callback(context_of())
    assert not told.exists()  # what deviated is on another target


def test_what_deviated_lately_is_told_with_the_task_that_failed(told: Path) -> None:
    SquallNotifier(target="toy")(context_of())
    (line,) = told.read_text().splitlines()
    notice = json.loads(line)
    assert notice["kind"] == "failed_beside"
    assert notice["sentence"].startswith("task arm of chaos_label-flip, run manual")
    assert "run bad" in notice["text"]


def test_it_is_among_the_notifiers_that_airflow_lists() -> None:
    assert get_provider_info()["notifications"] == ["squall_operators.notifying.SquallNotifier"]
