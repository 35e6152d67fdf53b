"""Locks on hierarchical keys, held by runs: exclusive for what a fault touches, shared for what a workload reads."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from chaos_tasks.errors import TargetBusy
from chaos_tasks.ledger.database import Session
from chaos_tasks.model.handle import Phase
from chaos_tasks.model.plan import Lock


class Held(NamedTuple):
    """A lock of some run."""

    key: str
    run_id: str
    exclusive: bool
    since_ms: int
    lease_until_ms: int


def acquire(session: Session, run_id: str, locks: Sequence[Lock], *, until_ms: int, now_ms: int) -> None:
    """Take all locks or none; raises TargetBusy.

    A run that lost locks to its expired lease is no longer fenced once it has all of them again; one whose handles
    were taken over stays fenced.
    """
    wanted = strongest(locks)
    _refuse_open_handles(session, run_id, wanted)
    for holder in sorted(_in_the_way(session, run_id, wanted)):
        if holder.lease_until_ms > now_ms or _has_open_handle(session, holder.run_id):
            raise _busy(holder, now_ms)
        _dispossess(session, holder)
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


def release(session: Session, run_id: str) -> None:
    """Give back all locks of a run.  Its open handles go on blocking their places."""
    session.write("DELETE FROM squall_lock WHERE run_id = ?", run_id)


def held(session: Session) -> list[Held]:
    """All locks, in sorted order."""
    rows = session.rows(
        "SELECT lock_key, run_id, exclusive, since, lease_until FROM squall_lock ORDER BY lock_key, run_id"
    )
    return [Held(key, run_id, bool(exclusive), int(since), int(until)) for key, run_id, exclusive, since, until in rows]


def strongest(locks: Iterable[Lock]) -> tuple[Lock, ...]:
    """One lock per key, in sorted order; exclusive where any asks for it.  A trailing slash means nothing."""
    exclusive: dict[str, bool] = {}
    for lock in locks:
        key = lock.key.rstrip("/")
        exclusive[key] = exclusive.get(key, False) or lock.exclusive
    return tuple(Lock(key=key, exclusive=exclusive[key]) for key in sorted(exclusive))


def conflict(one: Lock, other: Lock) -> bool:
    """Whether two runs may not hold both: same key or one above the other, and not both shared."""
    return (one.exclusive or other.exclusive) and related(one.key, other.key)


def related(one: str, other: str) -> bool:
    """Whether the keys are equal or one is above the other: `a/b` and `a/b/c` are, `a/b` and `a/bc` are not."""
    upper, lower = sorted((one.rstrip("/") + "/", other.rstrip("/") + "/"), key=len)
    return lower.startswith(upper)


def _in_the_way(session: Session, run_id: str, wanted: Sequence[Lock]) -> set[Held]:
    return {
        holder
        for holder in held(session)
        for lock in wanted
        if holder.run_id != run_id and conflict(lock, Lock(key=holder.key, exclusive=holder.exclusive))
    }


def _refuse_open_handles(session: Session, run_id: str, wanted: Sequence[Lock]) -> None:
    """A place that another run has not put back is held even when the lock is gone."""
    rows = session.rows(
        "SELECT id, run_id, place_key, phase, changed_at FROM squall_handle "
        "WHERE phase <> ? AND run_id <> ? ORDER BY id",
        *(Phase.REVERTED.value, run_id),
    )
    for handle_id, owner, place_key, phase, changed_at in rows:
        for lock in wanted:
            if related(lock.key, place_key):
                raise TargetBusy(
                    f"{lock.key!r} is blocked by handle {handle_id!r} of run {owner!r}, "
                    f"{phase} since {_utc(int(changed_at))}",
                    remedy=f"let that run end, or put it back: `squall revert {handle_id}`",
                )


def _busy(holder: Held, now_ms: int) -> TargetBusy:
    kind = "exclusively" if holder.exclusive else "for reading"
    over = holder.lease_until_ms <= now_ms
    lease = "its lease is over but it has open handles" if over else f"its lease ends {_utc(holder.lease_until_ms)}"
    remedy = (
        f"wait, or `squall sweep` (run {holder.run_id!r} is dead)" if over else "wait until that run ends, or stop it"
    )
    return TargetBusy(
        f"{holder.key!r} is held {kind} by run {holder.run_id!r} since {_utc(holder.since_ms)}; {lease}", remedy=remedy
    )


def _dispossess(session: Session, holder: Held) -> None:
    session.write("DELETE FROM squall_lock WHERE lock_key = ? AND run_id = ?", holder.key, holder.run_id)
    fence(session, holder.run_id, f"its lease ran out and the lock on {holder.key!r} went to another run")


def fence(session: Session, run_id: str, reason: str) -> None:
    """From now on the run may not renew."""
    session.write(
        "INSERT INTO squall_fence (run_id, reason) VALUES (?, ?) "
        "ON CONFLICT (run_id) DO UPDATE SET reason = excluded.reason",
        *(run_id, reason),
    )


def _has_open_handle(session: Session, run_id: str) -> bool:
    query = "SELECT 1 FROM squall_handle WHERE run_id = ? AND phase <> ? LIMIT 1"
    return session.row(query, run_id, Phase.REVERTED.value) is not None


def _is_taken_over(session: Session, run_id: str) -> bool:
    query = "SELECT 1 FROM squall_handle WHERE run_id = ? AND epoch > armed_epoch LIMIT 1"
    return session.row(query, run_id) is not None


def _utc(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
