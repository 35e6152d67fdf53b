"""Where Airflow sends its own metrics and traces, for a squall.toml that says nothing of its own."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from chaos_tasks.model.telemetry import Telemetry
from chaos_tasks.settings import Settings

ENDPOINT, PROTOCOL = "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_PROTOCOL"

log = logging.getLogger(__name__)


def with_airflows(settings: Settings, environment: Mapping[str, str]) -> Settings:
    """Settings that tell whom Airflow tells; as they are where squall.toml has a table [telemetry] of its own."""
    if settings.telemetry.on:
        return settings
    from airflow.sdk.configuration import conf

    try:
        found = telemetry_of(conf, environment)
    except Exception as error:  # noqa: BLE001  whatever its parser raises: no run may end by it
        log.warning("Airflow's settings of metrics cannot be used here (%s): no telemetry", type(error).__name__)
        return settings
    return settings.model_copy(update={"telemetry": found}) if found.on else settings


def telemetry_of(conf: Any, environment: Mapping[str, str]) -> Telemetry:
    """What [metrics] and [traces] of airflow.cfg, and OpenTelemetry's own variables, amount to."""
    told: dict[str, str] = {}
    if conf.getboolean("metrics", "statsd_on", fallback=False):
        host, port = conf.get("metrics", "statsd_host"), conf.getint("metrics", "statsd_port")
        told["statsd"] = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        told["prefix"] = f"{conf.get('metrics', 'statsd_prefix')}.squall"
        if conf.getboolean("metrics", "statsd_datadog_enabled", fallback=False):
            told["tags"] = "dogstatsd"
    asked = any(conf.getboolean(section, "otel_on", fallback=False) for section in ("metrics", "traces"))
    if asked and environment.get(ENDPOINT) and environment.get(PROTOCOL) != "grpc":
        told["otlp"] = environment[ENDPOINT]
    return Telemetry.model_validate(told)
