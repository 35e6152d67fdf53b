"""Builds what a process needs to tell: from settings, or from the variable by which a process of ours hands them on."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence

from pydantic import ValidationError

import chaos_tasks
from chaos_tasks.model.record import Stored
from chaos_tasks.model.telemetry import Telemetry
from chaos_tasks.ports import Clock
from chaos_tasks.telemetry.sinks import Sink, TelemetryError
from chaos_tasks.telemetry.telling import Teller

VARIABLE = "SQUALL_TELEMETRY"

log = logging.getLogger(__name__)


def open_teller(telemetry: Telemetry, read: Callable[[str], Sequence[Stored]], clock: Clock) -> Teller | None:
    """None where nobody is to be told; what is wrong with a receiver is logged, and stops nothing."""
    sinks = tuple(_sinks(telemetry))
    return Teller(sinks, read, clock) if sinks else None


def from_variable(environment: Mapping[str, str]) -> Telemetry:
    """As the process that started this one was told; off where it says nothing that can be read."""
    try:
        return Telemetry.model_validate_json(environment.get(VARIABLE) or "{}")
    except ValidationError:
        log.warning("%s cannot be read: no telemetry", VARIABLE)
        return Telemetry()


def _sinks(telemetry: Telemetry) -> Iterator[Sink]:
    if telemetry.statsd:
        from chaos_tasks.telemetry.statsd import StatsdSink

        host, _, port = telemetry.statsd.rpartition(":")
        yield StatsdSink(host.strip("[]"), int(port), telemetry.prefix, telemetry.tags == "dogstatsd")
    if telemetry.otlp:
        try:
            from chaos_tasks.telemetry.otlp import OtlpSink

            yield OtlpSink(
                telemetry.otlp,
                service=telemetry.service,
                version=chaos_tasks.__version__,
                timeout_s=telemetry.timeout_s,
            )
        except TelemetryError as error:
            log.warning("no telemetry through otlp: %s", error)
