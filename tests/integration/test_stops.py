"""What stops a run in mid-trial: stop conditions, the lever of another host, the calendar; and all of it is undone."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from chaos_tasks.approving import incidents
from chaos_tasks.cli.people import asker
from chaos_tasks.clock import SystemClock
from chaos_tasks.model.handle import Phase
from chaos_tasks.model.record import Act, Armed, Note, RecordKind, Registered
from chaos_tasks.safety.lever import LOG, Lever
from tests.tiny import LOG_ITSELF, Said, Tiny, end, make_tiny, until

TRAIN = '''\
"""Writes a loss every tenth of a second: for a moment under control, for minutes under treatment."""
import argparse, json, pathlib, threading
parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int); parser.add_argument("--data"); parser.add_argument("--out")
options = parser.parse_args()
out = pathlib.Path(options.out)
out.mkdir(parents=True, exist_ok=True)
behaviour = pathlib.Path(__file__).with_name("behaviour").read_text()
long = "treatment" in str(out) and behaviour != "well"
for step in range(1, 3000 if long else 6):
    print(f"step {step}", flush=True)
    loss = 9.0 if behaviour == "diverges" and step > 10 else 1.0
    with (out / "loss.jsonl").open("a") as stream:
        stream.write(json.dumps({"step": step, "loss": loss}) + chr(10))
    threading.Event().wait(0.1 if long else 0.01)
(out / "metrics.json").write_text(json.dumps({"auc": 0.9}))
'''

EXPERIMENT = """\
version: 1
name: {name}
hypothesis: The tiny model stays as good whatever happens to it.
owner: tests
nightly: false
target: tiny
steady_state:
  - {{name: auc, probe: model.metric, params: {{metric: auc}}, tolerance: {{type: range, min: 0.8}}, when: under_fault}}
method:
  - {method}
