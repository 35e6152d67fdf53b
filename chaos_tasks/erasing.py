"""Erases payloads of the ledger: record and proof stay, what it said is gone, and who erased it is on record."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import JsonValue

from chaos_tasks.errors import GuardTripped, LedgerError
from chaos_tasks.ledger import DatabaseLedger
from chaos_tasks.ledger.header import decode_header
from chaos_tasks.model.handle import OPEN_PHASES
from chaos_tasks.model.plan import Recorder
from chaos_tasks.model.record import Note, Record, RecordKind, Registered
from chaos_tasks.ports import Clock

if TYPE_CHECKING:
    from chaos_tasks.composition import Squall

NEVER = frozenset({RecordKind.PAYLOAD_ERASED, RecordKind.CLONE_DELETED, RecordKind.PAYLOAD_REDACTED})
"""Who erased what, and the proofs that something is gone, stay."""


@dataclass(frozen=True)
class Eraser:
    """Erases, for a reason, in the name of somebody."""

    ledger: DatabaseLedger
    by: str
    reason: str
    clock: Clock
    recorder: Recorder

    def of_run(self, run_id: str) -> tuple[int, ...]:
        """Erase every payload of a run; returns their sequence numbers."""
        seqs = [
            one.seq for one in self.ledger.records(run_id=run_id) if one.record.kind not in NEVER and not one.erased
        ]
        if not seqs:
            raise LedgerError(f"run {run_id} has no payload to erase", remedy="`squall report` lists the runs")
        return tuple(seq for seq in seqs if self.one(seq))

    def one(self, seq: int) -> bool:
        """Erase one payload; False where there is none any more.  Raises GuardTripped while its run is under way."""
        row = next((row for row in self.ledger.raw_rows(after_seq=seq - 1) if row.seq == seq), None)
        if row is None:
            raise LedgerError(f"the ledger has no record {seq}", remedy="`squall report` shows the numbers of records")
        header = decode_header(seq, row.entry.header)
        if header.payload is None or row.entry.payload is None:
            return False
        self._refuse(header.kind, header.run_id)
        facts: dict[str, JsonValue] = {
            "seq": seq,
            "record": header.record_id,
            "kind": header.kind.value,
            "commit": header.payload.commit,
            "bytes": header.payload.bytes,
            "by": self.by,
            "reason": self.reason,
        }
        self.ledger.erase(
            seq,
            Record(
                kind=RecordKind.PAYLOAD_ERASED,
                idem_key=f"{header.run_id}/{RecordKind.PAYLOAD_ERASED.value}/{seq}",
                occurred_at=self.clock.now(),
                run_id=header.run_id,
                experiment=header.experiment,
                recorder=self.recorder,
                environment=header.env_tier,
                payload=Note(text=f"payload of record {seq} erased", facts=facts),
            ),
        )
        return True

    def _refuse(self, kind: RecordKind, run_id: str) -> None:
        if kind in NEVER:
            raise GuardTripped(f"a {kind} record is never erased", remedy="name the record that it is about")
        if self.ledger.handles(run_id=run_id, phases=OPEN_PHASES) or run_id in self.ledger.locked_runs():
            raise GuardTripped(
                f"run {run_id} is under way, or something of it is still in: its records are needed",
                remedy=f"wait for its verdict, or `squall revert {run_id}`",
            )


def old_payloads(squall: Squall, *, by: str) -> int:
    """Erase payloads of runs that are older than their target's `keep_payloads`; returns how many."""
    if not isinstance(squall.ledger, DatabaseLedger):
        return 0
    ages = {name: entry.data.keep_payloads for name, entry in squall.settings.targets.items()}
    registered = list(squall.ledger.records(kinds=(RecordKind.EXPERIMENT_REGISTERED,)))
    # What is erased is gone for good: a host's clock that was set a year ahead must not ask for it.
    now, began, gone = squall.ledger.now(), squall.ledger.recorded_at(registered), 0
    for stored in registered:
        payload, record = stored.record.payload, stored.record
        age = ages.get(payload.plan.target.name) if isinstance(payload, Registered) else None
        if age is not None and now - began[stored.seq] > age:
            eraser = Eraser(squall.ledger, by, f"kept for {age.days} days", squall.clock, squall.engine.parts.recorder)
            with suppress(GuardTripped):
                gone += len(eraser.of_run(record.run_id))
    return gone
