"""Handles with their phase, epoch and lease: moved only by compare-and-swap, always together with a record."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from pydantic import ValidationError

from chaos_tasks.errors import Fenced, LedgerError
from chaos_tasks.ledger import store
from chaos_tasks.ledger.database import Database, Row, Session
from chaos_tasks.ledger.lock_table import fence
from chaos_tasks.model.handle import Handle, HandleState, Phase
from chaos_tasks.model.record import Record

_COLUMNS = "id, body, phase, epoch, lease_until, changed_at"


def arm(session: Session, handle: Handle, record: Record, *, lease_ms: int) -> HandleState:
    """Register a handle; the same handle again is returned as it stands.

    A reverted handle may be armed again under a higher epoch; anything else under its id is refused.
    """
    _refuse_other_handle(record, handle.id)
    row = session.row("SELECT body, phase, epoch FROM squall_handle WHERE id = ?", handle.id)
    if row is not None and store.as_bytes(row[0]) == handle.canonical():
        store.append(session, record)
        return _require(session, handle.id)
    if row is not None and (row[1] != Phase.REVERTED.value or handle.epoch <= row[2]):
        raise LedgerError(
            f"handle {handle.id!r} is {row[1]} in epoch {row[2]} and cannot be armed anew in epoch {handle.epoch}",
            remedy=f"revert it first, then arm it in epoch {row[2] + 1}",
        )
    if row is None:  # arming a swept handle again, under a higher epoch, is how a run comes back
        _refuse_fenced_run(session, handle.run_id)
    stored, now = store.append(session, record), session.now_ms()
    session.write("DELETE FROM squall_handle WHERE id = ?", handle.id)
    session.write(
        "INSERT INTO squall_handle (id, run_id, place_key, body, phase, epoch, armed_epoch, armed_seq, lease_until, "
        "changed_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        *(handle.id, handle.run_id, handle.place.key, handle.canonical(), Phase.ARMED.value),
        *(handle.epoch, handle.epoch, stored.seq, now + lease_ms, now),
    )
    return _require(session, handle.id)


def transition(
    session: Session,
    handle_id: str,
    *,
    to: Phase,
    expect: frozenset[Phase],
    epoch: int,
    record: Record,
    lease_ms: int | None,
) -> HandleState:
    """Move a handle from an expected phase, in the current epoch; a repeat of the last move changes nothing."""
    _refuse_other_handle(record, handle_id)
    state = _require(session, handle_id)
    _refuse_stale(state, expect, epoch, repeated=state.phase is to and _is_written(session, record))
    if to is Phase.INJECTING:
        _refuse_fenced_run(session, state.handle.run_id)
    store.append(session, record)
    now = session.now_ms()
    until = _ms(state.lease_until) if lease_ms is None else now + lease_ms
    session.write(
        "UPDATE squall_handle SET phase = ?, lease_until = ?, changed_at = ? WHERE id = ? AND epoch = ?",
        *(to.value, until, now, handle_id, epoch),
    )
    return _require(session, handle_id)


def take_over(session: Session, handle_id: str, *, lease_ms: int) -> HandleState:
    """Raise the epoch of a handle and fence its run; a reverted handle needs nobody and is returned as it stands."""
    state = _require(session, handle_id)
    if state.phase is Phase.REVERTED:
        return state
    session.write(
        "UPDATE squall_handle SET epoch = epoch + 1, lease_until = ? WHERE id = ?",
        session.now_ms() + lease_ms,
        handle_id,
    )
    fence(session, state.handle.run_id, f"its handle {handle_id!r} was taken over")
    return _require(session, handle_id)


def renew(session: Session, run_id: str, *, lease_ms: int) -> datetime:
    """Extend the lease of a run's open handles and locks; raises Fenced once something of it was taken away."""
    _refuse_fenced_run(session, run_id)
    until = session.now_ms() + lease_ms
    session.write(
        "UPDATE squall_handle SET lease_until = ? WHERE run_id = ? AND phase <> ?", until, run_id, Phase.REVERTED.value
    )
    session.write("UPDATE squall_lock SET lease_until = ? WHERE run_id = ?", until, run_id)
    return _moment(until)


