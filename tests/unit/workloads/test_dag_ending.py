"""A DAG run whose Airflow is away is not forgotten: the fence says so, and the sweeper's next look tries it again."""

from __future__ import annotations

import socket
from datetime import UTC, datetime
from pathlib import Path

import pytest

from chaos_tasks.clients import from_credentials
from chaos_tasks.errors import WorkloadError
from chaos_tasks.model.spec import DagSpec
from chaos_tasks.testing.clock import FakeClock
from chaos_tasks.workloads.fencing import end_recorded, end_trial
from chaos_tasks.workloads.journal import Asked, Journal, Over
from chaos_tasks.workspaces import Workspaces

AT = datetime(2026, 11, 29, 2, tzinfo=UTC)
RUN = "squall__run-treatment-1"
CLIENTS = from_credentials({"airflow": {"user": "squall", "password": "not-asked-for"}})


@pytest.fixture
def away() -> str:
    """An address at which nobody listens."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{found.getsockname()[1]}"


@pytest.fixture
def trial(tmp_path: Path, away: str) -> Path:
    """The folder of a trial whose run was asked for."""
    folder = tmp_path / "runs" / "run" / "trials" / "treatment-1" / "out"
    folder.mkdir(parents=True)
    journal = Journal(folder)
    journal.append(Asked(at=AT, dag=DagSpec(dag_id="loans", url=away, credentials="airflow"), run_id=RUN))
    return folder


def test_a_run_that_cannot_be_ended_is_named(trial: Path) -> None:
    with pytest.raises(WorkloadError, match=f"DAG run {RUN} of loans could not be ended: Airflow does not answer"):
        end_trial(trial, FakeClock(), CLIENTS)
    left: list[Path] = []
    assert end_recorded(trial.parent, clients=CLIENTS, left=left) == 0
    assert left == [trial]


def test_what_went_on_is_tried_again_until_it_is_over(trial: Path, tmp_path: Path) -> None:
    workspaces = Workspaces(tmp_path, "python", CLIENTS)
    notes = tmp_path / "unended"
    workspaces.leave_unended([trial])
    assert workspaces.end_left_behind() == 0
    assert len(list(notes.iterdir())) == 1
    Journal(trial).append(Over(at=AT, run_id=RUN))
    assert workspaces.end_left_behind() == 1
    assert list(notes.iterdir()) == []
