"""What a task fills in: the connections that are asked for and not set, and no other."""

from __future__ import annotations

import pytest
from airflow.sdk import BaseHook, Connection
from airflow.sdk.exceptions import AirflowNotFoundException

from chaos_tasks.connections import connection
from chaos_tasks.settings import find_settings
from squall_operators.connections import provide
from tests.unit.operators.conftest import Squall

SETTINGS = """
[credentials]
injector = "airflow:chaos_aws"
reverter = "airflow:already_there"
workload = "airflow:nobody_has"

[targets.tiny]
file = "tiny.yaml"
environment = "lab"
"""


def test_what_is_asked_for_comes_from_airflow(project: Squall, monkeypatch: pytest.MonkeyPatch) -> None:
    (project.root / "squall.toml").write_text(SETTINGS)
    (project.root / "tiny.yaml").write_text("resources: {s: {url: '${airflow:my.redis}'}}")
    has = {
        "chaos_aws": Connection(conn_id="chaos_aws", conn_type="aws", login="AK", password="pass/word"),
        "my.redis": Connection(conn_id="my.redis", uri="redis://:word@r:6379/1"),
    }
    asked: list[str] = []

    def get(conn_id: str) -> Connection:
        asked.append(conn_id)
        if conn_id not in has:
            raise AirflowNotFoundException(conn_id)
        return has[conn_id]

    monkeypatch.setattr(BaseHook, "get_connection", get)
    environment = {"AIRFLOW_CONN_ALREADY_THERE": "aws://"}
    provide(find_settings(), environment)
    assert asked == ["chaos_aws", "my.redis", "nobody_has"]
    assert connection("chaos_aws", environment).credential == {"access_key_id": "AK", "secret_access_key": "pass/word"}
    assert connection("my.redis", environment).url == "redis://:word@r:6379/1"
    assert "AIRFLOW_CONN_NOBODY_HAS" not in environment


def test_nobody_is_asked_where_nothing_is_named(project: Squall, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BaseHook, "get_connection", lambda conn_id: pytest.fail(conn_id))
    provide(find_settings(), {})
