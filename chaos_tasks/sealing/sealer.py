"""Signs the head of the log once it is proved to extend all that was published, and publishes it."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from chaos_tasks.errors import LedgerError, SquallError
from chaos_tasks.ledger import merkle
from chaos_tasks.ledger.store import Head
from chaos_tasks.model.notice import Notice, NoticeKind
from chaos_tasks.model.plan import Recorder
from chaos_tasks.model.record import Note as NotePayload
from chaos_tasks.model.record import Record, RecordKind
from chaos_tasks.ports import Clock, Ledger, Notifier
from chaos_tasks.sealing.keyring import Keyring, grown
from chaos_tasks.sealing.places import Place, Published
from chaos_tasks.sealing.s3 import Bucket
from chaos_tasks.sealing.witnesses import Witness
from chaos_tasks.signing.checkpoint import Checkpoint
from chaos_tasks.signing.keys import VerifyKey
from chaos_tasks.signing.note import Note
from chaos_tasks.signing.proof import InclusionProof

log = logging.getLogger(__name__)

RUN_ID = "checkpoints"
ENOUGH_PLACES = 2


class Log(Ledger, Protocol):
    """A ledger whose head and proofs can be had."""

    def head(self) -> Head:
        """Size and root."""

    def inclusion_proof(self, seq: int, size: int) -> tuple[bytes, ...]:
        """Path of a record to the root of the first ``size`` records."""

    def consistency_proof(self, old: int, new: int) -> tuple[bytes, ...]:
        """That the first ``old`` records begin the first ``new``."""


@dataclass(frozen=True)
class Found:
    """A note that some place holds."""

    place: str
    name: str
    text: str


@dataclass(frozen=True)
class Sealed:
    """One signed head and what became of it."""

    note: str
    size: int
    published: tuple[Published, ...]

    @property
    def kept(self) -> int:
        """In how many places it is."""
        return sum(1 for each in self.published if each.receipt)


def _name(head: Head, note: str) -> str:
    """A name of its own for each note: two processes may sign one head, each with a witness's time of its own."""
    return f"{head.size:012d}-{hashlib.sha256(note.encode()).hexdigest()[:16]}"


