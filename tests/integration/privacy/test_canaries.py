"""Promise: whatever secret or row meets a run, it is in no record, log, notice, report, MLflow run or kept folder.

Canaries are planted where secrets and personal data really are; the workload prints them and dies quoting them.  Then
every byte that Squall has written is searched.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from chaos_tasks.model.record import Note, RecordKind
from tests.canaries import (
    IN_ANSWER,
    IN_CREDENTIALS,
    IN_HOOK,
    ROWS,
    SPILT,
    TRAIN,
    WORKLOAD_ENVIRONMENT,
    found_in,
)
from tests.tiny import Said, Tiny, end, make_tiny

HOOK = """
[notify.webhooks.chat]
url = "${HOOK_ADDRESS}"
tries = 1
timeout_s = 2.0
"""

WATCH = """\
guards:
  lease: 30s
  watch:
    - name: health
      probe: live.http
      params: {{url: "{url}", field: load}}
      tolerance: {{type: range, max: 5}}
      every: 200ms
"""


class _Answers(BaseHTTPRequestHandler):
    """A health endpoint that says too much."""

    def do_GET(self) -> None:
        body = json.dumps({"load": 1, "operator": IN_ANSWER}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        received = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.received.append(received)  # type: ignore[attr-defined]
        self.send_response(500 if b"unreverted" in received else 200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def endpoint() -> Iterator[ThreadingHTTPServer]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Answers)
    server.received = []  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    thread.join(5)
    server.server_close()


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory, endpoint: ThreadingHTTPServer) -> Iterator[tuple[Tiny, list[Said]]]:
    """A held run, one whose workload crashes, one that stays unreverted; each reported and published."""
    tiny = make_tiny(tmp_path_factory.mktemp("canaries") / "project", rows=ROWS)
    address = f"http://127.0.0.1:{endpoint.server_address[1]}"
    credentials = tiny.root.parent / "credentials.json"
    content = {"pipeline": {"access_key_id": "AKIAIOSFODNN7EXAMPLE", "secret_access_key": IN_CREDENTIALS}}
    credentials.write_text(json.dumps(content))
    credentials.chmod(0o600)
    mlflow = tiny.project.home / "mlflow"
    tiny.environment = {
        **SPILT,
        "HOOK_ADDRESS": f"{address}/services/{IN_HOOK}",
        "SQUALL_CREDENTIALS": str(credentials),
        "SQUALL_MLFLOW_URI": f"sqlite:///{mlflow}.db",
    }
    (tiny.root / "code" / "train.py").write_text(TRAIN)
    target = tiny.root / "targets" / "tiny.yaml"
    target.write_text(target.read_text().replace("  timeout: 60s\n", WORKLOAD_ENVIRONMENT))
    tiny.project.config.write_text(tiny.project.config.read_text() + HOOK)
    experiment = tiny.experiment()
    watch = WATCH.format(url=f"{address}/health")
    experiment.write_text(experiment.read_text().replace("guards: {lease: 30s}\n", watch))
    said = []
    for behaviour, code in (("well", 0), ("crash", 1), ("stuck", 5)):
        tiny.behave(behaviour)
        one = end(tiny.start("run", experiment, "--run-id", behaviour), timeout_s=180)
        assert one.code == code or (behaviour == "crash" and one.code in (1, 3)), one.text
        said += [one, tiny.squall("report", behaviour), tiny.squall("revert", behaviour), publish(tiny, behaviour)]
    said.append(tiny.squall("report", "--since", "2020-01-01"))
    said += [tiny.squall("status"), tiny.squall("audit", "verify")]
    yield tiny, said
    tiny.clean_up()


PUBLISH = """
import sys
from chaos_tasks.composition import build
with build() as squall:
    print(squall.engine.publish(sys.argv[1]))
