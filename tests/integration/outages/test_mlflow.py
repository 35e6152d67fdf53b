"""MLflow freezes: a run is judged without it, and shown there later."""

from __future__ import annotations

import json
import shutil
import signal
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from chaos_tasks.lab import mlflow_server, processes
from chaos_tasks.lab.mlflow_server import MlflowServer
from chaos_tasks.lab.ports import LabPorts
from chaos_tasks.model.record import RecordKind
from chaos_tasks.runs import Run
from tests.integration.outages.laboratory import Outages, make_outages
from tests.servers import make_short_folder
from tests.tiny import Said, end

PUBLISH = '''\
"""What the task `publish` of a DAG does."""
import sys
from chaos_tasks.composition import build
from chaos_tasks.errors import SquallError
with build() as squall:
    try:
        print(squall.engine.publish(sys.argv[1]))
    except SquallError as error:
        sys.exit(str(error))
'''


class Server:
    """An MLflow server that is frozen, and goes on."""

    def __init__(self, folder: Path) -> None:
        port = LabPorts.free().mlflow
        database, artifacts = f"sqlite:///{folder}/mlflow.db", folder / "artifacts"
        self.running: MlflowServer = mlflow_server.start(folder / "server", port, database, artifacts, owner=folder)

    def freeze(self) -> None:
        self._send(signal.SIGSTOP)

    def thaw(self) -> None:
        self._send(signal.SIGCONT)

    def kill(self) -> None:
        self._send(signal.SIGKILL)
        processes.stop(self.running.daemon)

    def _send(self, what: signal.Signals) -> None:
        for member in processes.group_members(self.running.daemon.identity):
            member.send(what)

    def tags(self, page: str) -> dict[str, str]:
        """What the server says of the run on this page."""
        asked = f"{self.running.url}/api/2.0/mlflow/runs/get?run_id={page.rpartition('/')[2]}"
        with urllib.request.urlopen(asked, timeout=30) as answer:  # a loopback address
            tags = json.load(answer)["run"]["data"]["tags"]
        return {tag["key"]: tag["value"] for tag in tags}


@pytest.fixture
def server() -> Iterator[Server]:
    folder = make_short_folder()
    made = Server(folder)
    yield made
    made.kill()
    processes.end_strays(folder)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def built(server: Server, tmp_path: Path) -> Iterator[Outages]:
    outages = make_outages(tmp_path / "project")
    outages.tiny.environment = {"SQUALL_MLFLOW_URI": server.running.url}
    (outages.tiny.root / "publish.py").write_text(PUBLISH)
    yield outages
    outages.tiny.end_started()
    outages.tiny.clean_up()


def publish(built: Outages, run_id: str) -> Said:
    said = end(built.tiny.start_program(built.tiny.root / "publish.py", run_id), timeout_s=120)
    assert "Traceback" not in said.text, said.text
    return said


def test_a_run_is_judged_while_mlflow_is_frozen_and_shown_once_it_answers(built: Outages, server: Server) -> None:
    run = built.wait_under_fault("unseen")
    mlflow_server.await_ready(server.running)
    server.freeze()
    built.go_on()
    said = built.ended(run)
    assert built.put_right("unseen") == "held"
    assert said.code == 0

    frozen = publish(built, "unseen")
    assert frozen.code == 1
    assert f"MLflow at {server.running.url} cannot be written: timed out" in frozen.err, frozen.text
    assert "publish again" in frozen.err
    assert "the outcome stands" in frozen.err

    server.thaw()
    shown = publish(built, "unseen")
    assert shown.code == 0, shown.text
    assert server.tags(shown.out.strip())["squall.run_id"] == "unseen"
    with built.tiny.ledger() as ledger:
        assert len(Run(ledger, "unseen").stored(RecordKind.RUN_PUBLISHED)) == 1, "what failed is not on record as done"
    assert built.put_right("unseen") == "held"
