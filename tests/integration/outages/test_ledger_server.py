"""The ledger's PostgreSQL goes away while a fault is in: the fault goes out, and no record is lost."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from chaos_tasks.lab import postgres, processes
from chaos_tasks.lab.postgres import Postgres
from tests.integration.outages.frozen import frozen
from tests.integration.outages.laboratory import Outages, make_outages
from tests.servers import make_short_folder
from tests.tiny import until

LEASE_S = 10
MARGIN_S = 20.0  # to end the trial and to undo, and two connections that nobody takes, on a busy machine
PAUSE = '{name: pause, fault: process.pause, target: workload, trigger: {at: log, pattern: "^waits"}, hold: 5m}'


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
    assert built.closed_later("away") == "aborted"


def workload(built: Outages) -> psutil.Process | None:
    """The trial that waits under the fault."""
    script = str(built.tiny.root / "code" / "train.py")
    for process in psutil.process_iter(["cmdline"]):
        told = process.info["cmdline"] or []
        if script in told and any("treatment" in word for word in told):
            return process
    return None


def is_paused(built: Outages) -> bool:
    """Whether it was stopped."""
    found = workload(built)
    return found is not None and found.status() == psutil.STATUS_STOPPED


@pytest.mark.parametrize("during", [False, True], ids=["before the workload", "during it"])
def test_a_frozen_ledger_has_the_fault_taken_out_with_the_lease_and_the_rest_recorded_once_it_goes_on(
    built: Outages, server: Server, during: bool
) -> None:
    """Its kernel answers for it, so that no connection breaks."""
    run_id = f"frozen-{'during' if during else 'before'}"

    def paused() -> bool:
        until(lambda: is_paused(built), "the pause")
        return True

    lease, method = f"{LEASE_S}s", PAUSE if during else ""
    run = built.wait_under_fault(run_id, lease=lease, marks=paused if during else None, method=method)
    began = time.monotonic()
    with frozen(server.running):
        until(lambda: workload(built) is None, "the end of the trial", timeout_s=LEASE_S + MARGIN_S)
        said = built.ended(run)
        took_s = time.monotonic() - began
        assert not built.tiny.project.marks(), "undone without a record"
        assert took_s < LEASE_S + MARGIN_S
        assert said.code == 3, said.text
        assert "has been undone, without a record" in said.err
        assert "-> bring the ledger back" in said.err
    assert built.closed_later(run_id) == "aborted"
