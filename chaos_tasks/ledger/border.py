"""What a record loses on its way into the log: secrets, and text beyond its length; and the record that says so."""

from __future__ import annotations

from pydantic import JsonValue

from chaos_tasks.errors import LedgerError
from chaos_tasks.model.record import Armed, Note, Record, RecordKind, Registered, SearchStarted
from chaos_tasks.redacting import Redaction, redact, secrets_in

WHOLE = (Registered, Armed, SearchStarted)
"""Payloads that are read again to act by: changed they would do something else, so they are refused instead."""


def at_border(record: Record) -> tuple[Record, tuple[Redaction, ...]]:
    """The record as it may go on record; raises LedgerError for a plan or handle that holds a secret."""
    payload = record.payload
    if payload is None:
        return record, ()
    plain = payload.model_dump(mode="json")
    if isinstance(payload, WHOLE):
        held = secrets_in(plain)
        if held:
            where = ", ".join(f"{one.path} ({one.rule.replace('_', ' ')})" for one in held[:3])
            raise LedgerError(
                f"the {record.kind} record of {record.run_id} would hold what looks like a secret, at {where}",
                remedy="put it into an environment variable, and write ${NAME} in its place",
            )
        return record, ()
    clean, found = redact(plain)
    if not found:
        return record, ()
    return record.model_copy(update={"payload": type(payload).model_validate(clean)}), found


def of_redactions(record: Record, found: tuple[Redaction, ...]) -> Record:
    """The record of what another one lost: where, and by which rule."""
    facts: dict[str, JsonValue] = {
        "record": record.idem_key,
        "redactions": [{"path": one.path, "rule": one.rule} for one in found],
    }
    return record.model_copy(
        update={
            "kind": RecordKind.PAYLOAD_REDACTED,
            "idem_key": f"{record.idem_key}/redacted",
            "subjects": (),
            "outcome": None,
            "payload": Note(text=f"{len(found)} texts of a {record.kind} record were redacted", facts=facts),
        }
    )