def claim(session: Session, handle_id: str, n: int, record: Record) -> bool:
    """Claim one firing; raises Fenced when its run was fenced or its handle is being put back."""
    _refuse_other_handle(record, handle_id)
    if session.row("SELECT 1 FROM squall_claim WHERE handle_id = ? AND n = ?", handle_id, n) is not None:
        return False
    _refuse_fenced_run(session, record.run_id)
    row = session.row("SELECT phase, epoch, armed_epoch FROM squall_handle WHERE id = ?", handle_id)
    if row is not None and (row[0] in (Phase.REVERTING, Phase.REVERTED, Phase.UNREVERTED) or row[1] > row[2]):
        raise Fenced(f"firing {n} of handle {handle_id!r} may not happen: the handle is {row[0]} in epoch {row[1]}")
    stored = store.append(session, record)
    session.write("INSERT INTO squall_claim (handle_id, n, seq) VALUES (?, ?, ?)", handle_id, n, stored.seq)
    return True


def find(database: Database, *, run_id: str | None, phases: Iterable[Phase], expired: bool) -> list[HandleState]:
    """Handles in the order of arming; a reverted one has no lease and never counts as expired."""
    conditions, params = ["1 = 1"], list[object]()
    if run_id is not None:
        conditions.append("run_id = ?")
        params.append(run_id)
    if wanted := [phase.value for phase in phases]:
        conditions.append(f"phase IN ({', '.join('?' * len(wanted))})")
        params.extend(wanted)
    if expired:
        conditions.append("phase <> ? AND lease_until <= ?")
        params.extend((Phase.REVERTED.value, database.now_ms()))
    where = " AND ".join(conditions)
    rows = database.read(f"SELECT {_COLUMNS} FROM squall_handle WHERE {where} ORDER BY armed_seq, id", *params)
    return [_state(row) for row in rows]


def get(database: Database, handle_id: str) -> HandleState | None:
    """One handle, or None."""
    rows = database.read(f"SELECT {_COLUMNS} FROM squall_handle WHERE id = ?", handle_id)
    return _state(rows[0]) if rows else None


def _refuse_fenced_run(session: Session, run_id: str) -> None:
    fenced = session.row("SELECT reason FROM squall_fence WHERE run_id = ?", run_id)
    if fenced is not None:
        raise Fenced(
            f"run {run_id!r} must not act any more: {fenced[0]}",
            remedy="end its processes; a sweep puts back what is open",
        )


def _refuse_stale(state: HandleState, expect: frozenset[Phase], epoch: int, *, repeated: bool) -> None:
    handle = state.handle
    if handle.epoch != epoch:
        raise Fenced(
            f"handle {handle.id!r} is in epoch {handle.epoch}; this process holds epoch {epoch}",
            remedy="stop acting on it; whoever took it over puts it back",
        )
    if state.phase not in expect and not repeated:
        raise Fenced(
            f"handle {handle.id!r} is {state.phase}, not {' or '.join(sorted(expect))}",
            remedy="read the handle again and go on from its phase",
        )


def _refuse_other_handle(record: Record, handle_id: str) -> None:
    if record.handle_id not in ("", handle_id):
        raise LedgerError(f"record {record.idem_key!r} is about handle {record.handle_id!r}, not {handle_id!r}")


def _is_written(session: Session, record: Record) -> bool:
    return session.row("SELECT 1 FROM squall_record WHERE idem_key = ?", record.idem_key) is not None


def _require(session: Session, handle_id: str) -> HandleState:
    row = session.row(f"SELECT {_COLUMNS} FROM squall_handle WHERE id = ?", handle_id)
    if row is None:
        raise LedgerError(f"the ledger knows no handle {handle_id!r}", remedy="`squall handles` lists those it knows")
    return _state(row)


def _state(row: Row) -> HandleState:
    handle_id, body, phase, epoch, lease_until, changed_at = row
    try:
        handle = Handle.model_validate_json(body).model_copy(update={"epoch": int(epoch)})
        return HandleState(
            handle=handle, phase=Phase(phase), lease_until=_moment(lease_until), changed_at=_moment(changed_at)
        )
    except (ValidationError, ValueError, TypeError) as error:
        raise LedgerError(
            f"handle {handle_id!r} in the ledger cannot be read ({type(error).__name__})",
            remedy="its fault may still be in: its `fault.armed` record in the log holds the handle as it was armed",
        ) from error


def _moment(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(int(milliseconds) / 1000, UTC)


def _ms(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)