@dataclass(frozen=True)
class Sealer:
    """One per process; where no log key may be read, it signs nothing and says so once asked."""

    log: Log
    keys: Keyring
    places: tuple[Place, ...]
    witnesses: tuple[Witness, ...]
    clock: Clock
    recorder: Recorder
    notifier: Notifier

    def seal(self, *, why: str) -> Sealed | None:
        """Sign the head of now and publish it; None when nothing but heads was recorded since the last one.

        Raises LedgerError, after telling people, when the log does not extend what was published.
        """
        key = self.keys.signing("log")
        head = self.log.head()
        known = self.known_keys()
        unread: list[Published] = []
        last = self._extends(head, known, unread)
        if last is not None and self._only_heads_since(last):
            return None
        note = Note(Checkpoint(self.keys.origin, head.size, head.root).text).signed_by(key)
        note, seen = self._witnessed(note)
        published = [*seen, *(self._publish(place, head, note) for place in self.places)]
        sealed = Sealed(str(note), head.size, tuple(published))
        self._record(sealed, head, why, unread)
        if sealed.kept < min(ENOUGH_PLACES, max(len(self.places), 1)):
            self._tell(f"the head of {head.size} records is kept in {sealed.kept} places", "squall audit checkpoint")
        return sealed

    def after(self, why: str) -> Sealed | None:
        """Seal at the end of something that must not fail over it; what went wrong is logged and told."""
        if not self.keys.has("log") or not self.places:
            return None
        try:
            return self.seal(why=why)
        except SquallError as error:
            log.warning("no checkpoint after %s: %s", why, error.message)
            return None

    @property
    def buckets(self) -> tuple[Bucket, ...]:
        """Those of the places that are buckets."""
        return tuple(place for place in self.places if isinstance(place, Bucket))

    def newest(self) -> tuple[Checkpoint, str]:
        """The largest published head of this log, and its note; raises LedgerError when none was published."""
        heads = self._heads(self.known_keys(), [])
        if not heads:
            raise LedgerError("no head of this log was published yet", remedy="sign one: `squall audit checkpoint`")
        checkpoint, found = max(heads, key=lambda each: each[0].size)
        return checkpoint, found.text

    def prove(self, seq: int) -> InclusionProof:
        """Proof of one record under the newest published head that has it; raises LedgerError when none has."""
        for size, found in sorted(self._heads(self.known_keys(), []), key=lambda each: -each[0].size):
            if seq < size.size:
                path = self.log.inclusion_proof(seq, size.size)
                return InclusionProof(seq, path, found.text)
        raise LedgerError(
            f"no published checkpoint has record {seq} yet",
            remedy="sign one: `squall audit checkpoint`, then try again",
        )

    def found(self, unread: list[Published]) -> list[Found]:
        """Every note in every place; what cannot be read goes into ``unread``."""
        notes: list[Found] = []
        for place in self.places:
            try:
                notes += [Found(place.name, name, text) for name, text in place.notes().items()]
            except SquallError as error:
                unread.append(Published(place.name, error=error.message))
        return notes

    def known_keys(self) -> tuple[VerifyKey, ...]:
        """All keys that a head may be signed with, through every rotation on record."""
        witnesses = tuple(each.key for each in self.witnesses)
        return (*grown(self.keys.known(), self.log.records(kinds=(RecordKind.KEY_ROTATED,))), *witnesses)

    def _heads(self, known: Sequence[VerifyKey], unread: list[Published]) -> list[tuple[Checkpoint, Found]]:
        heads = []
        for found in self.found(unread):
            note = Note.parse(found.text)
            checkpoint = Checkpoint.parse(note.text)
            if checkpoint.origin == self.keys.origin:  # others may keep theirs in the same place
                note.opened(key for key in known if key.name == checkpoint.origin)
                heads.append((checkpoint, found))
        return heads

    def _extends(self, head: Head, known: Sequence[VerifyKey], unread: list[Published]) -> Checkpoint | None:
        """The newest published head, once all of them are proved to begin this log."""
        last: Checkpoint | None = None
        try:
            for old, where in self._heads(known, unread):
                self._refuse_fork(old, where, head)
                last = old if last is None or old.size >= last.size else last
        except SquallError as error:
            self._tell(error.message, "squall audit verify")
            raise
        return last

    def _refuse_fork(self, old: Checkpoint, where: Found, head: Head) -> None:
        proved = False
        if old.size <= head.size:
            proof = self.log.consistency_proof(old.size, head.size)
            proved = merkle.verify_consistency(old.size, head.size, old.root, head.root, proof)
        if not proved:
            raise LedgerError(
                f"the log of {head.size} records does not extend the {old.size} records that {where.place} holds as "
                f"{where.name}: it was cut or rebuilt, and is not signed",
                remedy="run `squall audit verify`; restore the ledger from a backup, and keep both for the inquiry",
            )

    def _only_heads_since(self, last: Checkpoint) -> bool:
        return all(
            stored.record.kind is RecordKind.CHECKPOINT_SIGNED for stored in self.log.records(after_seq=last.size - 1)
        )

    def _witnessed(self, note: Note) -> tuple[Note, list[Published]]:
        seen = []
        for witness in self.witnesses:
            try:
                note = witness.cosign(note, self.log.consistency_proof)
                seen.append(Published(witness.name, receipt=note.signatures[-1].line.strip()))
            except SquallError as error:
                self._tell(error.message, "squall audit verify")
                seen.append(Published(witness.name, error=error.message))
        return note, seen

    def _publish(self, place: Place, head: Head, note: Note) -> Published:
        try:
            return Published(place.name, receipt=place.publish(_name(head, str(note)), str(note)))
        except SquallError as error:
            log.warning("the head is not in %s: %s", place.name, error.message)
            return Published(place.name, error=error.message)

    def _record(self, sealed: Sealed, head: Head, why: str, unread: list[Published]) -> None:
        facts = {
            "size": head.size,
            "root_sha256": head.root.hex(),
            "why": why,
            "note": sealed.note,
            "published": [
                {"place": each.place, "receipt": each.receipt, "error": each.error} for each in sealed.published
            ],
            "unread": [{"place": each.place, "error": each.error} for each in unread],
        }
        now = self.clock.now()
        self.log.append(
            Record(
                kind=RecordKind.CHECKPOINT_SIGNED,
                idem_key=f"checkpoint/{head.size}/{head.root.hex()[:16]}/{now.isoformat()}",
                occurred_at=now,
                run_id=RUN_ID,
                recorder=self.recorder,
                payload=NotePayload(text=f"the head of {head.size} records was signed", facts=facts),
            )
        )

    def _tell(self, sentence: str, command: str) -> None:
        kind = NoticeKind.NOT_SEALED
        self.notifier.tell(
            Notice(kind=kind, about=RUN_ID, sentence=sentence, occurred_at=self.clock.now(), command=command)
        )
