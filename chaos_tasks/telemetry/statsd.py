"""StatsD: lines of text in UDP packets, with or without the tags that DogStatsD has."""

from __future__ import annotations

import re
import socket
from collections.abc import Sequence
from dataclasses import dataclass, field

from chaos_tasks.telemetry.measures import Measure
from chaos_tasks.telemetry.sinks import TelemetryError
from chaos_tasks.telemetry.spans import Span

PACKET = 1400  # bytes: what passes any network in one piece
_UNFIT = re.compile(r"[^A-Za-z0-9_-]+")


@dataclass
class StatsdSink:
    """Nobody answers a packet, so nothing is waited for, and nobody knows whether it arrived."""

    host: str
    port: int
    prefix: str
    tags: bool
    name: str = "statsd"
    _lines: list[str] = field(default_factory=list)
    _socket: socket.socket | None = None

    def measure(self, measures: Sequence[Measure]) -> None:
        """Keep their lines."""
        self._lines += [line_of(one, self.prefix, tags=self.tags) for one in measures]

    def spans(self, spans: Sequence[Span]) -> None:
        """StatsD has none."""

    def flush(self) -> None:
        """Send what is kept, as many lines in a packet as fit; raises TelemetryError where that cannot be done."""
        lines, self._lines = self._lines, []
        try:
            for packet in packets(lines):
                self._open().send(packet)
        except OSError as error:
            self._socket = None
            raise TelemetryError(f"{self.host}:{self.port} cannot be told ({type(error).__name__})") from error

    def _open(self) -> socket.socket:
        if self._socket is None:
            family, kind, protocol, _, address = socket.getaddrinfo(self.host, self.port, type=socket.SOCK_DGRAM)[0]
            opened = socket.socket(family, kind, protocol)
            opened.setblocking(False)
            opened.connect(address)
            self._socket = opened
        return self._socket

    def close(self) -> None:
        """Give back the socket."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def line_of(measure: Measure, prefix: str, *, tags: bool) -> str:
    """`squall.runs.held.masked.label-flip:1|c`, or `squall.runs:1|c|#outcome:held,...`; durations in milliseconds."""
    value = "1|c" if measure.seconds is None else f"{measure.seconds * 1000:.3f}|ms"
    labels = [(key, _UNFIT.sub("_", text) or "none") for key, text in measure.labels]
    name = ".".join(part for part in (prefix, measure.name) if part)
    if tags:
        told = ",".join(f"{key}:{text}" for key, text in labels)
        return f"{name}:{value}|#{told}" if told else f"{name}:{value}"
    return ".".join((name, *(text for _, text in labels))) + f":{value}"


def packets(lines: Sequence[str]) -> list[bytes]:
    """Lines joined into packets of at most 1,400 bytes."""
    found: list[bytes] = []
    for line in (text.encode() for text in lines):
        if found and len(found[-1]) + 1 + len(line) <= PACKET:
            found[-1] += b"\n" + line
        else:
            found.append(line)
    return found
