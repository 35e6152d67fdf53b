"""Live probes read numbers and states of what runs now, and say so when they cannot; no text of it goes anywhere."""

from __future__ import annotations

import json
import math
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from chaos_tasks import registry
from chaos_tasks.errors import ProbeError
from chaos_tasks.probes.live import Scene
from chaos_tasks.testing.clock import FakeClock

CLOCK = FakeClock()


def read(kind: str, out: Path | None, progress: str = "progress.jsonl", **params: Any) -> Any:
    scene = Scene(CLOCK, out, CLOCK.now() if out else None, progress)
    return registry.live_probe(kind).read(scene, registry.live_probe_params(kind, params)).value


def lines(path: Path, *objects: object, tail: str = "") -> None:
    path.write_text("".join(json.dumps(one) + "\n" for one in objects) + tail)


def test_the_latest_value_counts_and_a_torn_line_does_not(tmp_path: Path) -> None:
    lines(tmp_path / "progress.jsonl", {"loss": 1}, {"loss": 2.5}, {"step": 9}, tail='{"loss": 7')
    assert read("live.series", tmp_path, field="loss") == 2.5


def test_of_a_long_file_only_the_end_is_read(tmp_path: Path) -> None:
    lines(tmp_path / "progress.jsonl", *({"loss": n, "pad": "x" * 500} for n in range(2000)))
    assert read("live.series", tmp_path, field="loss") == 1999


def test_a_number_that_is_none_is_said_to_be_none(tmp_path: Path) -> None:
    (tmp_path / "progress.jsonl").write_text('{"loss": NaN}\n')
    assert math.isnan(read("live.series", tmp_path, field="loss"))


@pytest.mark.parametrize(
    ("content", "params", "why"),
    [
        (None, {"field": "loss"}, "cannot be read"),
        ("", {"field": "loss"}, "no line of progress.jsonl has the field loss"),
        ("not json\n[1]\n", {"field": "loss"}, "no line"),
        ('{"loss": "a row of data"}\n', {"field": "loss"}, "the latest loss is no number"),
        ('{"loss": 1}\n', {"field": "loss", "file": "../../etc/passwd"}, "not below the trial's folder"),
    ],
)
def test_what_cannot_be_read_is_an_error_without_content(
    tmp_path: Path, content: str | None, params: dict[str, Any], why: str
) -> None:
    if content is not None:
        (tmp_path / "progress.jsonl").write_text(content)
    with pytest.raises(ProbeError, match=why) as caught:
        read("live.series", tmp_path, **params)
    assert "row of data" not in str(caught.value)


def test_without_a_trial_or_a_progress_file_there_is_nothing_to_read(tmp_path: Path) -> None:
    with pytest.raises(ProbeError, match="no trial is running"):
        read("live.series", None, field="loss")
    for kind, params in (("live.series", {"field": "loss"}), ("live.stalled_s", {})):
        with pytest.raises(ProbeError, match="declares no progress file"):
            read(kind, tmp_path, progress="", **params)


def test_stillness_is_counted_from_the_last_write_or_the_start(tmp_path: Path) -> None:
    started = CLOCK.now()
    scene = Scene(FakeClock(started + timedelta(seconds=40)), tmp_path, started, "progress.jsonl")
    probe, params = registry.live_probe("live.stalled_s"), registry.live_probe_params("live.stalled_s", {})
    assert probe.read(scene, params).value == 40
    lines(tmp_path / "progress.jsonl", {"step": 1})
    os.utime(tmp_path / "progress.jsonl", times=(0, started.timestamp() + 30))
    assert probe.read(scene, params).value == pytest.approx(10)
    os.utime(tmp_path / "progress.jsonl", times=(0, started.timestamp() + 99))
    assert probe.read(scene, params).value == 0


def test_alarms_are_counted_and_none_is_none(tmp_path: Path) -> None:
    assert read("live.alarms", tmp_path, file="alarms.jsonl") == 0
    lines(tmp_path / "alarms.jsonl", {"t": 1, "alarm": "drift"}, {"t": 2, "alarm": "lag"}, {"t": 3, "alarm": "drift"})
    assert read("live.alarms", tmp_path, file="alarms.jsonl") == 3
    assert read("live.alarms", tmp_path, file="alarms.jsonl", name="drift") == 2


@contextmanager
def answering(status: int, body: bytes) -> Iterator[str]:
    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nobody reads it."""

    server = HTTPServer(("127.0.0.1", 0), Answers)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/slo"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_an_endpoint_gives_its_status_or_a_number() -> None:
    with answering(200, b'{"slo": {"error_rate": 0.25, "on": true, "who": "a row"}}') as url:
        assert read("live.http", None, url=url) == 200
        assert read("live.http", None, url=url, field="slo.error_rate") == 0.25
        assert read("live.http", None, url=url, field="slo.on") is True
        for field in ("slo.who", "slo.none", "slo", "slo.error_rate.more"):
            with pytest.raises(ProbeError, match="has no number") as caught:
                read("live.http", None, url=url, field=field)
            assert "a row" not in str(caught.value)


@pytest.mark.parametrize(("status", "body", "why"), [(503, b"{}", "answers 503"), (200, b"<html>", "no JSON")])
def test_an_endpoint_without_a_number_is_an_error(status: int, body: bytes, why: str) -> None:
    with answering(status, body) as url, pytest.raises(ProbeError, match=why):
        read("live.http", None, url=url, field="x")


def test_an_endpoint_that_is_down_is_an_error() -> None:
    with answering(200, b"") as url:
        pass
    with pytest.raises(ProbeError, match="does not answer: URLError"):
        read("live.http", None, url=url)


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "ftp://x",
        "http://",
        "http://user:secret@x/",
        "http://x/?token=secret",
        "nothing",
        "http://[",
    ],
)
def test_an_address_that_is_none_or_holds_a_secret_is_refused(url: str) -> None:
    with pytest.raises(ValidationError):
        registry.live_probe_params("live.http", {"url": url})
