"""A frozen PostgreSQL keeps nobody waiting beyond what a lease allows and loses no record; a busy one is waited for."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import psutil
import psycopg
import pytest

from chaos_tasks.errors import LedgerError, SetupError, SquallError
from chaos_tasks.lab import postgres, processes
from chaos_tasks.lab.postgres import Postgres
from chaos_tasks.ledger import DatabaseLedger, open_ledger
from chaos_tasks.ledger.at_once import WRITER_LOCK
from chaos_tasks.ledger.postgres import CONNECT_TIMEOUT_S
from chaos_tasks.ledger.silence import QUIET_S, SHORTEST_S
from chaos_tasks.ledger.verify import verify
from tests.integration.outages.frozen import frozen
from tests.ledger_samples import note
from tests.servers import make_short_folder, unique

LEASE_S = 10.0
MARGIN_S = 6.0  # what a busy machine takes for two seconds of connecting, and the rest


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    folder = make_short_folder()
    made = postgres.start(folder / "pg", databases=(), durable=False, owner=folder)
    yield made
    processes.stop(made.daemon)
    processes.end_strays(folder)


@pytest.fixture
def url(server: Postgres) -> str:
    return postgres.create_database(server, unique("frozen").replace("-", "_"))


@pytest.fixture
def ledger(url: str) -> Iterator[DatabaseLedger]:
    made = open_ledger(url)
    made.acquire("run", (), lease_s=LEASE_S)
    yield made
    made.close()


def refused(act: Callable[[], object]) -> tuple[float, SquallError]:
    """How long it took to be refused, and how."""
    began = time.monotonic()
    with pytest.raises((LedgerError, SetupError)) as caught:
        act()
    return time.monotonic() - began, caught.value


def test_a_frozen_server_is_given_up_in_time_and_what_it_was_sent_is_written_once(
    ledger: DatabaseLedger, server: Postgres
) -> None:
    ledger.append(note("before"))
    with frozen(server):
        took_s, error = refused(lambda: ledger.append(note("k", text="plain")))
        assert SHORTEST_S <= took_s < LEASE_S + MARGIN_S
        assert "does not answer" in error.message or "no ledger server answers" in error.message
        assert error.remedy
        took_s, _ = refused(lambda: ledger.renew("run", lease_s=LEASE_S))
        assert took_s < 1, "an undo makes many calls, and does not wait for each"
    time.sleep(QUIET_S)
    ledger.append(note("k", text="plain"))
    assert ledger.size() == 2, "by the server when it went on, or now"
    assert verify(ledger).integrity.ok


def test_a_server_that_is_frozen_at_first_is_named_within_the_time_of_a_connection(url: str, server: Postgres) -> None:
    with frozen(server):
        took_s, error = refused(lambda: open_ledger(url))
    assert took_s < CONNECT_TIMEOUT_S + MARGIN_S
    assert isinstance(error, SetupError)
    assert "no ledger server answers" in error.message


def test_where_one_session_alone_is_stuck_another_one_is_made(ledger: DatabaseLedger, url: str) -> None:
    """A stuck disk, or a stopped process of the server, whose postmaster goes on."""
    ledger.append(note("before"))
    with psycopg.connect(url) as connection:
        row = connection.execute("SELECT pid FROM pg_stat_activity WHERE application_name = 'squall-ledger'").fetchone()
    assert row is not None
    stuck = psutil.Process(row[0])
    stuck.suspend()
    try:
        assert ledger.size() == 1
    finally:
        stuck.resume()


def test_whoever_stands_in_line_at_a_living_server_is_not_cut_off(ledger: DatabaseLedger, url: str) -> None:
    beside = open_ledger(url)
    with psycopg.connect(url) as busy, ThreadPoolExecutor(1) as aside:
        busy.execute(f"SELECT pg_advisory_lock({WRITER_LOCK})".encode())
        session = ledger._database._connection
        waiting = aside.submit(ledger.append, note("k", text="plain"))
        until = time.monotonic() + SHORTEST_S + 3
        while time.monotonic() < until:
            assert beside.size() == 0  # the process hears of the server
            time.sleep(0.2)
        assert not waiting.done()
        busy.execute(f"SELECT pg_advisory_unlock({WRITER_LOCK})".encode())
        waiting.result(10)
    assert ledger._database._connection is session, "it kept its place in line"
    beside.close()
