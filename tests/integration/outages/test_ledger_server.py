"""The ledger's PostgreSQL goes away while a fault is in: the fault goes out, and no record is lost."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from chaos_tasks.lab import postgres, processes
from chaos_tasks.lab.postgres import Postgres
from tests.integration.outages.laboratory import Outages, make_outages
from tests.servers import make_short_folder


class Server:
    """A PostgreSQL that is stopped, crashed and started again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.running: Postgres = self.start()

    def start(self) -> Postgres:
        self.running = postgres.start(self.folder / "pg", databases=("ledger",), owner=self.folder)
        return self.running

    def stop(self, how: signal.Signals) -> None:
        """SIGINT is PostgreSQL's fast shutdown, SIGQUIT its immediate one, which is a crash."""
        processes.stop(self.running.daemon.model_copy(update={"stop_signal": int(how)}))


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    folder = make_short_folder()
    made = Server(folder)
    yield made
    processes.stop(made.running.daemon)
    processes.end_strays(folder)


@pytest.fixture(scope="module")
def built(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outages]:
    outages = make_outages(tmp_path_factory.mktemp("pg") / "project")
    outages.tiny.environment = {"SQUALL_LEDGER_URL": server.running.dsn("ledger")}
    yield outages
    outages.tiny.clean_up()


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT], ids=["fast restart", "crash"])
def test_a_ledger_that_is_back_within_seconds_costs_the_run_nothing(
    built: Outages, server: Server, how: signal.Signals
) -> None:
    run_id = f"restarted-{how.name.lower()}"
    run = built.wait_under_fault(run_id)
    server.stop(how)
    server.start()
    built.go_on()
    said = built.ended(run)
    assert built.put_right(run_id) == "held"
    assert said.code == 0


def test_a_ledger_that_stays_away_has_the_fault_taken_out_and_the_rest_recorded_later(
    built: Outages, server: Server
) -> None:
    run = built.wait_under_fault("away", lease="20s")
    server.stop(signal.SIGINT)
    try:
        built.go_on()
        said = built.ended(run)
        assert not built.tiny.project.marks(), "undone without a record"
        assert said.code == 3
        assert "has been undone, without a record" in said.err
        assert "-> bring the ledger back" in said.err
    finally:
        server.start()
    built.swept("away")
    closed = built.tiny.squall("run", built.tiny.experiment("tiny"), "--run-id", "away", "--quiet")
    assert closed.code == 4, closed.text
    assert built.put_right("away") == "aborted"
