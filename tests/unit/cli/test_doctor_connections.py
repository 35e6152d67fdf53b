"""`squall doctor` says which connections of Airflow this process can read, and nothing of what is in them."""

from __future__ import annotations

import json
from pathlib import Path

from chaos_tasks.cli.doctor import _named, _with_addresses
from chaos_tasks.cli.findings import Level
from chaos_tasks.settings import read_settings

SECRET = "a/very+secret/value"


def test_each_named_connection_is_found_or_said_to_be_missing(tmp_path: Path) -> None:
    (tmp_path / "squall.toml").write_text(
        '[credentials]\ninjector = "airflow:here"\nreverter = "airflow:gone"\n[ledger]\nurl = "${airflow:db}"\n'
    )
    pair = {"conn_type": "aws", "login": "AKEXAMPLE", "password": SECRET}
    there = {"AIRFLOW_CONN_HERE": json.dumps(pair), "AIRFLOW_CONN_DB": "postgres://me@db/squall"}
    settings = read_settings(tmp_path / "squall.toml", there)
    injector, reverter = _named(settings)
    assert (injector.level, reverter.level) == (Level.GOOD, Level.WARN)
    assert injector.text == "injector is airflow:here (aws: access_key_id, secret_access_key)"
    assert "AIRFLOW_CONN_GONE" in reverter.remedy
    assert SECRET not in injector.text + reverter.text
    assert _with_addresses(settings).ledger_url == "postgresql://me@db/squall"
    assert _with_addresses(read_settings(tmp_path / "squall.toml", {})).ledger_url == "${airflow:db}"
