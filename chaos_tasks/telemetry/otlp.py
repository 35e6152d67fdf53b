"""OpenTelemetry: spans, counters and histograms to a collector over OTLP/HTTP, by its own libraries.

Nothing of it is global: an application that has providers of its own keeps them.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from chaos_tasks.telemetry.measures import Measure
from chaos_tasks.telemetry.sinks import TelemetryError
from chaos_tasks.telemetry.spans import Span

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan

SCOPE = "squall"


class OtlpSink:
    """Implements Sink.  Headers and certificates: the standard variables, OTEL_EXPORTER_OTLP_HEADERS and so on."""

    name = "otlp"

    def __init__(self, endpoint: str, *, service: str, version: str, timeout_s: float) -> None:
        """Raises TelemetryError where the libraries are not installed."""
        try:
            from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
            from opentelemetry.sdk.metrics import Counter, Histogram, MeterProvider
            from opentelemetry.sdk.metrics.export import AggregationTemporality, InMemoryMetricReader
            from opentelemetry.sdk.resources import Resource
        except ImportError as error:
            raise TelemetryError("OpenTelemetry is not installed: pip install 'squall[telemetry]'") from error
        logging.getLogger("opentelemetry.exporter").setLevel(logging.CRITICAL)  # said once, by whoever calls
        base = endpoint.rstrip("/")
        self._resource = Resource.create({"service.name": service, "service.version": version})
        self._span_exporter = OTLPSpanExporter(endpoint=f"{base}/v1/traces", timeout=timeout_s)
        self._metric_exporter = OTLPMetricExporter(endpoint=f"{base}/v1/metrics", timeout=timeout_s)
        delta = AggregationTemporality.DELTA  # many short processes: each tells what it has added
        self._reader = InMemoryMetricReader(preferred_temporality={Counter: delta, Histogram: delta})
        provider = MeterProvider([self._reader], resource=self._resource, shutdown_on_exit=False)
        self._meter = provider.get_meter(SCOPE, version)
        self._version = version
        self._instruments: dict[str, Any] = {}

    def measure(self, measures: Sequence[Measure]) -> None:
        """Add them up."""
        for one in measures:
            if one.seconds is None:
                self._instrument(one).add(1, dict(one.labels))
            else:
                self._instrument(one).record(one.seconds, dict(one.labels))

    def spans(self, spans: Sequence[Span]) -> None:
        """Send the spans of a run."""
        from opentelemetry.sdk.trace.export import SpanExportResult

        if self._span_exporter.export(self._readable(spans)) is not SpanExportResult.SUCCESS:
            raise TelemetryError("the collector did not take the spans of a run")

    def flush(self) -> None:
        """Send what was added up since the last time."""
        from opentelemetry.sdk.metrics.export import MetricExportResult

        data = self._reader.get_metrics_data()
        if data is not None and self._metric_exporter.export(data) is not MetricExportResult.SUCCESS:
            raise TelemetryError("the collector did not take the metrics")

    def close(self) -> None:
        """Give back the connections."""
        self._span_exporter.shutdown()  # type: ignore[no-untyped-call]
        self._metric_exporter.shutdown()

    def _instrument(self, measure: Measure) -> Any:
        name = f"squall.{measure.name}"
        if name not in self._instruments:
            make = self._meter.create_counter if measure.seconds is None else self._meter.create_histogram
            self._instruments[name] = make(name, unit="1" if measure.seconds is None else "s")
        return self._instruments[name]

    def _readable(self, spans: Sequence[Span]) -> list[ReadableSpan]:
        """Spans of OpenTelemetry with our times and ids, by its public interface."""
        from opentelemetry import trace
        from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
        from opentelemetry.sdk.trace.id_generator import IdGenerator
        from opentelemetry.sdk.trace.sampling import ALWAYS_ON

        ended: list[ReadableSpan] = []

        class Given(IdGenerator):
            def generate_span_id(self) -> int:
                return int(span.span_id, 16)

            def generate_trace_id(self) -> int:
                return int(span.trace_id, 16)

        class Collect(SpanProcessor):
            def on_end(self, span: ReadableSpan) -> None:
                ended.append(span)

        provider = TracerProvider(
            sampler=ALWAYS_ON, resource=self._resource, shutdown_on_exit=False, id_generator=Given()
        )
        provider.add_span_processor(Collect())
        tracer = provider.get_tracer(SCOPE, self._version)
        for span in spans:
            parent = _context(span)
            made = tracer.start_span(
                span.name, context=parent, attributes=dict(span.attributes), start_time=_ns(span.begins)
            )
            if span.error:
                made.set_status(trace.Status(trace.StatusCode.ERROR, span.error))
            made.end(_ns(span.ends))
        return ended


def _context(span: Span) -> Any:
    """The context that makes the parent a parent; an empty one for a root, whatever the thread is in."""
    from opentelemetry import trace
    from opentelemetry.context import Context

    if not span.parent_id:
        return Context()
    parent = trace.SpanContext(
        int(span.trace_id, 16), int(span.parent_id, 16), is_remote=False, trace_flags=trace.TraceFlags(1)
    )
    return trace.set_span_in_context(trace.NonRecordingSpan(parent), Context())


def _ns(moment: datetime) -> int:
    return round(moment.timestamp() * 1_000_000) * 1000
