"""Whom to tell of counters, timers and spans; nobody by default."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from chaos_tasks.model.base import Value


class Telemetry(Value):
    """The table [telemetry] of squall.toml."""

    statsd: str = Field("", pattern=r"^$|^[^\s:]+:\d{1,5}$|^\[[0-9a-f:]+\]:\d{1,5}$", description="HOST:PORT, UDP.")
    prefix: str = Field("squall", pattern=r"^[A-Za-z0-9_.-]*$", description="Of names in StatsD.")
    tags: Literal["none", "dogstatsd"] = Field("none", description="none: labels become parts of a name.")
    otlp: str = Field(
        "",
        pattern=r"^$|^https?://[^\s@]+$",
        description="Collector's OTLP/HTTP address without /v1/..., e.g. http://127.0.0.1:4318; headers that hold a "
        "secret go into OTEL_EXPORTER_OTLP_HEADERS.",
    )
    service: str = Field("squall", min_length=1, description="service.name of what is told over OTLP.")
    timeout_s: float = Field(2.0, gt=0, le=30, description="Longest wait for the collector, in a thread of its own.")

    @property
    def on(self) -> bool:
        """Whether anybody is told."""
        return bool(self.statsd or self.otlp)
