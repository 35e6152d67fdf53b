"""Handles with their phase, epoch and lease: moved only by compare-and-swap, always together with a record."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime

from pydantic import ValidationError

from chaos_tasks.errors import Fenced, LeaseRenewed, LedgerError
from chaos_tasks.ledger import header, permits, store
from chaos_tasks.ledger.database import Database, Row, Session
from chaos_tasks.ledger.lock_table import fence
from chaos_tasks.model.handle import CLOSED_PHASES, Handle, HandleState, Phase
from chaos_tasks.model.place import DvcPlace
from chaos_tasks.model.record import Armed, Record

LONGEST_LEASE_MS = 366 * 86_400_000
"""What nobody is granted was garbled: a lease that ends later protects nothing."""

_COLUMNS = "id, body, phase, epoch, lease_until, changed_at"

UNREADABLE = "ledger.unreadable"
"""Kind of a handle that neither its row nor the log can tell; no fault is registered under it."""


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
    if to in (Phase.INJECTING, Phase.INJECTED):  # a swept run may neither begin to hurt nor believe that it did
        _refuse_fenced_run(session, state.handle.run_id)
    if to is Phase.INJECTING:
        permits.consume(session, record)
    store.append(session, record)
    now = session.now_ms()
    until = _ms(state.lease_until) if lease_ms is None else now + lease_ms
    session.write(
        "UPDATE squall_handle SET phase = ?, lease_until = ?, changed_at = ? WHERE id = ? AND epoch = ?",
        *(to.value, until, now, handle_id, epoch),
    )
    return _require(session, handle_id)


def take_over(session: Session, handle_id: str, *, lease_ms: int, listed: HandleState | None = None) -> HandleState:
    """Raise the epoch of a handle and fence its run; a reverted handle needs nobody and is returned as it stands.

    ``listed``: whoever read it may have done so long ago; LeaseRenewed where it has another lease or epoch by now.
    """
    state = _require(session, handle_id)
    if state.phase in CLOSED_PHASES:
        return state
    now = session.now_ms()
    if listed is not None and _lease(state) != _lease(listed):
        raise LeaseRenewed(
            f"handle {handle_id!r} is leased until {state.lease_until:%Y-%m-%d %H:%M:%S} UTC again",
            remedy="leave it to its run; `squall revert` asks for no lease",
        )
    session.write("UPDATE squall_handle SET epoch = epoch + 1, lease_until = ? WHERE id = ?", now + lease_ms, handle_id)
    fence(session, state.handle.run_id, f"its handle {handle_id!r} was taken over")
    return _require(session, handle_id, proved=True)


def _lease(state: HandleState) -> tuple[int, datetime]:
    return state.handle.epoch, state.lease_until


def renew(session: Session, run_id: str, *, lease_ms: int) -> datetime:
    """Extend the lease of a run's open handles and locks; raises Fenced once something of it was taken away."""
    _refuse_fenced_run(session, run_id)
    until = session.now_ms() + lease_ms
    session.write(
        "UPDATE squall_handle SET lease_until = ? WHERE run_id = ? AND phase NOT IN (?, ?)",
        *(until, run_id, Phase.REVERTED.value, Phase.ABANDONED.value),
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
    if row is not None and (row[0] in (Phase.REVERTING, Phase.UNREVERTED, *CLOSED_PHASES) or row[1] > row[2]):
        raise Fenced(f"firing {n} of handle {handle_id!r} may not happen: the handle is {row[0]} in epoch {row[1]}")
    stored = store.append(session, record)
    session.write("INSERT INTO squall_claim (handle_id, n, seq) VALUES (?, ?, ?)", handle_id, n, stored.seq)
    return True


def find(database: Database, *, run_id: str | None, phases: Iterable[Phase], expired: bool) -> list[HandleState]:
    """Handles in the order of arming; a reverted one has no lease and never counts as expired.

    A damaged row hides neither itself nor the others: a garbled phase counts as unreverted, a garbled lease as over,
    and a handle that cannot be read comes as it was armed, from the log; or, where that is damaged too, as
    ``UNREADABLE``, which nobody can revert.
    """
    conditions, params = ["1 = 1"], list[object]()
    if run_id is not None:
        conditions.append("run_id = ?")
        params.append(run_id)
    if wanted := [phase.value for phase in phases]:
        condition = f"phase IN ({', '.join('?' * len(wanted))})"
        params.extend(wanted)
        if Phase.UNREVERTED.value in wanted:
            condition += f" OR phase NOT IN ({', '.join('?' * len(Phase))})"
            params.extend(phase.value for phase in Phase)
        conditions.append(f"({condition})")
    if expired:
        conditions.append(
            "phase NOT IN (?, ?) AND (CAST(lease_until AS BIGINT) <= ? OR CAST(lease_until AS BIGINT) > ?)"
        )
        now = database.now_ms()
        params.extend((Phase.REVERTED.value, Phase.ABANDONED.value, now, now + LONGEST_LEASE_MS))
    where = " AND ".join(conditions)
    rows = database.read(f"SELECT {_COLUMNS} FROM squall_handle WHERE {where} ORDER BY armed_seq, id", *params)
    return [_state(row, database.read, proved=True) or _unreadable(row) for row in rows]


def get(database: Database, handle_id: str) -> HandleState | None:
    """One handle, or None; a damaged one as ``find`` has it."""
    rows = database.read(f"SELECT {_COLUMNS} FROM squall_handle WHERE id = ?", handle_id)
    return (_state(rows[0], database.read, proved=True) or _unreadable(rows[0])) if rows else None


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


def _require(session: Session, handle_id: str, *, proved: bool = False) -> HandleState:
    row = session.row(f"SELECT {_COLUMNS} FROM squall_handle WHERE id = ?", handle_id)
    if row is None:
        raise LedgerError(f"the ledger knows no handle {handle_id!r}", remedy="`squall handles` lists those it knows")
    state = _state(row, session.rows, proved=proved)
    if state is None:
        raise LedgerError(
            f"handle {handle_id!r} in the ledger cannot be read, nor its record of when it was armed",
            remedy="its fault may still be in: look at its place by hand, and run `squall audit verify`",
        )
    return state


def _state(row: Row, read: Callable[..., list[Row]], *, proved: bool) -> HandleState | None:
    """None where neither the row nor the log says what was armed; ``proved`` believes the log, which is hashed, first:
    a flipped bit in the row may name another place."""
    handle_id, body, phase, epoch, lease_until, changed_at = row
    try:
        handle = (_as_armed(handle_id, read) if proved else None) or _handle(body, handle_id)
        handle = handle or _as_armed(handle_id, read)
        known = Phase(phase) if phase in set(Phase) else Phase.UNREVERTED
        if handle is None:
            return None
        return HandleState(
            handle=handle.model_copy(update={"epoch": int(epoch)}),
            phase=known,
            lease_until=_moment_or_past(lease_until),
            changed_at=_moment_or_past(changed_at),
        )
    except (ValidationError, ValueError, TypeError):
        return None


def _handle(body: object, handle_id: str) -> Handle | None:
    try:
        handle = Handle.model_validate_json(store.as_bytes(body))
    except (ValidationError, ValueError, RecursionError):
        return None
    return handle if handle.id == handle_id else None


def _as_armed(handle_id: str, read: Callable[..., list[Row]]) -> Handle | None:
    """The handle from its `fault.armed` record, which is hashed into the log; None where that cannot be read."""
    columns = "r.seq, r.idem_key, r.run_id, r.kind, r.occurred_at, r.leaf_hash, r.header, r.salt, r.payload"
    join = "squall_record r JOIN squall_handle h ON h.armed_seq = r.seq"
    try:
        for row in read(f"SELECT {columns} FROM {join} WHERE h.id = ?", handle_id):
            payload = header.decode(int(row[0]), store.entry_of(*row[6:])).record.payload
            if isinstance(payload, Armed) and payload.handle.id == handle_id:
                return payload.handle
    except (LedgerError, ValueError, TypeError):
        return None
    return None


def _unreadable(row: Row) -> HandleState:
    """Stands for a handle that nobody can read: it is open, blocks the sweep of no other, and cannot be reverted."""
    name = str(row[0])
    nowhere = DvcPlace(clone=f"unreadable:{name}", source="", commit="", data=(), format="csv")
    run_id = name.rpartition("/")[0] or name
    handle = Handle(id=name, run_id=run_id, step="", kind=UNREADABLE, place=nowhere, params={}, prior={}, seed=0)
    return HandleState(handle=handle, phase=Phase.UNREVERTED, lease_until=_moment(0), changed_at=_moment(0))


def _moment_or_past(milliseconds: object) -> datetime:
    """A garbled time is long past: a lease that cannot be read protects nobody."""
    try:
        return _moment(int(str(milliseconds)))
    except (ValueError, OverflowError, OSError):
        return _moment(0)


def _moment(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(int(milliseconds) / 1000, UTC)


def _ms(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)
