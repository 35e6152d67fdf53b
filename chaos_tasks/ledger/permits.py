"""A run's permit is used up in the transaction of its first intent; the key of the record lets no second one in."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial

from chaos_tasks.errors import IdempotencyConflict
from chaos_tasks.ledger import header, store
from chaos_tasks.ledger.database import Session
from chaos_tasks.model.consent import LOG
from chaos_tasks.model.permit import RUN_KINDS, already_used, consumption
from chaos_tasks.model.record import Record, RecordKind, Stored


def consume(session: Session, intent: Record) -> None:
    """Write what the rule asks for before the intent; raises NotPermitted, and LedgerError for an unreadable record."""
    now = datetime.fromtimestamp(session.now_ms() / 1000, UTC)
    standing = partial(_records, session, LOG, (RecordKind.APPROVAL_DECIDED,))
    used = consumption(_records(session, intent.run_id, RUN_KINDS), standing, intent, now)
    if used is None:
        return
    try:
        store.append(session, used)
    except IdempotencyConflict:
        raise already_used(intent.run_id) from None


def _records(session: Session, run_id: str, kinds: Sequence[RecordKind]) -> list[Stored]:
    rows = session.rows(
        "SELECT seq, header, salt, payload FROM squall_record "
        f"WHERE run_id = ? AND kind IN ({', '.join('?' * len(kinds))}) ORDER BY seq",
        run_id,
        *(kind.value for kind in kinds),
    )
    return [header.decode(int(row[0]), store.entry_of(*row[1:])) for row in rows]
