"""Airflow with a home and a SQLite file of its own, set before its first import; no scheduler, no network."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest

ROOT = Path(__file__).resolve().parents[3]
_HOME = Path(tempfile.mkdtemp(prefix="squall-airflow-"))

if "airflow" not in sys.modules:
    os.environ |= {
        "AIRFLOW_HOME": str(_HOME),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__UNIT_TEST_MODE": "True",
        "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{_HOME}/airflow.db",
        "AIRFLOW__LOGGING__LOGGING_LEVEL": "ERROR",
        "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(_HOME / "logs"),
    }

from tests.unit.operators.plugins import registered  # noqa: E402  Airflow reads its environment when imported

EXPERIMENT = """\
name: {name}
hypothesis: Training copes with a little {{{{ noise }}}} and {{% no %}} template.
owner: ml-platform
tags: [nightly]
target: tiny
steady_state:
  - name: completed
    probe: test.completed
    tolerance: {{type: exactly, value: true}}
method:
  - name: touch
    fault: test.touch
    params: {{share: 0.1}}
"""


@dataclass
class Squall:
    """A folder with squall.toml, experiments and the shipped DAG files."""

    root: Path
    dags: Path

    def write(self, name: str, text: str | None = None) -> Path:
        """Add an experiment file."""
        path = self.dags / "experiments" / f"{name}.yaml"
        path.write_text(EXPERIMENT.format(name=name) if text is None else text, encoding="utf-8")
        return path


@pytest.fixture(autouse=True)
def _kinds() -> Iterator[None]:
    with registered():
        yield


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Squall:
    """An empty project that holds our DAG files."""
    dags = tmp_path / "dags"
    (dags / "experiments").mkdir(parents=True)
    (tmp_path / "squall.toml").write_text("[squall]\n")
    for path in (ROOT / "dags").glob("*.py"):
        (dags / path.name).write_text(path.read_text())
    monkeypatch.setenv("SQUALL_CONFIG", str(tmp_path / "squall.toml"))
    return Squall(tmp_path, dags)


@dataclass
class FakeTaskInstance:
    """The part of a task instance that operators use."""

    dag_id: str = "chaos_label-flip"
    run_id: str = "manual__2026-01-15T02:00:00+00:00"
    task_id: str = "arm"
    map_index: int = -1
    try_number: int = 1
    pushed: dict[str, object] = field(default_factory=dict)

    judge: str | None = None

    def get_task_states(self, *, dag_id: str, task_ids: list[str], run_ids: list[str]) -> dict[str, dict[str, object]]:
        """As the task SDK answers."""
        return {one: dict.fromkeys(task_ids, self.judge) for one in run_ids}

    def xcom_push(self, key: str, value: object) -> None:
        """Keep it."""
        self.pushed[key] = value


def context_of(
    conf: Mapping[str, object] | None = None,
    *,
    run_type: str = "manual",
    run_id: str = FakeTaskInstance.run_id,
    params: Mapping[str, object] | None = None,
) -> dict[str, object]:
    """A context as a task sees it."""
    ti = FakeTaskInstance(run_id=run_id)
    run = SimpleNamespace(
        dag_id=ti.dag_id,
        run_id=run_id,
        run_type=run_type,
        conf=conf,
        triggering_user_name="olga",
        run_after=datetime(2026, 1, 15, 2, tzinfo=UTC),
    )
    return {"ti": ti, "dag_run": run, "params": dict(params or {}), "run_id": run_id}
