"""A record as bytes: a closed header in RFC 8785 form, which is hashed into the log, and a payload that can be erased.

The header holds names, digests and times only, no measured number, and commits to its payload by
SHA-256(salt || payload bytes).  The salt keeps the hash of an erased payload from being guessed.
"""

from __future__ import annotations

import functools
import hashlib
import secrets
import uuid
from datetime import UTC, datetime
from typing import Annotated, Literal

from pydantic import Field, StringConstraints, TypeAdapter, ValidationError

from chaos_tasks.errors import LedgerError
from chaos_tasks.model.base import Value, canonical, exact
from chaos_tasks.model.plan import Recorder
from chaos_tasks.model.record import Payload, Record, RecordKind, Stored, Subject
from chaos_tasks.model.verdict import Outcome

MAX_HEADER_BYTES = 4096  # what we write
MAX_ENTRY_BYTES = 65_535  # what a tiled log takes (C2SP tlog-tiles): what we read
MAX_PAYLOAD_BYTES = 4 * 1024 * 1024
SALT_BYTES = 16
RECORD_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "urn:squall:record")

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class PayloadRef(Value):
    """What the header says about its payload.  Fields stand by name, as they are written."""

    bytes: int = Field(ge=0)
    commit: Sha256
    media_type: str


class Header(Value):
    """The entry of the log.  Closed: a field that is not here makes the row unreadable, on purpose.

    Fields stand by name, as they are written, here and in what they hold (`Recorder`, `Subject`).
    """

    env_tier: str
    experiment: str
    fault_kind: str
    handle_id: str
    idem_key: str
    kind: RecordKind
    occurred_at: Annotated[str, StringConstraints(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")]
    outcome: Outcome | None
    payload: PayloadRef | None
    plan_sha256: str
    record_id: str
    recorded_by: Recorder
    run_id: str
    subject: tuple[Subject, ...]
    v: Literal[1] = 1

    def canonical(self) -> bytes:
        """As of any value, in a fifth of the time: pydantic writes texts and small whole numbers as RFC 8785 does."""
        by, payload = self.recorded_by, self.payload
        numbers = (by.map_index, by.try_number, payload.bytes if payload else 0)
        return self.model_dump_json().encode() if all(map(exact, numbers)) else super().canonical()


class Entry(Value):
    """One row of the log as bytes."""

    header: bytes
    salt: bytes | None = None
    payload: bytes | None = None


def encode(record: Record) -> Entry:
    """Header and payload bytes of a record, under a fresh salt; raises LedgerError when it has no exact bytes."""
    if not record.idem_key or not record.run_id:
        raise LedgerError(f"a {record.kind} record needs an idempotency key and a run id")
    salt = secrets.token_bytes(SALT_BYTES)
    payload = None if record.payload is None else _exact_bytes(record.payload, f"payload of {record.idem_key!r}")
    header = _exact_bytes(_header_of(record, salt, payload), f"header of {record.idem_key!r}")
    _refuse_oversize(record.idem_key, header, payload)
    return Entry(header=header, salt=salt if payload is not None else None, payload=payload)


def says_experiment(name: str) -> bytes:
    """What the header of a record of that experiment holds, and no other header does.

    Quotes within a text are escaped, so that no value can look like a member.
    """
    return b'"experiment":' + canonical(name)


def decode(seq: int, entry: Entry) -> Stored:
    """The record in a row; raises LedgerError naming the sequence number when the row is not one of ours."""
    return decode_under(decode_header(seq, entry.header), seq, entry)


def decode_under(header: Header, seq: int, entry: Entry) -> Stored:
    """The record in a row whose header was decoded already; raises LedgerError as well."""
    payload = None
    if header.payload is not None and entry.payload is not None:
        payload = _decode_payload(seq, header.payload, entry)
    elif header.payload is None and entry.payload is not None:
        raise _unreadable(seq, "it has a payload that its header does not name")
    record = Record(
        kind=header.kind,
        idem_key=header.idem_key,
        occurred_at=parse_time(header.occurred_at),
        run_id=header.run_id,
        experiment=header.experiment,
        fault_kind=header.fault_kind,
        handle_id=header.handle_id,
        recorder=header.recorded_by,
        subjects=header.subject,
        plan_sha256=header.plan_sha256,
        environment=header.env_tier,
        outcome=header.outcome,
        payload=payload,
    )
    leaf = hashlib.sha256(b"\x00" + entry.header).hexdigest()
    return Stored(seq=seq, leaf_sha256=leaf, record=record, erased=header.payload is not None and entry.payload is None)


def decode_header(seq: int, raw: bytes) -> Header:
    """The header in a row, checked to be in canonical form."""
    if len(raw) > MAX_ENTRY_BYTES:
        raise _unreadable(seq, f"its header has {len(raw)} bytes")
    try:
        header = Header.model_validate_json(raw)
        parse_time(header.occurred_at)
        written = header.canonical()
    except (ValidationError, ValueError, RecursionError) as error:
        raise _unreadable(seq, f"its header is not one of ours ({type(error).__name__})") from error
    if written != raw:
        raise _unreadable(seq, "its header is not in canonical form")
    if header.record_id != record_id(header.idem_key):
        raise _unreadable(seq, "its record id does not belong to its key")
    return header


def same_content(ours: Record, theirs: Entry, seq: int) -> bool:
    """Whether a record says what a row says, whenever and by whichever try it was written.

    Left out: when it occurred, who recorded it, and the salt.  An erased payload cannot be compared and passes.
    """
    payload = None if ours.payload is None else _exact_bytes(ours.payload, f"payload of {ours.idem_key!r}")
    stored = decode_header(seq, theirs.header)
    if _content(_header_of(ours, b"", payload)) != _content(stored):
        return False
    if stored.payload is None or theirs.salt is None or payload is None:
        return True
    return commitment(theirs.salt, payload) == stored.payload.commit


def opens(header: Header, entry: Entry) -> bool:
    """Whether the row's payload is the one that its header committed to; an erased payload is."""
    if header.payload is None or entry.payload is None:
        return entry.payload is None
    if entry.salt is None or len(entry.payload) != header.payload.bytes:
        return False
    return commitment(entry.salt, entry.payload) == header.payload.commit


def commitment(salt: bytes, payload: bytes) -> str:
    """Salted SHA-256 of a payload, in hexadecimal."""
    return hashlib.sha256(salt + payload).hexdigest()


def record_id(idem_key: str) -> str:
    """Name of a record outside the log: a UUID made from its key."""
    return str(uuid.uuid5(RECORD_NAMESPACE, idem_key))


def media_type(payload_type: str) -> str:
    """Media type of a payload by its discriminator."""
    return f"application/vnd.squall.{payload_type}+json;v=1"


def format_time(moment: datetime) -> str:
    """RFC 3339 in UTC, cut to milliseconds: sorts as text."""
    if moment.tzinfo is None:
        raise LedgerError(f"{moment.isoformat()} has no time zone", remedy="give times as timezone-aware UTC")
    text = moment.astimezone(UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


def parse_time(text: str) -> datetime:
    """The moment that ``format_time`` wrote; raises ValueError."""
    return datetime.fromisoformat(text)


def _header_of(record: Record, salt: bytes, payload: bytes | None) -> Header:
    ref = None
    if record.payload is not None and payload is not None:
        ref = PayloadRef(
            media_type=media_type(record.payload.type), bytes=len(payload), commit=commitment(salt, payload)
        )
    return Header(
        kind=record.kind,
        record_id=record_id(record.idem_key),
        idem_key=record.idem_key,
        occurred_at=format_time(record.occurred_at),
        run_id=record.run_id,
        experiment=record.experiment,
        fault_kind=record.fault_kind,
        handle_id=record.handle_id,
        recorded_by=record.recorder,
        subject=record.subjects,
        plan_sha256=record.plan_sha256,
        env_tier=record.environment,
        payload=ref,
        outcome=record.outcome,
    )


def _content(header: Header) -> tuple[Header, str, int]:
    shown = (header.payload.media_type, header.payload.bytes) if header.payload else ("", 0)
    return header.model_copy(update={"occurred_at": "", "recorded_by": Recorder(), "payload": None}), *shown


def _exact_bytes(value: Value, what: str) -> bytes:
    try:
        return value.canonical()
    except (ValueError, RecursionError) as error:  # rfc8785 refuses integers beyond 2**53 and lone surrogates
        raise LedgerError(
            f"the {what} has no exact JSON form ({error})",
            remedy="give integers beyond 2**53 - 1 (seeds, for instance) as smaller numbers or as text",
        ) from error


def _refuse_oversize(idem_key: str, header: bytes, payload: bytes | None) -> None:
    if len(header) >= MAX_HEADER_BYTES:
        raise LedgerError(
            f"the header of {idem_key!r} has {len(header)} bytes; less than {MAX_HEADER_BYTES} are allowed",
            remedy="shorten keys and ids, name fewer subjects, or move facts into the payload",
        )
    if payload is not None and len(payload) > MAX_PAYLOAD_BYTES:
        raise LedgerError(
            f"the payload of {idem_key!r} has {len(payload)} bytes; {MAX_PAYLOAD_BYTES} are allowed",
            remedy="record a digest and keep the bytes in the trial's folder",
        )


def _decode_payload(seq: int, ref: PayloadRef, entry: Entry) -> Payload:
    raw = entry.payload or b""
    try:
        payload = _payloads().validate_json(raw)
    except (ValidationError, ValueError, RecursionError) as error:
        raise _unreadable(seq, f"its payload is not a {ref.media_type} ({type(error).__name__})") from error
    if media_type(payload.type) != ref.media_type:
        raise _unreadable(seq, f"its payload is a {payload.type}, its header says {ref.media_type}")
    return payload


@functools.cache
def _payloads() -> TypeAdapter[Payload]:
    return TypeAdapter(Annotated[Payload, Field(discriminator="type")])


def _unreadable(seq: int, why: str) -> LedgerError:
    return LedgerError(
        f"record {seq} of the ledger cannot be read: {why}",
        remedy="run `squall audit verify`; restore the row from a backup, or read it with the version that wrote it",
    )


__all__ = ["Entry", "Header", "decode", "decode_header", "encode", "opens", "same_content"]
