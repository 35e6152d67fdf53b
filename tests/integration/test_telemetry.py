"""What a real `squall run` tells: lines to a UDP socket, and spans and metrics to a collector over OTLP/HTTP."""

from __future__ import annotations

import signal
import socket
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from chaos_tasks.model.record import RecordKind
from tests.tiny import Said, Tiny, end, make_tiny, until

DURING = "{name: kill, fault: process.kill, target: workload, trigger: {at: progress, step: 2}}"


@dataclass
class Collector:
    """What a collector took: spans by id, and the sums of counters by name and labels."""

    url: str = ""
    spans: dict[bytes, Any] = field(default_factory=dict)
    counts: Counter[tuple[str, ...]] = field(default_factory=Counter)
    bodies: list[bytes] = field(default_factory=list)

    def take(self, path: str, body: bytes) -> None:
        """One export."""
        self.bodies.append(body)
        if path == "/v1/traces":
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                for scope in resource.scope_spans:
                    self.spans |= {span.span_id: span for span in scope.spans}
        elif path == "/v1/metrics":
            for resource in ExportMetricsServiceRequest.FromString(body).resource_metrics:
                for scope in resource.scope_metrics:
                    for metric in scope.metrics:
                        for point in metric.sum.data_points:
                            labels = [one.value.string_value for one in point.attributes]
                            self.counts[metric.name, *labels] += point.as_int

    def named(self, name: str) -> list[Any]:
        """Spans of a name, by time."""
        return sorted(
            (one for one in self.spans.values() if one.name == name), key=lambda one: one.start_time_unix_nano
        )

    def parent(self, span: Any) -> Any:
        """The span that another one is below."""
        return self.spans[span.parent_span_id]


