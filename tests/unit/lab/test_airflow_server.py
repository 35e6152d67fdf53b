"""Airflow is told to stay on this machine, to keep its secrets, and to leave room for control tasks."""

from __future__ import annotations

import json
import os
import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from chaos_tasks.errors import SetupError
from chaos_tasks.lab import airflow_server, processes
from chaos_tasks.lab.airflow_api import ImportFailure
from chaos_tasks.lab.airflow_server import (
    COMPONENTS,
    AirflowServer,
    AirflowSettings,
    component_spec,
    environment,
    pools,
)
from chaos_tasks.lab.processes import Daemon


@pytest.fixture
def settings(tmp_path: Path) -> AirflowSettings:
    database = "postgresql+psycopg2://postgres@/airflow?host=/run"
    return AirflowSettings(tmp_path, tmp_path / "dags", database, port=18080, lanes=3, extra_env={"SQUALL_CONFIG": "c"})


def test_nothing_listens_beyond_loopback(settings: AirflowSettings) -> None:
    env = environment(settings)
    assert not [key for key, value in env.items() if "0.0.0.0" in value or "[::]" in value]
    assert env["AIRFLOW__API__HOST"] == "127.0.0.1"
    commands = {name: component_spec(settings, name, env).argv for name in COMPONENTS}
    assert "127.0.0.1" in commands["api-server"]
    for name in ("scheduler", "triggerer"):
        assert "--skip-serve-logs" in commands[name]  # their log servers listen on all interfaces


def test_every_slot_of_every_pool_has_a_process(settings: AirflowSettings) -> None:
    slots = sum(count for count, _ in pools(settings.lanes).values())
    assert int(environment(settings)["AIRFLOW__CORE__PARALLELISM"]) >= slots


def test_secrets_are_drawn_once_and_readable_by_their_owner_only(settings: AirflowSettings) -> None:
    first, second = environment(settings), environment(settings)
    assert first == second
    assert len(first["AIRFLOW__API_AUTH__JWT_SECRET"]) == 128
    Fernet(first["AIRFLOW__CORE__FERNET_KEY"])
    kept = list((settings.folder / "secrets").iterdir())
    assert kept
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in kept)


def test_the_bundle_is_the_dags_folder_and_examples_stay_out(settings: AirflowSettings) -> None:
    env = environment(settings)
    (bundle,) = json.loads(env["AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST"])
    assert bundle["kwargs"] == {"path": str(settings.dags)}
    assert env["AIRFLOW__CORE__LOAD_EXAMPLES"] == "False"


def test_nothing_is_reported_to_anybody(settings: AirflowSettings) -> None:
    env = environment(settings)
    assert env["SCARF_ANALYTICS"] == "false"
    assert env["MLFLOW_DISABLE_TELEMETRY"] == "true"
    assert env["DVC_NO_ANALYTICS"] == "1"


def test_what_the_caller_adds_wins(settings: AirflowSettings) -> None:
    assert environment(settings)["SQUALL_CONFIG"] == "c"


class Unparsed:
    """An API whose DAG files do not parse."""

    def dag_ids(self) -> frozenset[str]:
        return frozenset({"chaos_nightly"})

    def import_failures(self) -> tuple[ImportFailure, ...]:
        return (ImportFailure(filename="experiments.py", stack_trace="NameError: runs_after"),)


def test_a_dag_file_that_does_not_parse_is_shown_instead_of_waiting(
    settings: AirflowSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(airflow_server, "PATIENCE_WITH_BROKEN_FILES_S", 0.0)
    identity = processes.ProcessIdentity.of(os.getpid())
    assert identity is not None
    me = Daemon(
        name="api-server",
        identity=identity,
        argv=(),
        log=settings.home / "log",
        since=datetime.now(UTC),
        stop_signal=15,
        stop_grace_s=1,
    )
    server = AirflowServer(settings, (me,), "admin", "")
    expected = frozenset({"chaos_nightly", "chaos_label-flip"})
    with pytest.raises(SetupError, match=r"chaos_label-flip\n(?s:.*)NameError: runs_after"):
        airflow_server._await_dags(server, Unparsed(), expected, 60)  # type: ignore[arg-type]
