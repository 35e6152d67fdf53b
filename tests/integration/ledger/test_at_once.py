"""An append in one round trip on PostgreSQL: the log that the long way makes, on the disk before it is acknowledged."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import psycopg
import pytest

from chaos_tasks.errors import IdempotencyConflict, LedgerError
from chaos_tasks.ledger import DatabaseLedger, merkle, open_ledger
from chaos_tasks.ledger.verify import verify
from tests.ledger_samples import note

SECRET = "password=correcthorse"  # has a record take the long way, and one more say so


@pytest.fixture
def log(pg_dsn: str) -> Iterator[DatabaseLedger]:
    opened = open_ledger(pg_dsn)
    yield opened
    opened.close()


@pytest.fixture
def looking(pg_dsn: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(pg_dsn, autocommit=True) as connection:
        yield connection


def position(looking: psycopg.Connection, of: str) -> int:
    """Bytes of the server's log that were written, or that are on the disk."""
    row = looking.execute(f"SELECT pg_current_wal_{of}_lsn() - '0/0'::pg_lsn".encode()).fetchone()
    assert row is not None
    return int(row[0])


def test_both_ways_make_one_tree(log: DatabaseLedger) -> None:
    for n in range(70):
        log.append(note(f"k{n}", text=SECRET if n % 5 == 0 else "plain"))
    rows = list(log.raw_rows())
    assert [row.seq for row in rows] == list(range(70 + 14))
    frontier = tuple[bytes, ...]()
    for row in rows:
        frontier, _ = merkle.push(frontier, row.seq, row.leaf)
    assert log.head() == (len(rows), merkle.root_of(frontier))
    assert verify(log).integrity.ok
    assert verify(log).integrity.ok


def test_what_is_acknowledged_is_on_the_disk(log: DatabaseLedger, looking: psycopg.Connection, pg_dsn: str) -> None:
    """Also when it was another who wrote it, and when a head is read to be signed."""
    other = open_ledger(pg_dsn)
    for n in range(20):
        acts: list[Callable[[], object]] = [partial(one.append, note(f"k{n}")) for one in (log, other)]
        for act in (*acts, other.head):
            before = position(looking, "insert")
            act()
            assert position(looking, "flush") > before
    other.close()
    assert log.size() == 20


def test_a_key_is_written_once_whichever_way_it_comes(log: DatabaseLedger) -> None:
    first = log.append(note("k", text="plain"))
    assert log.append(note("k", text="plain")) == first
    with pytest.raises(IdempotencyConflict):
        log.append(note("k", text="other"))
    hidden = log.append(note("s", text=SECRET))
    assert log.append(note("s", text=SECRET)) == hidden
    assert log.size() == 3


def test_a_damaged_head_is_named_and_nothing_is_written(log: DatabaseLedger, looking: psycopg.Connection) -> None:
    log.append(note("k"))
    looking.execute("UPDATE squall_head SET frontier = '\\x00'")
    with pytest.raises(LedgerError, match="head of the ledger is missing or damaged"):
        log.append(note("next"))
    assert log.size() == 1