@contextmanager
def collector() -> Iterator[Collector]:
    """A collector on loopback."""
    taken = Collector()

    class Answer(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            taken.take(self.path, self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        taken.url = f"http://127.0.0.1:{server.server_port}"
        yield taken
        server.shutdown()


@contextmanager
def statsd() -> Iterator[socket.socket]:
    """A UDP socket on loopback."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as opened:
        opened.bind(("127.0.0.1", 0))
        opened.settimeout(2)
        yield opened


def lines(heard: socket.socket) -> list[str]:
    """All lines that came: the sender has ended, so they are here."""
    heard.setblocking(False)
    found: list[str] = []
    while True:
        try:
            found += heard.recv(65536).decode().splitlines()
        except BlockingIOError:
            return found


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tiny]:
    tiny = make_tiny(tmp_path_factory.mktemp("tiny") / "project")
    train = tiny.root / "code" / "train.py"
    train.write_text(train.read_text().replace("else 0.02", "else 0.3"))  # long enough for a trigger to find it alive
    yield tiny
    tiny.clean_up()


@pytest.fixture
def tiny(built: Tiny) -> Iterator[Tiny]:
    with built.lent():
        yield built


def telling(tiny: Tiny, **table: object) -> None:
    """The table of squall.toml."""
    told = "".join(f"{key} = {value!r}\n" for key, value in table.items())
    tiny.project.config.write_text(f"{tiny.project.config.read_text()}\n[telemetry]\n{told}")


def during(tiny: Tiny) -> Path:
    """An experiment whose fault is fired by the supervisor, in mid-trial."""
    target = tiny.root / "targets" / "tiny.yaml"
    if "restarts" not in target.read_text():
        target.write_text(target.read_text().replace("timeout: 60s", "timeout: 60s\n  restarts: 2"))
    path = tiny.experiment("during")
    path.write_text(path.read_text().replace("{name: mark, fault: tiny.mark, target: data}", DURING))
    return path


def run(tiny: Tiny, *arguments: str | Path) -> Said:
    return tiny.squall("run", *arguments, "--quiet")


def test_counters_and_timers_of_a_run_arrive_as_lines(tiny: Tiny) -> None:
    with statsd() as heard:
        telling(tiny, statsd=f"127.0.0.1:{heard.getsockname()[1]}")
        said = run(tiny, tiny.experiment(), "--run-id", "counted")
        assert said.code == 0, said.text
        found = lines(heard)
    counted = Counter(line for line in found if line.endswith("|c"))
    assert counted["squall.runs.begun.tiny.tiny:1|c"] == 1
    assert counted["squall.runs.held.masked.tiny:1|c"] == 1
    assert counted["squall.trials.treatment.completed:1|c"] == 1
    assert counted["squall.injects.tiny_mark.effective:1|c"] == 1
    assert counted["squall.reverts.tiny_mark.verified:1|c"] == 1
    timed = {line.partition(":")[0] for line in found if line.endswith("|ms")}
    assert {
        "squall.trial.duration.treatment",
        "squall.inject.duration.tiny_mark",
        "squall.revert.duration.tiny_mark",
        "squall.run.duration",
    } <= timed


def test_what_the_supervisor_does_is_counted_once_too(tiny: Tiny) -> None:
    with statsd() as heard:
        telling(tiny, statsd=f"127.0.0.1:{heard.getsockname()[1]}", tags="dogstatsd")
        said = run(tiny, during(tiny), "--run-id", "fired")
        assert said.code == 0, said.text
        found = lines(heard)
    assert found.count("squall.injects:1|c|#kind:process_kill,result:effective") == 1
    assert found.count("squall.reverts:1|c|#kind:process_kill,result:verified") == 1


def test_spans_nest_as_the_run_did(tiny: Tiny) -> None:
    with collector() as taken:
        telling(tiny, otlp=taken.url)
        said = run(tiny, tiny.experiment(), "--run-id", "traced")
        assert said.code == 0, said.text
    (root,) = taken.named("squall.run")
    (fault,) = taken.named("squall.fault")
    (inject,), (revert,) = taken.named("squall.inject"), taken.named("squall.revert")
    arms = [_told(one)["squall.arm"] for one in taken.named("squall.trial")]
    assert arms == ["control", "treatment"]
    assert root.parent_span_id == b""
    assert all(taken.parent(one) is root for one in (fault, *taken.named("squall.trial")))
    assert taken.parent(inject) is fault
    assert taken.parent(revert) is fault
    assert len({one.trace_id for one in taken.spans.values()}) == 1
    control, treatment = taken.named("squall.trial")
    assert control.end_time_unix_nano <= inject.start_time_unix_nano
    assert inject.end_time_unix_nano <= treatment.start_time_unix_nano <= treatment.end_time_unix_nano
    assert treatment.end_time_unix_nano <= revert.start_time_unix_nano
    assert _told(root)["squall.outcome"] == "held"
    assert (fault.status.code, root.status.code) == (0, 0)
    assert taken.counts["squall.runs", "held", "masked", "tiny"] == 1
    assert taken.counts["squall.injects", "tiny.mark", "effective"] == 1


def test_a_fault_that_a_trigger_fires_is_below_its_trial(tiny: Tiny) -> None:
    with collector() as taken:
        telling(tiny, otlp=taken.url)
        said = run(tiny, during(tiny), "--run-id", "traced-during")
        assert said.code == 0, said.text
    (fault,) = taken.named("squall.fault")
    assert taken.parent(fault).name == "squall.trial"
    assert _told(taken.parent(fault))["squall.arm"] == "treatment"
    assert [taken.parent(one) is fault for name in ("squall.inject", "squall.revert") for one in taken.named(name)] == [
        True,
        True,
    ]


def test_a_killed_run_that_is_called_again_has_one_trace_that_nests(tiny: Tiny) -> None:
    with collector() as taken:
        telling(tiny, otlp=taken.url)
        tiny.behave("slow")
        killed = tiny.start("run", tiny.experiment(lease="3s"), "--run-id", "killed", "--quiet")
        until(lambda: _started(tiny, "killed"), "a treatment trial")
        killed.send_signal(signal.SIGKILL)
        end(killed)
        assert taken.named("squall.run") == []
        until(lambda: _reverted(tiny, "killed"), "the sweep")
        tiny.behave("well")
        said = run(tiny, tiny.experiment(lease="3s"), "--run-id", "killed")
        assert said.code != 0, said.text
    (root,) = taken.named("squall.run")
    lost = [one for one in taken.named("squall.trial") if one.status.code == 2]
    assert lost
    for span in taken.spans.values():
        if span is not root:
            above = taken.parent(span)
            assert above.start_time_unix_nano <= span.start_time_unix_nano <= span.end_time_unix_nano
            assert span.end_time_unix_nano <= above.end_time_unix_nano
    assert _told(taken.named("squall.revert")[0])["squall.by"].startswith("sweep")


def test_no_row_and_no_secret_goes_out(tiny: Tiny) -> None:
    with collector() as taken:
        telling(tiny, otlp=taken.url)
        tiny.squall("run", tiny.experiment(), "--run-id", "quiet", "--quiet", API_TOKEN="supersecretvalue")
    assert taken.bodies
    assert not any(b"supersecretvalue" in body or str(tiny.root).encode() in body for body in taken.bodies)


def test_a_collector_that_is_gone_or_never_answers_ends_nothing_and_costs_seconds_at_most(tiny: Tiny) -> None:
    began = time.monotonic()
    plain = run(tiny, tiny.experiment(), "--run-id", "plain")
    usual_s = time.monotonic() - began
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(1)  # takes connections and says nothing
        telling(tiny, otlp=f"http://127.0.0.1:{silent.getsockname()[1]}", statsd="127.0.0.1:1", timeout_s=1.0)
        began = time.monotonic()
        said = run(tiny, tiny.experiment(), "--run-id", "deaf")
        took_s = time.monotonic() - began
    assert (plain.code, said.code) == (0, 0), said.text
    assert said.text.count("telemetry through otlp fails") <= 1
    assert took_s < usual_s + 15


def _told(span: Any) -> dict[str, str]:
    return {one.key: one.value.string_value for one in span.attributes}


def _started(tiny: Tiny, run_id: str) -> bool:
    with tiny.ledger() as ledger:
        starts = ledger.records(run_id=run_id, kinds=[RecordKind.TRIAL_STARTED])
        return any(getattr(one.record.payload, "arm", "") == "treatment" for one in starts)


def _reverted(tiny: Tiny, run_id: str) -> bool:
    with tiny.ledger() as ledger:
        return bool(list(ledger.records(run_id=run_id, kinds=[RecordKind.REVERT_VERIFIED])))