"""


def publish(tiny: Tiny, run_id: str) -> Said:
    """Into MLflow, as the task `publish` does."""
    process = tiny.start_program("-c", PUBLISH, run_id)
    said = end(process, timeout_s=120)
    assert said.code == 0, said.text
    return said


def test_no_canary_is_in_any_byte_that_squall_wrote(ran: tuple[Tiny, list[Said]]) -> None:
    tiny, _ = ran
    searched = [path for path in tiny.project.home.rglob("*") if path.is_file() and not _is_data(path)]
    assert any(path.name == "ledger.db" for path in searched)
    assert any(path.name == "workload.log" for path in searched)
    assert any(path.suffix == ".html" for path in searched)
    assert any(path.name == "notices.jsonl" for path in searched)
    assert any(path.name == "mlflow.db" for path in searched)
    assert any(path.name == "ledger.jsonl" for path in searched), "MLflow's artifacts"
    leaks = {str(path.relative_to(tiny.project.home)): found_in(path.read_bytes()) for path in searched}
    assert {path: names for path, names in leaks.items() if names} == {}


def _is_data(path: Path) -> bool:
    """The clean checkouts that controls read, and the clone in which a fault is still in, are the data themselves."""
    return "checkouts" in path.parts or {"clone", "stuck"} <= set(path.parts)


def test_no_canary_is_on_the_screen_or_was_sent(ran: tuple[Tiny, list[Said]], endpoint: ThreadingHTTPServer) -> None:
    _, said = ran
    for one in said:
        assert found_in(one.text.encode()) == [], one.text
    received: list[bytes] = endpoint.received  # type: ignore[attr-defined]
    assert received, "the webhook was told nothing, so nothing is shown"
    for body in received:
        assert found_in(body) == []


def test_the_workload_printed_them_and_its_log_says_where(ran: tuple[Tiny, list[Said]]) -> None:
    """Without this the search would pass because nothing was planted."""
    tiny, _ = ran
    logs = [path.read_text() for path in (tiny.project.home / "runs").rglob("workload.log")]
    assert logs
    assert all("password is [redacted: known_secret]" in text for text in logs)
    assert all("step 5" in text for text in logs)


def test_an_erased_payload_is_gone_from_the_file_and_the_log_still_verifies(ran: tuple[Tiny, list[Said]]) -> None:
    tiny, _ = ran
    with tiny.ledger() as ledger:
        plan = next(ledger.records(run_id="well", kinds=[RecordKind.EXPERIMENT_REGISTERED]))
        before = ledger.head()
    owner = b'"type":"registered"'
    wanted = [plan.seq]
    assert any(owner in (row or b"") for row in _payloads(tiny, wanted))
    said = tiny.squall("audit", "erase", str(plan.seq), "--reason", "asked for by its owner", "--yes")
    assert said.code == 0, said.text
    assert _payloads(tiny, wanted) == [None]
    with tiny.ledger() as ledger:
        (record,) = ledger.records(run_id="well", kinds=[RecordKind.PAYLOAD_ERASED])
        after = ledger.head()
        proof = ledger.consistency_proof(before.size, after.size)
    assert isinstance(record.record.payload, Note)
    facts = record.record.payload.facts
    assert (facts["seq"], facts["reason"]) == (plan.seq, "asked for by its owner")
    assert facts["by"]
    from chaos_tasks.ledger import merkle

    assert merkle.verify_consistency(before.size, after.size, before.root, after.root, proof)
    verified = tiny.squall("audit", "verify", "--no-views", "--require", "integrity", "--require", "order")
    assert verified.code == 0, verified.text
    again = tiny.squall("audit", "erase", str(plan.seq), "--reason", "again", "--yes")
    assert "0 records" in again.out


def _payloads(tiny: Tiny, seqs: list[int]) -> list[bytes | None]:
    with sqlite3.connect(f"file:{tiny.project.home}/ledger.db?mode=ro", uri=True) as connection:
        marks = ",".join("?" * len(seqs))
        found = connection.execute(f"SELECT payload FROM squall_record WHERE seq IN ({marks})", seqs).fetchall()
    connection.close()
    return [row[0] for row in found]


def test_a_secret_written_into_a_target_file_is_refused_before_anything_starts(ran: tuple[Tiny, list[Said]]) -> None:
    tiny, _ = ran
    target = tiny.root / "targets" / "tiny.yaml"
    kept = target.read_text()
    target.write_text(kept.replace('"${STREAM_URL}"', '"redis://:hunter2hunter2@127.0.0.1/0"'))
    try:
        said = tiny.squall("run", tiny.root / "tiny.yaml", "--run-id", "refused")
    finally:
        target.write_text(kept)
    assert said.code == 2, said.text
    assert "looks like a secret (uri password)" in said.err
    assert "hunter2" not in said.text
    with tiny.ledger() as ledger:
        assert not list(ledger.records(run_id="refused", kinds=[RecordKind.EXPERIMENT_REGISTERED]))