guards: {guards}
analysis: {{seeds: 2, base_seed: 1}}
"""

MARK = "{name: mark, fault: tiny.mark, target: data}"
PAUSE = "{name: pause, fault: process.pause, target: workload, trigger: {at: progress, step: 5}, hold: 5m}"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tiny]:
    tiny = make_tiny(tmp_path_factory.mktemp("stops") / "project")
    (tiny.root / "code" / "train.py").write_text(TRAIN)
    yield tiny
    tiny.clean_up()


@pytest.fixture
def tiny(built: Tiny) -> Iterator[Tiny]:
    with built.lent():
        yield built


def written(tiny: Tiny, name: str, method: str = MARK, **guards: Any) -> Path:
    path = tiny.root / f"{name}.yaml"
    path.write_text(EXPERIMENT.format(name=name, method=method, guards=json.dumps({"lease": "60s", **guards})))
    return path


def notes(tiny: Tiny, run_id: str, kind: RecordKind) -> list[Note]:
    with tiny.ledger() as ledger:
        found = [stored.record.payload for stored in ledger.records(run_id=run_id, kinds=[kind])]
    return [note for note in found if isinstance(note, Note)]


def under_fault(tiny: Tiny, run_id: str) -> bool:
    with tiny.ledger() as ledger:
        starts = ledger.records(run_id=run_id, kinds=[RecordKind.TRIAL_STARTED])
        return any(getattr(stored.record.payload, "arm", "") == "treatment" for stored in starts)


def assert_aborted_and_undone(tiny: Tiny, said: Said, run_id: str) -> None:
    """Aborted, the places as they were by their fingerprints, the target free."""
    assert said.code == 4, said.text
    assert "Traceback" not in said.text
    assert not tiny.project.marks()
    with tiny.ledger() as ledger:
        before, after = {}, {}
        for stored in ledger.records(run_id=run_id):
            payload = stored.record.payload
            if isinstance(payload, Armed):
                before[payload.handle.id] = payload.before.digest
            elif isinstance(payload, Act) and stored.record.kind is RecordKind.REVERT_VERIFIED:
                after[payload.handle_id] = payload.after.digest if payload.after else ""
        assert before == after
        assert before
        assert [state.phase for state in ledger.handles(run_id=run_id)] == [Phase.REVERTED] * len(before)
        assert run_id not in ledger.locked_runs()


def assert_one_incident(tiny: Tiny, run_id: str, what: str) -> None:
    """Opened by the run itself, open until a person closes it, and pointing at the record that tripped it."""
    with tiny.ledger() as ledger:
        (stop,) = ledger.records(run_id=run_id, kinds=[RecordKind.STOP_TRIGGERED])
        (incident,) = (one for one in incidents.known(ledger) if one.run_id == run_id)
    assert (incident.opened.detected_by, incident.opened.what) == ("stop condition", what)
    assert (incident.opened.cause_seq, incident.closed) == (stop.seq, None)
    assert incident.opened_seq > stop.seq


def test_a_loss_that_diverges_ends_the_trial_and_is_told_with_its_readings(tiny: Tiny) -> None:
    tiny.behave("diverges")
    watch: dict[str, Any] = {"name": "loss", "probe": "live.series", "params": {"file": "loss.jsonl", "field": "loss"}}
    # The supervisor's and Python's own start count as the trial: a file that is not there yet is a bad reading.
    watch |= {"tolerance": {"type": "range", "max": 4}, "every": "200ms", "strikes": 2, "of": 3, "grace": "30s"}
    said = tiny.squall("run", written(tiny, "diverges", watch=[watch]), "--run-id", "diverges", "--json")
    assert_aborted_and_undone(tiny, said, "diverges")
    verdict = json.loads(said.out)
    assert verdict["outcome"] == "aborted"
    assert "stop_condition" in verdict["reasons"]
    assert "stop condition loss is 9, allowed is at most 4" in verdict["sentence"]
    (stop,) = notes(tiny, "diverges", RecordKind.STOP_TRIGGERED)
    assert_one_incident(tiny, "diverges", stop.text)
    readings = stop.facts["readings"]
    assert isinstance(readings, list)
    assert [one["value"] for one in readings if one["bad"] and one["counts"]][-2:] == [9.0, 9.0]  # type: ignore[index,call-overload]
    report = tiny.squall("report", "diverges")
    html = Path(report.out.rpartition("Report")[2].strip()).read_text()
    assert "stop condition loss" in html
    assert tiny.squall("audit", "verify", *LOG_ITSELF).code == 0


def test_a_fault_fired_in_mid_trial_is_undone_when_the_workload_stalls(tiny: Tiny) -> None:
    tiny.behave("long")
    watch: dict[str, Any] = {"name": "alive", "probe": "live.stalled_s", "params": {"file": "loss.jsonl"}}
    watch |= {"tolerance": {"type": "range", "max": 3}, "every": "500ms", "grace": "5s"}
    said = tiny.squall("run", written(tiny, "stalls", PAUSE, watch=[watch]), "--run-id", "stalls", "--json")
    assert_aborted_and_undone(tiny, said, "stalls")
    assert "stop condition alive is" in json.loads(said.out)["sentence"]


@contextmanager
def service() -> Iterator[tuple[str, list[int]]]:
    """An endpoint on loopback, and the status that it answers with."""
    status = [200]

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status[0])
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nobody reads it."""

    server = HTTPServer(("127.0.0.1", 0), Answers)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/health", status
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_service_that_goes_down_meanwhile_ends_the_run(tiny: Tiny) -> None:
    tiny.behave("long")
    with service() as (url, status):
        watch: dict[str, Any] = {"name": "shop", "probe": "live.http", "params": {"url": url}, "every": "200ms"}
        watch |= {"tolerance": {"type": "exactly", "value": 200}}
        run = tiny.start("run", written(tiny, "shop", watch=[watch]), "--run-id", "shop", "--json")
        until(lambda: under_fault(tiny, "shop"), "a treatment trial")
        status[0] = 503
        said = end(run)
    assert_aborted_and_undone(tiny, said, "shop")
    assert "stop condition shop is 503, allowed is 200" in json.loads(said.out)["sentence"]


