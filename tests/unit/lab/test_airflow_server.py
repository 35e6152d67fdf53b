"""Airflow is told to stay on this machine, to keep its secrets, and to leave room for control tasks."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from chaos_tasks.lab.airflow_server import COMPONENTS, CONTROL_LANES, AirflowSettings, component_spec, environment


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


def test_control_tasks_always_find_a_place(settings: AirflowSettings) -> None:
    assert int(environment(settings)["AIRFLOW__CORE__PARALLELISM"]) == settings.lanes + CONTROL_LANES


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
