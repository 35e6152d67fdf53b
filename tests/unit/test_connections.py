"""Connections of Airflow are read as Airflow reads them, and nothing of them is ever shown."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from chaos_tasks import redacting
from chaos_tasks.clients import CONNECTIONS, VARIABLE, from_environment
from chaos_tasks.composition import connected
from chaos_tasks.connections import connection, named_in, parsed, variable_of
from chaos_tasks.errors import InvalidFile, SetupError
from chaos_tasks.settings import read_settings

SECRET = "very/secret@value:1"
AWS = {"conn_type": "aws", "login": "AKEXAMPLE", "password": SECRET}
WORDS = st.text(st.characters(codec="ascii", categories=["L", "N", "P", "S"]), max_size=12)


@pytest.fixture(autouse=True)
def _forgotten() -> None:
    redacting.forget_all()


@given(login=WORDS, password=WORDS, schema=WORDS, port=st.none() | st.integers(1, 65535), host=st.just("h.example.org"))
@hypothesis_settings(max_examples=60, deadline=None)
def test_both_forms_mean_what_they_mean_to_airflow(
    login: str, password: str, schema: str, port: int | None, host: str
) -> None:
    from airflow.sdk import Connection

    theirs = Connection(
        conn_id="one", conn_type="redis", host=host, login=login or None, password=password or None,
        schema=schema or None, port=port, extra=json.dumps({"db": "3"}),
    )  # fmt: skip
    for text in (theirs.get_uri(), theirs.as_json()):
        ours = parsed("one", text)
        assert (ours.host, ours.login, ours.password, ours.port) == (host, login, password, port)
        assert (ours.conn_type, ours.schema, ours.extra) == ("redis", schema, {"db": "3"})


def test_an_address_has_what_a_client_needs() -> None:
    def url(**told: object) -> str:
        return parsed("one", json.dumps(told)).url

    assert url(conn_type="postgres", host="db", login="me", password="a b", schema="squall", port=5432) == (
        "postgresql://me:a%20b@db:5432/squall"
    )
    assert url(conn_type="redis", host="r", password="p", extra={"db": 2, "ssl": True}) == "rediss://:p@r/2"
    assert url(conn_type="http", host="https://mlflow.example.org", port=8443) == "https://mlflow.example.org:8443"
    assert url(conn_type="postgres", host="db", extra='{"sslmode": "require"}') == "postgresql://db?sslmode=require"
    with pytest.raises(SetupError, match="has no host"):
        url(conn_type="redis")


@pytest.mark.parametrize("text", [f"{{{SECRET}", SECRET, '{"extra": 3}', f"redis://h:{SECRET}/"])
def test_what_cannot_be_read_is_not_quoted(text: str) -> None:
    with pytest.raises(SetupError) as caught:
        connection("one", {"AIRFLOW_CONN_ONE": text})
    assert SECRET not in str(caught.value)
    assert caught.value.remedy
    assert caught.value.__cause__ is None
    assert SECRET not in repr(parsed("one", json.dumps(AWS)))


def test_credentials_may_be_connections(tmp_path: Path) -> None:
    told = {"AIRFLOW_CONN_CHAOS": json.dumps(AWS), CONNECTIONS: json.dumps({"injector": "airflow:chaos"})}
    clients = from_environment(told)
    assert clients.knows("injector")
    assert clients.environment("injector") == {"AWS_ACCESS_KEY_ID": "AKEXAMPLE", "AWS_SECRET_ACCESS_KEY": SECRET}
    assert SECRET not in repr(clients)
    assert SECRET in redacting.known()


def test_a_connection_of_another_kind_is_a_user_with_a_password() -> None:
    airflow = {"conn_type": "http", "login": "chaos", "password": SECRET, "host": "https://airflow"}
    told = {"AIRFLOW_CONN_THEIRS": json.dumps(airflow), CONNECTIONS: json.dumps({"airflow": "airflow:theirs"})}
    login = {"SQUALL_AIRFLOW_USER": "chaos", "SQUALL_AIRFLOW_PASSWORD": SECRET}
    assert from_environment(told).environment("airflow") == login


def test_a_connection_that_is_not_needed_need_not_be_there() -> None:
    clients = from_environment({CONNECTIONS: json.dumps({"injector": "airflow:chaos"})})
    with pytest.raises(SetupError, match="there is no connection 'chaos'") as caught:
        clients.environment("injector")
    assert "AIRFLOW_CONN_CHAOS" in str(caught.value.remedy)


def test_a_role_that_nobody_would_assume_is_refused() -> None:
    role = json.dumps({"conn_type": "aws", "extra": {"role_arn": "arn:aws:iam::1:role/x"}})
    told = {"AIRFLOW_CONN_CHAOS": role, CONNECTIONS: json.dumps({"injector": "airflow:chaos"})}
    with pytest.raises(SetupError, match="assumes a role"):
        from_environment(told).environment("injector")


def test_a_name_that_is_in_both_places_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    path.write_text('{"injector": {}}')
    path.chmod(0o600)
    with pytest.raises(SetupError, match=r"credentials injector are in .* and in \[credentials\]"):
        from_environment({VARIABLE: str(path), CONNECTIONS: json.dumps({"injector": "airflow:chaos"})})


def test_an_address_in_the_settings_may_be_a_connection(tmp_path: Path) -> None:
    (tmp_path / "squall.toml").write_text('[ledger]\nurl = "${airflow:squall_db}"\n')
    there = {"AIRFLOW_CONN_SQUALL_DB": "postgres://me:secretword@db:5432/squall"}
    assert (
        read_settings(tmp_path / "squall.toml", {}).ledger_url == "${airflow:squall_db}"
    )  # a DAG file needs no secret
    assert connected(read_settings(tmp_path / "squall.toml", there)).ledger_url == (
        "postgresql://me:secretword@db:5432/squall"
    )
    assert "secretword" in redacting.known()
    with pytest.raises(SetupError, match="there is no connection 'squall_db'"):
        connected(read_settings(tmp_path / "squall.toml", {}))


def test_a_credential_that_names_no_connection_is_refused(tmp_path: Path) -> None:
    (tmp_path / "squall.toml").write_text('[credentials]\ninjector = "AKEXAMPLE"\n')
    with pytest.raises(InvalidFile, match="injector"):
        read_settings(tmp_path / "squall.toml", {})


def test_a_reference_in_a_target_stays_one_until_the_last_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    url = "${airflow:stream}/0"
    assert redacting.reveal(url, {}) == url
    monkeypatch.setenv("AIRFLOW_CONN_STREAM", "redis://:hiddenpassword@127.0.0.1:6379")
    assert redacting.reveal(url, os.environ) == "redis://:hiddenpassword@127.0.0.1:6379/0"
    assert redacting.redacted("it said hiddenpassword") == "it said [redacted: known_secret]"
    assert named_in(iter([url, "airflow:other"])) == {"stream", "other"}
    assert variable_of("my_db") == "AIRFLOW_CONN_MY_DB"


def test_secrets_of_a_connections_variable_are_known_whatever_its_form() -> None:
    extra = {"aws_session_token": "a-session-token", "region_name": "eu-central-1"}
    redacting.know_environment({"AIRFLOW_CONN_A": json.dumps({**AWS, "extra": extra}), "AIRFLOW_CONN_B": "x" * 20})
    assert {SECRET, "a-session-token", "x" * 20} <= set(redacting.known())
    assert "eu-central-1" not in redacting.known()
