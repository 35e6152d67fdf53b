"""Many processes, killed processes, dead servers and full disks: nothing is lost, doubled or torn."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psycopg
import pytest

from chaos_tasks.errors import LedgerError, SetupError
from chaos_tasks.lab import postgres, processes
from chaos_tasks.ledger import DatabaseLedger, open_ledger
from chaos_tasks.ledger.verify import verify
from chaos_tasks.model.record import RecordKind
from tests.ledger_samples import armed, handle, note

WRITERS, RECORDS = 4, 60


@contextmanager
def writer(url: str, name: str, records: int) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "tests.integration.ledger.writer", url, name, str(records)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def keys(ledger: DatabaseLedger) -> Counter[str]:
    return Counter(stored.record.idem_key for stored in ledger.records())


def test_four_processes_lose_and_double_nothing(url: str) -> None:
    with ExitStack() as stack:
        running = [stack.enter_context(writer(url, f"w{n}", RECORDS)) for n in range(WRITERS)]
        said = [process.communicate(timeout=120)[0] for process in running]
        assert [process.returncode for process in running] == [0] * WRITERS
    assert all(len(lines.split()) == RECORDS for lines in said)
    ledger = open_ledger(url)
    assert keys(ledger) == Counter(f"w{n}/{i}" for n in range(WRITERS) for i in range(RECORDS))
    assert [stored.seq for stored in ledger.records()] == list(range(WRITERS * RECORDS))
    assert verify(ledger).ok
    ledger.close()


def test_a_killed_writer_loses_nothing_it_was_told_is_written(url: str) -> None:
    acknowledged: set[str] = set()
    for round_ in range(3):
        with writer(url, f"w{round_}", 0) as process:
            assert process.stdout is not None
            for _ in range(10 + 7 * round_):
                acknowledged.add(f"w{round_}/{process.stdout.readline().strip()}")
            process.kill()
            acknowledged.update(f"w{round_}/{line.strip()}" for line in process.stdout if line.endswith("\n"))
    ledger = open_ledger(url)
    found = keys(ledger)
    assert acknowledged <= set(found)
    assert set(found.values()) == {1}
    assert verify(ledger).integrity.ok
    ledger.append(note("w0/0", run_id="w0"))  # a repeat after the crash
    assert keys(ledger) == found
    ledger.close()


def test_threads_share_one_ledger(ledger: DatabaseLedger) -> None:
    def write(name: str) -> None:
        for n in range(20):
            ledger.append(note(f"{name}/{n}"))
            ledger.renew("run-1", lease_s=60)

    threads = [threading.Thread(target=write, args=(f"t{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(keys(ledger).values()) == 80
    assert verify(ledger).ok


def test_a_forked_child_does_not_disturb_its_parent(ledger: DatabaseLedger) -> None:
    ledger.append(note("before"))
    child = os.fork()
    if child == 0:
        try:
            ledger.append(note("child"))
            ledger.close()
        finally:
            os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    ledger.append(note("after"))
    assert sorted(keys(ledger)) == ["after", "before", "child"]


def test_opening_at_once_makes_the_tables_once(url: str) -> None:
    failures: list[Exception] = []

    def open_it() -> None:
        try:
            open_ledger(url).close()
        except Exception as error:  # noqa: BLE001  collected for the assertion
            failures.append(error)

    threads = [threading.Thread(target=open_it) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_a_firing_is_won_by_one_of_many(url: str) -> None:
    first = open_ledger(url)
    first.arm(handle(), armed(handle()), lease_s=60)
    won: list[bool] = []

    def claim() -> None:
        mine = open_ledger(url)
        won.append(mine.claim("h1", 0, note("claim", kind=RecordKind.TRIGGER_CLAIMED, handle_id="h1")))
        mine.close()

    threads = [threading.Thread(target=claim) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(won) == [False] * 7 + [True]
    first.close()


def test_a_dropped_session_is_made_again(pg_dsn: str) -> None:
    ledger = open_ledger(pg_dsn)
    ledger.append(note("before"))
    end_sessions(pg_dsn)
    assert list(keys(ledger)) == ["before"]
    end_sessions(pg_dsn)
    ledger.append(note("after"))
    assert len(keys(ledger)) == 2
    ledger.close()


def end_sessions(dsn: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as admin:
        admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'squall-ledger'")


def test_a_dead_server_is_named_with_a_remedy(short_folder: Path) -> None:
    server = postgres.start(short_folder / "pg", databases=(), durable=True, owner=short_folder)
    dsn = postgres.create_database(server, "ledger")
    ledger = open_ledger(dsn)
    ledger.append(note("before"))
    processes.stop(server.daemon)
    with pytest.raises((SetupError, LedgerError), match="ledger") as caught:
        ledger.append(note("during"))
    assert caught.value.remedy
    with pytest.raises(SetupError, match="no ledger server answers"):
        open_ledger(dsn)


def test_a_full_disk_is_named_and_leaves_the_ledger_whole(tmp_path: Path) -> None:
    ledger = open_ledger(f"sqlite:///{tmp_path}/l.db")
    ledger.append(note("before"))
    pages = int(ledger._database.read("PRAGMA page_count")[0][0])
    ledger._database.read(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(LedgerError, match="disk is full"):
        ledger.append(note("big", text="x" * 100_000))
    assert list(keys(ledger)) == ["before"]
    assert verify(ledger).ok
    ledger.close()


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("sqlite://nowhere", "names no ledger file"),
        ("sqlite:///:memory:", "names no ledger file"),
        ("mysql://x/y", "no database that Squall knows"),
        ("postgresql://nobody:hush@127.0.0.1:1/none", "no ledger server answers"),
        ("postgresql://%zz", "no ledger server answers"),
        ("sqlite:////dev/null/x.db", "cannot be made"),
    ],
)
def test_a_bad_url_says_what_to_write(url: str, words: str) -> None:
    with pytest.raises(SetupError, match=words) as caught:
        open_ledger(url)
    assert caught.value.remedy
    assert "hush" not in str(caught.value)


def test_a_file_that_is_no_ledger_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.db").write_text("these are my notes, not a database" * 40)
    with pytest.raises(SetupError, match="not a SQLite file"):
        open_ledger(f"sqlite:///{tmp_path}/notes.db")


def test_tables_of_a_newer_squall_are_refused(tmp_path: Path) -> None:
    open_ledger(f"sqlite:///{tmp_path}/l.db").close()
    connection = sqlite3.connect(tmp_path / "l.db")
    connection.execute("UPDATE squall_head SET version = 99")
    connection.commit()
    connection.close()
    with pytest.raises(SetupError, match="version 99"):
        open_ledger(f"sqlite:///{tmp_path}/l.db")


def test_a_wal_ledger_is_switched_back(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "l.db")
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("CREATE TABLE other (x)")
    connection.close()
    ledger = open_ledger(f"sqlite:///{tmp_path}/l.db")
    assert ledger._database.read("PRAGMA journal_mode") == [("delete",)]
    ledger.close()


def test_a_copy_of_the_file_verifies(tmp_path: Path) -> None:
    ledger = open_ledger(f"sqlite:///{tmp_path}/l.db")
    ledger.append(note("k"))
    root = ledger.head().root.hex()
    ledger.close()
    shutil.copy(tmp_path / "l.db", tmp_path / "copy.db")
    copy = open_ledger(f"sqlite:///{tmp_path}/copy.db")
    assert verify(copy).root_sha256 == root
    copy.close()
