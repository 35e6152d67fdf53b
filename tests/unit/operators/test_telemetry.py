"""Airflow's own settings of metrics are used where squall.toml says nothing."""

from __future__ import annotations

import pytest
from airflow.sdk.configuration import conf

from chaos_tasks.model.telemetry import Telemetry
from chaos_tasks.settings import find_settings
from squall_operators.telemetry import telemetry_of, with_airflows
from tests.unit.operators.conftest import Squall


def test_nothing_is_told_where_airflow_tells_nobody(project: Squall) -> None:
    settings = find_settings()
    assert with_airflows(settings, {}) is settings


def test_statsd_of_airflow_is_used_below_its_prefix(project: Squall, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__METRICS__STATSD_ON", "True")
    monkeypatch.setenv("AIRFLOW__METRICS__STATSD_HOST", "::1")
    monkeypatch.setenv("AIRFLOW__METRICS__STATSD_DATADOG_ENABLED", "True")
    found = with_airflows(find_settings(), {}).telemetry
    assert found == Telemetry(statsd="[::1]:8125", prefix="airflow.squall", tags="dogstatsd")


def test_the_collector_of_airflow_is_used_where_it_speaks_http(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__TRACES__OTEL_ON", "True")
    told = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}
    assert telemetry_of(conf, told) == Telemetry(otlp="http://collector:4318")
    assert not telemetry_of(conf, told | {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}).on
    assert not telemetry_of(conf, {}).on


def test_what_cannot_be_used_stops_nothing(project: Squall, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__METRICS__STATSD_ON", "True")
    monkeypatch.setenv("AIRFLOW__METRICS__STATSD_PORT", "none")
    settings = find_settings()
    assert with_airflows(settings, {}) is settings


def test_a_table_of_ones_own_wins(project: Squall, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__METRICS__STATSD_ON", "True")
    (project.root / "squall.toml").write_text('[telemetry]\nstatsd = "127.0.0.1:1"\n')
    assert with_airflows(find_settings(), {}).telemetry == Telemetry(statsd="127.0.0.1:1")