def test_a_set_up_step_under_the_fault_is_ended_too(tiny: Tiny) -> None:
    """It reads the hurt data for an hour; nothing has been trained yet."""
    target = tiny.root / "targets" / "tiny.yaml"
    before = target.read_text()
    script = tiny.root / "code" / "prepare.py"
    script.write_text(
        "import pathlib, sys, threading\n"
        "threading.Event().wait(3600 if (pathlib.Path(sys.argv[1]) / '.tiny-mark').exists() else 0)\n"
    )
    steps = f'  setup: [{{name: prepare, run: "{{python}} {script} {{data}}"}}]\n'
    target.write_text(before.replace("  timeout: 60s\n", "  timeout: 2h\n" + steps))
    try:
        with service() as (url, status):
            watch: dict[str, Any] = {"name": "shop", "probe": "live.http", "params": {"url": url}, "every": "200ms"}
            watch |= {"tolerance": {"type": "exactly", "value": 200}}
            run = tiny.start("run", written(tiny, "prepares", watch=[watch]), "--run-id", "prepares", "--json")
            until(lambda: bool(tiny.project.marks()), "the fault")
            status[0] = 503
            said = end(run)
    finally:
        target.write_text(before)
    assert_aborted_and_undone(tiny, said, "prepares")
    assert "stop condition shop is 503" in json.loads(said.out)["sentence"]


def test_a_run_that_takes_longer_than_it_declares_is_ended(tiny: Tiny) -> None:
    tiny.behave("long")
    said = tiny.squall("run", written(tiny, "long", longest="3s"), "--run-id", "long", "--json")
    assert_aborted_and_undone(tiny, said, "long")
    assert "longer than guards.longest = 3s" in json.loads(said.out)["sentence"]


def test_another_host_pulls_the_lever_and_the_run_ends_here(tiny: Tiny, tmp_path: Path) -> None:
    """The other host shares the ledger and nothing else: no file lies here, and nobody sweeps."""
    tiny.behave("long")
    run = tiny.start("run", written(tiny, "halted"), "--run-id", "halted", "--json")
    until(lambda: under_fault(tiny, "halted"), "a treatment trial")
    with tiny.ledger() as ledger:
        Lever(tmp_path / "other-host", ledger, SystemClock()).pull("somebody is nervous", by="kim@other")
    said = end(run)
    assert_aborted_and_undone(tiny, said, "halted")
    assert "somebody is nervous (pulled by kim@other" in json.loads(said.out)["sentence"]
    assert not (tiny.project.home / "HALT").exists()
    refused = tiny.squall("run", written(tiny, "halted"), "--quiet")
    assert refused.code == 4
    assert "somebody is nervous" in refused.err
    assert tiny.squall("resume").code == 0
    assert [note.facts["by"] for note in notes(tiny, LOG, RecordKind.LEVER_PULLED)] == ["kim@other"]
    assert len(notes(tiny, LOG, RecordKind.LEVER_RELEASED)) == 1


FROZEN = """
[[calendar.freezes]]
begins = 2020-01-01
ends = 2100-01-01
zone = "Europe/Zurich"
reason = "the century's end"
targets = ["tiny"]
"""


def test_a_freeze_refuses_until_a_person_gives_a_reason(tiny: Tiny) -> None:
    tiny.project.config.write_text(tiny.project.config.read_text() + FROZEN)
    file = written(tiny, "frozen")
    planned = tiny.squall("plan", file)
    assert planned.code == 4
    assert "step mark: tiny.mark on data; restores; risk low: it restores, on the run's own copy" in planned.out
    assert "would be refused now: target tiny (lab) is frozen" in planned.out
    refused = tiny.squall("run", file, "--run-id", "refused", "--quiet")
    assert refused.code == 4
    assert "target tiny (lab) is frozen until 2100-01-01 00:00 Europe/Zurich: the century's end" in refused.err
    assert len(notes(tiny, "refused", RecordKind.RUN_REFUSED)) == 1
    passed = tiny.squall("run", file, "--run-id", "insisted", "--quiet", "--outside-window", "drill agreed with ops")
    assert passed.code == 0, passed.text
    with tiny.ledger() as ledger:
        (stored,) = ledger.records(run_id="insisted", kinds=[RecordKind.EXPERIMENT_REGISTERED])
    assert isinstance(stored.record.payload, Registered)
    plan = stored.record.payload.plan
    assert plan.overrides.outside_window == "drill agreed with ops"
    assert plan.requested_by == asker()
    possible = tiny.squall("plan", file, "--outside-window", "drill agreed with ops")
    assert possible.code == 0, possible.text
    assert "nothing refuses it now" in possible.out
    with tiny.ledger() as ledger:
        assert not [one for one in ledger.records() if one.record.run_id.startswith("plan-")]
