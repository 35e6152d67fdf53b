"""Processes that act for a run: the last one that took it may, every earlier one is refused in the same transaction."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from chaos_tasks.errors import Fenced
from chaos_tasks.ledger.database import Row, Session
from chaos_tasks.model.actor import Actor, Taken, latest_try
from chaos_tasks.model.record import Record, RecordKind

_COLUMNS = "step, host, boot_id, pid, start_time, try_number, incarnation, since"
_LAST = f"SELECT {_COLUMNS} FROM squall_actor WHERE run_id = ? ORDER BY incarnation DESC LIMIT 1"
_SAME_STEP = f"SELECT {_COLUMNS} FROM squall_actor WHERE run_id = ? AND step = ? ORDER BY incarnation DESC LIMIT 1"

MAY_STILL_SAY = frozenset(
    {
        RecordKind.INJECT_FAILED,
        RecordKind.NOTICE_SENT,
        RecordKind.NOTICE_FAILED,
        RecordKind.LEVER_PULLED,
        RecordKind.LEVER_RELEASED,
    }
)
"""What a superseded process writes all the same: that it undid its late act, and what people did."""


def enter(session: Session, actor: Actor, mine: int) -> Taken:
    """Take the run; ``mine`` is the incarnation that this process has (0: none), under which it goes on.

    Raises Fenced where another process has taken the run since, or where a later try of the same step did.
    """
    check_enter(session.rows, actor, mine)
    if mine:
        if not actor.try_number:  # a task's row stays that of its own step, whose tries its number counts
            session.write(
                "UPDATE squall_actor SET step = ? WHERE run_id = ? AND incarnation = ?", actor.step, actor.run_id, mine
            )
        return Taken(incarnation=mine)
    last, same = session.row(_LAST, actor.run_id), session.row(_SAME_STEP, actor.run_id, actor.step)
    incarnation = 1 + (int(last[6]) if last else 0)
    session.write(
        f"INSERT INTO squall_actor (run_id, {_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        *(actor.run_id, actor.step, actor.host, actor.boot_id, actor.pid, actor.start_time, actor.try_number),
        *(incarnation, session.now_ms()),
    )
    return Taken(incarnation=incarnation, before=_actor(actor.run_id, same) if same else None)


def check_enter(read: Callable[..., list[Row]], actor: Actor, mine: int) -> None:
    """Raises Fenced where ``enter`` would."""
    if mine:
        check(read, actor.run_id, mine)
    else:
        _refuse_earlier_try(read, actor)


def check(read: Callable[..., list[Row]], run_id: str, mine: int) -> None:
    """Raises Fenced once another process has taken the run."""
    rows = read(_LAST, run_id)
    if rows and int(rows[0][6]) != mine:
        step, host, _, pid, _, _, incarnation, since = rows[0]
        when = datetime.fromtimestamp(int(since) / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        raise Fenced(
            f"run {run_id!r} was taken by another process ({step}, pid {pid} on {host or 'an unnamed host'}, {when}): "
            f"it is actor {incarnation}, this one was actor {mine}",
            remedy="end this process; the other one goes on, and puts back what is in",
        )


def last(read: Callable[..., list[Row]], run_id: str) -> Actor | None:
    """The process that took the run last; None where nobody has."""
    rows = read(_LAST, run_id)
    return _actor(run_id, rows[0]) if rows else None


def may_say(record: Record) -> bool:
    """Whether a superseded process may write it."""
    return record.kind in MAY_STILL_SAY


def _refuse_earlier_try(read: Callable[..., list[Row]], actor: Actor) -> None:
    rows = read("SELECT step, try_number FROM squall_actor WHERE run_id = ? ORDER BY incarnation", actor.run_id)
    latest = latest_try(((str(step), int(number)) for step, number in rows), actor.step)
    if 0 < actor.try_number < latest:
        raise Fenced(
            f"try {actor.try_number} of {actor.step} of run {actor.run_id!r} comes after try {latest} took the run",
            remedy="end this process; the later try goes on.  Where its DAG run was deleted and made anew: trigger "
            "one under another id",
        )


def _actor(run_id: str, row: Row) -> Actor:
    step, host, boot_id, pid, start_time, try_number, _, _ = row
    return Actor(
        run_id=run_id,
        step=step,
        host=host,
        boot_id=boot_id,
        pid=int(pid),
        start_time=float(start_time),
        try_number=int(try_number),
    )
