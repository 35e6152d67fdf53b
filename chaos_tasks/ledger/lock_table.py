"""Locks on hierarchical keys, held by runs: exclusive for what a fault touches, shared for what a workload reads.

All or none, in the order of arrival: who wants what somebody else holds, or came earlier for, stands in line.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from chaos_tasks.errors import TargetBusy
from chaos_tasks.ledger import lock_queue
from chaos_tasks.ledger.database import Session
from chaos_tasks.ledger.lock_keys import conflict, related, strongest
from chaos_tasks.model.handle import OPEN_PHASES, Phase, how_to_free
from chaos_tasks.model.plan import Lock


class Held(NamedTuple):
    """A lock of some run."""

    key: str
    run_id: str
    exclusive: bool
    since_ms: int
    lease_until_ms: int


def acquire(session: Session, run_id: str, locks: Sequence[Lock], *, until_ms: int, now_ms: int) -> int:
    """Take all locks or none; returns the milliseconds that the run stood in line; raises TargetBusy.

    A run that lost locks to its expired lease is no longer fenced once it has all of them again; one whose handles
    were taken over stays fenced.
    """
    wanted = strongest(locks)
    ending = _refuse_unless_free(session, run_id, wanted, now_ms)
    for loser in sorted({holder.run_id: holder for holder in sorted(ending, reverse=True)}.values()):
        _dispossess(session, loser, now_ms)
    if not _is_taken_over(session, run_id):
        session.write("DELETE FROM squall_fence WHERE run_id = ?", run_id)
    for lock in wanted:
        session.write(
            "INSERT INTO squall_lock (lock_key, run_id, exclusive, since, lease_until) VALUES (?, ?, ?, ?, ?) "
            "ON CONFLICT (lock_key, run_id) DO UPDATE SET lease_until = excluded.lease_until, "
            "exclusive = CASE WHEN squall_lock.exclusive > excluded.exclusive THEN squall_lock.exclusive "
            "ELSE excluded.exclusive END",
            *(lock.key, run_id, int(lock.exclusive), now_ms, until_ms),
        )
    place = lock_queue.find(session, run_id)
    lock_queue.leave(session, run_id)
    return now_ms - place.since_ms if place else 0


def may_wait(session: Session, run_id: str, now_ms: int) -> bool:
    """A run that holds something already never stands in line: two such could wait for each other."""
    return not any(_binds(session, holder, now_ms) for holder in _held(session, run_id))


def whose_turn(session: Session, run_ids: Collection[str], *, now_ms: int) -> frozenset[str]:
    """Which of these runs could take what they stand in line for, or have no place in it.

    The line is read once however many ask, and only who is the first for something looks at who holds it.
    """
    living = list[lock_queue.Ticket]()
    turn, asking = set(run_ids), frozenset(run_ids)
    for ticket in lock_queue.in_order(session):
        waits = ticket.run_id in asking and (
            any(lock_queue.wants_the_same(earlier, ticket.locks) for earlier in living)
            or not _is_free(session, ticket, now_ms)
        )
        if waits:
            turn.discard(ticket.run_id)
        if ticket.lease_until_ms > now_ms:
            living.append(ticket)
    return frozenset(turn)


def _is_free(session: Session, ticket: lock_queue.Ticket, now_ms: int) -> bool:
    """Whether nobody holds what a waiter wants."""
    try:
        _refuse_while_held(session, ticket.run_id, ticket.locks, now_ms)
    except TargetBusy as busy:
        return not busy.passes  # waiting longer does not help: let the run hear it
    return True


def is_free(session: Session, run_id: str, locks: Sequence[Lock], *, now_ms: int) -> bool:
    """Whether a run that stands in no line could take these locks now."""
    try:
        _refuse_unless_free(session, run_id, locks, now_ms)
    except TargetBusy:
        return False
    return True


def release(session: Session, run_id: str) -> None:
    """Give back all locks of a run, and its place in line.  Its open handles go on blocking their places."""
    session.write("DELETE FROM squall_lock WHERE run_id = ?", run_id)
    lock_queue.leave(session, run_id)


def fence(session: Session, run_id: str, reason: str) -> None:
    """From now on the run may not renew."""
    session.write(
        "INSERT INTO squall_fence (run_id, reason) VALUES (?, ?) "
        "ON CONFLICT (run_id) DO UPDATE SET reason = excluded.reason",
        *(run_id, reason),
    )


def _refuse_unless_free(session: Session, run_id: str, wanted: Sequence[Lock], now_ms: int) -> set[Held]:
    """Locks of the dead that the run may take away; raises TargetBusy while anything else is in the way."""
    in_the_way = _refuse_while_held(session, run_id, wanted, now_ms)
    if may_wait(session, run_id, now_ms):
        for ticket in lock_queue.before(session, run_id, wanted, now_ms=now_ms):
            raise _not_its_turn(ticket, wanted)
    return in_the_way


def _refuse_while_held(session: Session, run_id: str, wanted: Sequence[Lock], now_ms: int) -> set[Held]:
    _refuse_open_handles(session, run_id, wanted)
    in_the_way = _in_the_way(session, run_id, wanted)
    for holder in sorted(in_the_way):
        if _binds(session, holder, now_ms):
            raise _busy(session, holder, now_ms)
    return in_the_way


def _in_the_way(session: Session, run_id: str, wanted: Sequence[Lock]) -> set[Held]:
    return {
        holder
        for holder in _held(session)
        for lock in wanted
        if holder.run_id != run_id and conflict(lock, Lock(key=holder.key, exclusive=holder.exclusive))
    }


def _held(session: Session, run_id: str | None = None) -> list[Held]:
    condition, told = ("", ()) if run_id is None else ("WHERE run_id = ?", (run_id,))
    rows = session.rows(f"SELECT lock_key, run_id, exclusive, since, lease_until FROM squall_lock {condition}", *told)
    return [Held(key, owner, bool(exclusive), int(since), int(until)) for key, owner, exclusive, since, until in rows]


def _binds(session: Session, holder: Held, now_ms: int) -> bool:
    """Whether a lock still counts: its lease is not over, or its run has something left to put back."""
    return holder.lease_until_ms > now_ms or _has_open_handle(session, holder.run_id)


def _refuse_open_handles(session: Session, run_id: str, wanted: Sequence[Lock]) -> None:
    """A place that another run has not put back is held even when the lock is gone."""
    marks = ", ".join("?" * len(OPEN_PHASES))
    rows = session.rows(
        f"SELECT id, run_id, place_key, phase, changed_at FROM squall_handle "
        f"WHERE phase IN ({marks}) AND run_id <> ? ORDER BY id",
        *(phase.value for phase in sorted(OPEN_PHASES)),
        run_id,
    )
    for handle_id, owner, place_key, phase, changed_at in rows:
        for lock in wanted:
            if related(lock.key, place_key):
                raise TargetBusy(
                    f"{lock.key!r} is blocked by handle {handle_id!r} of run {owner!r}, "
                    f"{phase} since {_utc(int(changed_at))}",
                    remedy=how_to_free(handle_id, phase),
                    passes=phase != Phase.UNREVERTED.value,
                )


def _busy(session: Session, holder: Held, now_ms: int) -> TargetBusy:
    kind = "exclusively" if holder.exclusive else "for reading"
    over = holder.lease_until_ms <= now_ms
    stuck = session.row(
        "SELECT id FROM squall_handle WHERE run_id = ? AND phase = ? ORDER BY id LIMIT 1",
        *(holder.run_id, Phase.UNREVERTED.value),
    )
    lease = "its lease is over but it has open handles" if over else f"its lease ends {_utc(holder.lease_until_ms)}"
    remedy = (
        f"wait, or `squall sweep` (run {holder.run_id!r} is dead)" if over else "wait until that run ends, or stop it"
    )
    if stuck is not None:
        remedy = how_to_free(str(stuck[0]), Phase.UNREVERTED.value)
    return TargetBusy(
        f"{holder.key!r} is held {kind} by run {holder.run_id!r} since {_utc(holder.since_ms)}; {lease}",
        remedy=remedy,
        passes=stuck is None,
    )


def _not_its_turn(ticket: lock_queue.Ticket, wanted: Sequence[Lock]) -> TargetBusy:
    key = next(one.key for one in wanted if any(conflict(one, other) for other in ticket.locks))
    return TargetBusy(
        f"run {ticket.run_id!r} came earlier for {key!r}: it has been waiting since {_utc(ticket.since_ms)}",
        remedy="wait for your turn; a waiter that has died is passed over once its place has run out",
    )


def _dispossess(session: Session, holder: Held, now_ms: int) -> None:
    """All of its locks go whose lease is over, so that it stands in line like anybody else when it comes back."""
    session.write("DELETE FROM squall_lock WHERE run_id = ? AND lease_until <= ?", holder.run_id, now_ms)
    fence(session, holder.run_id, f"its lease ran out and the lock on {holder.key!r} went to another run")


def _has_open_handle(session: Session, run_id: str) -> bool:
    query = "SELECT 1 FROM squall_handle WHERE run_id = ? AND phase NOT IN (?, ?) LIMIT 1"
    return session.row(query, run_id, Phase.REVERTED.value, Phase.ABANDONED.value) is not None


def _is_taken_over(session: Session, run_id: str) -> bool:
    query = "SELECT 1 FROM squall_handle WHERE run_id = ? AND epoch > armed_epoch LIMIT 1"
    return session.row(query, run_id) is not None


def _utc(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
