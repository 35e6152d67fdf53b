"""The line before the locks: first come, first served among runs that want the same; a waiter that died blocks nobody.

A place in the line is a ticket with a lease.  It is kept when the lease runs out, so that a waiter that comes back goes
on where it stood, but until then it is passed over.  Waiters hold nothing, hence no two can wait for each other.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from chaos_tasks.ledger.database import Database, Row, Session
from chaos_tasks.ledger.lock_keys import conflict
from chaos_tasks.model.plan import Lock
from chaos_tasks.model.waiting import Waiting

FORGOTTEN_AFTER_MS = 24 * 3_600_000
_COLUMNS = "run_id, ticket, since, lease_until, lock_key, exclusive"
_IN_ORDER = f"SELECT {_COLUMNS} FROM squall_queue ORDER BY ticket, lock_key"


class Ticket(NamedTuple):
    """A place in the line."""

    run_id: str
    number: int
    since_ms: int
    lease_until_ms: int
    locks: tuple[Lock, ...]


def find(session: Session, run_id: str) -> Ticket | None:
    """The place of a run, whether or not its lease is over."""
    rows = session.rows(f"SELECT {_COLUMNS} FROM squall_queue WHERE run_id = ? ORDER BY lock_key", run_id)
    found = _tickets(rows)
    return found[0] if found else None


def before(session: Session, run_id: str, wanted: Sequence[Lock], *, now_ms: int) -> list[Ticket]:
    """Living waiters that came earlier and want the same, in order; for a run without a place, all that do."""
    earlier = list[Ticket]()
    for ticket in in_order(session):
        if ticket.run_id == run_id:
            break
        if ticket.lease_until_ms > now_ms and wants_the_same(ticket, wanted):
            earlier.append(ticket)
    return earlier


def in_order(session: Session) -> list[Ticket]:
    """Every place, whether or not its lease is over."""
    return _tickets(session.rows(_IN_ORDER))


def wants_the_same(ticket: Ticket, wanted: Sequence[Lock]) -> bool:
    """Whether one of the two has to wait for the other."""
    return any(conflict(one, other) for one in wanted for other in ticket.locks)


def stand(session: Session, run_id: str, wanted: Sequence[Lock], *, now_ms: int, until_ms: int) -> Ticket:
    """Take a place at the end, or keep the one that the run has; what it wants may have changed."""
    session.write("DELETE FROM squall_queue WHERE lease_until < ?", now_ms - FORGOTTEN_AFTER_MS)
    known = find(session, run_id)
    number, since_ms = (known.number, known.since_ms) if known else (_next_number(session), now_ms)
    leave(session, run_id)
    for lock in wanted:
        session.write(
            f"INSERT INTO squall_queue ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?)",
            *(run_id, number, since_ms, until_ms, lock.key, int(lock.exclusive)),
        )
    return Ticket(run_id, number, since_ms, until_ms, tuple(wanted))


def keep(session: Session, run_ids: Collection[str], *, until_ms: int) -> None:
    """Extend the leases of places."""
    if run_ids:
        marks = ", ".join("?" * len(run_ids))
        session.write(f"UPDATE squall_queue SET lease_until = ? WHERE run_id IN ({marks})", until_ms, *run_ids)


def leave(session: Session, run_id: str) -> None:
    """Give the place up."""
    session.write("DELETE FROM squall_queue WHERE run_id = ?", run_id)


def waiting(database: Database) -> list[Waiting]:
    """The whole line, in order."""
    return [
        Waiting(
            run_id=one.run_id, since=_moment(one.since_ms), lease_until=_moment(one.lease_until_ms), locks=one.locks
        )
        for one in _tickets(database.read(_IN_ORDER))
    ]


def _next_number(session: Session) -> int:
    """The writers' turn is held, so that no two runs get the same one."""
    row = session.row("SELECT COALESCE(MAX(ticket), 0) + 1 FROM squall_queue")
    return int(row[0]) if row else 1


def _tickets(rows: Iterable[Row]) -> list[Ticket]:
    found: dict[str, Ticket] = {}
    for run_id, number, since_ms, until_ms, key, exclusive in rows:
        earlier = found[run_id].locks if run_id in found else ()
        lock = Lock(key=key, exclusive=bool(exclusive))
        found[run_id] = Ticket(run_id, int(number), int(since_ms), int(until_ms), (*earlier, lock))
    return list(found.values())


def _moment(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)
