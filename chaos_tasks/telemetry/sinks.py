"""Where telemetry goes: the port of a sink, and the error by which one says that it could not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from chaos_tasks.telemetry.measures import Measure
from chaos_tasks.telemetry.spans import Span


class TelemetryError(Exception):
    """A sink could not tell; the text names no secret."""


class Sink(Protocol):
    """One receiver.  Called from one thread only; raises TelemetryError, and is left alone for a while then."""

    @property
    def name(self) -> str:
        """As the log calls it."""

    def measure(self, measures: Sequence[Measure]) -> None:
        """Take counters and timers; they may be kept until ``flush``."""

    def spans(self, spans: Sequence[Span]) -> None:
        """Take the spans of one run, the run's own first."""

    def flush(self) -> None:
        """Send what is kept."""
