"""A pack to check and to tamper with: a real ledger of two made-up nights, real keys, real signatures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from chaos_tasks.attesting.test_result import statement_of
from chaos_tasks.evidence import controls
from chaos_tasks.evidence.body import Body, LogHead
from chaos_tasks.evidence.gathering import gather
from chaos_tasks.evidence.pack import Log, PackedRecord, contents, documents
from chaos_tasks.ledger.database_ledger import DatabaseLedger
from chaos_tasks.ledger.sqlite import SqliteDatabase
from chaos_tasks.model.record import Stored
from chaos_tasks.signing import dsse
from chaos_tasks.signing.checkpoint import Checkpoint
from chaos_tasks.signing.keys import SigningKey
from chaos_tasks.signing.note import Note
from tests.unit.evidence.bodies import TONIGHT
from tests.unit.reports.nights import KINDS, NOW, two_nights

ORIGIN = "example.org/squall/lab"
LOG_KEY = SigningKey(ORIGIN, b"L" * 32)
REPORT_KEY = SigningKey("example.org/squall/reports", b"R" * 32)
PERSON_KEY = SigningKey("example.org/people/reviewer", b"P" * 32)
STRANGER = SigningKey(ORIGIN, b"S" * 32)
TRUSTED = (LOG_KEY.verify_key.vkey, REPORT_KEY.verify_key.vkey)


@dataclass(frozen=True)
class Made:
    """The files of a pack, and what they were made from."""

    files: dict[str, bytes]
    body: Body
    ledger: DatabaseLedger


def made(folder: Path, *, with_leaves: bool = True, signers: Sequence[SigningKey] = (REPORT_KEY,)) -> Made:
    """The pack of the second of two nights."""
    ledger = DatabaseLedger(SqliteDatabase(f"sqlite:///{folder / 'ledger.db'}"))
    for one in two_nights():
        ledger.append(one.record)
    return of(ledger, with_leaves=with_leaves, signers=signers)


def of(ledger: DatabaseLedger, *, with_leaves: bool = True, signers: Sequence[SigningKey] = (REPORT_KEY,)) -> Made:
    """The pack of that night in a ledger."""
    records = list(ledger.records())
    head = ledger.head()
    body = gather(
        records,
        TONIGHT,
        title="Night of 2026-11-23",
        issued_at=NOW,
        log=LogHead(origin=ORIGIN, size=head.size, root_sha256=head.root.hex()),
        table=controls.shipped(),
        squall_version="0.1.0",
        registered=KINDS,
    )
    note = Note(Checkpoint(origin=ORIGIN, size=head.size, root=head.root).text).signed_by(LOG_KEY)
    log = Log(str(note), _packed(ledger, records, body, with_leaves), _leaves(ledger) if with_leaves else None)
    known = [LOG_KEY.verify_key, REPORT_KEY.verify_key]
    attestations = [dsse.seal(statement_of(run, body.log).to_bytes(), REPORT_KEY) for run in body.tested]
    return Made(
        contents(body, documents(body, controls.shipped(), attestations), log, signers=signers, known=known),
        body,
        ledger,
    )


def _packed(ledger: DatabaseLedger, records: list[Stored], body: Body, with_leaves: bool) -> list[PackedRecord]:
    runs = {one.run_id for one in body.tested} | {one.run_id for one in body.unfinished}
    size = len(records)
    return [
        PackedRecord(
            row.seq,
            row.entry.header,
            row.entry.salt,
            row.entry.payload,
            None if with_leaves else ledger.inclusion_proof(row.seq, size),
        )
        for row in ledger.raw_rows()
        if row.run_id in runs
    ]


def _leaves(ledger: DatabaseLedger) -> bytes:
    return b"".join(row.leaf for row in ledger.raw_rows())
