"""Makes the evidence pack of a period, records that, and brings it where it is wanted: a folder, S3, MLflow."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from chaos_tasks import registry
from chaos_tasks.attesting.test_result import statement_of
from chaos_tasks.errors import GuardTripped, LedgerError, SetupError, SquallError
from chaos_tasks.evidence import controls, pdf
from chaos_tasks.evidence.answers import first_page
from chaos_tasks.evidence.body import Body, LogHead, Scope
from chaos_tasks.evidence.gathering import gather
from chaos_tasks.evidence.pack import MANIFEST, RESULTS, Log, PackedRecord, contents, documents, zipped
from chaos_tasks.ledger.database_ledger import DatabaseLedger
from chaos_tasks.ledger.store import RawRow
from chaos_tasks.model.packs import PackBucket
from chaos_tasks.model.plan import Recorder
from chaos_tasks.model.record import Note, Record, RecordKind
from chaos_tasks.ports import Clients, Clock, Ledger
from chaos_tasks.sealing.sealer import Sealer
from chaos_tasks.signing import dsse
from chaos_tasks.signing.keys import SigningKey

log = logging.getLogger(__name__)

HISTORY = timedelta(days=400)
"""How far back a document reads: findings have an age, and are closed by later runs."""

S3 = "s3://"
MANY_LEAVES = 200_000  # records of a log from which on each record brings its own path


@dataclass(frozen=True)
class Packed:
    """What was made, and where it is."""

    folder: Path
    archive: Path
    body: Body
    signed: bool
    missing: tuple[str, ...]  # what could not be part of it, and why
    elsewhere: tuple[str, ...]  # S3 and MLflow

    @property
    def screen(self) -> str:
        """The first page as text."""
        lines = [self.body.title, ""]
        for one in first_page(self.body):
            lines += [one.question, *[f"  {text}" for text in one.sentences]]
        return "\n".join(lines)


@dataclass(frozen=True)
class Packs:
    """Reads the ledger, writes below Squall's home."""

    ledger: Ledger
    sealer: Sealer
    clients: Clients
    clock: Clock
    recorder: Recorder
    home: Path
    version: str
    show: Callable[[str, Path, Mapping[str, str], datetime], str] | None = None  # logs a folder to MLflow
    buckets: Sequence[PackBucket] = ()  # besides those of signed heads

    def scope(
        self,
        begin: datetime,
        end: datetime,
        targets: Sequence[str] = (),
        owners: Sequence[str] = (),
        framework: str = "",
    ) -> Scope:
        """What a pack is about; raises SetupError for a framework that the table of controls does not have."""
        if framework:
            controls.shipped().framework(framework)
        return Scope(since=begin, until=end, targets=tuple(targets), owners=tuple(owners), framework=framework)

    def make(self, scope: Scope, *, title: str = "", to: str = "", signers: Sequence[str] = ()) -> Packed:
        """The pack of a period; ``to`` is a folder or s3://bucket/prefix besides, ``signers`` persons who sign too.

        Without keys or a place for checkpoints it is not signed, and says so.  Raises GuardTripped for a
        bucket that is not declared, before anything is made, SetupError for a destination that cannot be written,
        SquallError for a run whose records are out of order.
        """
        place = self._bucket(to) if to.startswith(S3) else None
        ledger = self._database()
        missing: list[str] = []
        note, head = self._head(ledger, missing)
        body = self._body(scope, title or _title(scope), head)
        keys = self._keys(signers, missing) if note else []
        made = self._documents(body, keys, missing)
        if note and keys:
            packed = Log(note, *self._records(ledger, body, head.size))
            known = self.sealer.known_keys()
            made = contents(body, made, packed, signers=keys, known=known, previous=self._previous())
        folder = self.home / "reports" / _name(scope)
        archive = self._write(folder, made)
        self._record(scope, archive, made, signed=bool(note and keys))
        elsewhere = [*self._bring(to, place, folder, archive), *self._show(body, folder, missing)]
        return Packed(folder, archive, body, bool(note and keys), tuple(missing), tuple(elsewhere))

    def _database(self) -> DatabaseLedger:
        if not isinstance(self.ledger, DatabaseLedger):
            raise LedgerError("this ledger keeps no log that could be packed", remedy="use SQLite or PostgreSQL")
        return self.ledger

    def _head(self, ledger: DatabaseLedger, missing: list[str]) -> tuple[str, LogHead]:
        """The newest published head, signed at this moment where it can be; else the log's own, unsigned."""
        try:
            self.sealer.after("an evidence pack")
            checkpoint, text = self.sealer.newest()
        except SquallError as error:
            missing.append(f"a signed checkpoint: {error.message}")
            head = ledger.head()
            origin = self.sealer.keys.origin or "unnamed"
            return "", LogHead(origin=origin, size=head.size, root_sha256=head.root.hex())
        return text, LogHead(origin=checkpoint.origin, size=checkpoint.size, root_sha256=checkpoint.root.hex())

    def _body(self, scope: Scope, title: str, head: LogHead) -> Body:
        records = self.ledger.records(since=scope.since - HISTORY, until=scope.until)
        return gather(
            (one for one in records if one.seq < head.size),
            scope,
            title=title,
            issued_at=self.clock.now(),
            log=head,
            table=controls.shipped(),
            squall_version=self.version,
            registered=registry.fault_kinds(),
        )

    def _keys(self, signers: Sequence[str], missing: list[str]) -> list[SigningKey]:
        """The report key and those of persons; a person who is asked for and has none is an error."""
        try:
            keys = [self.sealer.keys.signing("report")]
        except SquallError as error:
            missing.append(f"a signature: {error.message}")
            return []
        return [*keys, *(self.sealer.keys.signing(person) for person in signers)]

    def _documents(self, body: Body, keys: Sequence[SigningKey], missing: list[str]) -> dict[str, bytes]:
        table = controls.shipped()
        attestations = (
            [dsse.seal(statement_of(run, body.log).to_bytes(), keys[0]) for run in body.tested] if keys else []
        )
        made = documents(body, table, attestations)
        try:
            made["report.pdf"] = pdf.render(body, table, attached={RESULTS: made[RESULTS]})
        except SquallError as error:  # it comes last, and the other documents never wait for it
            missing.append(f"the PDF: {error.message}; {error.remedy}")
        return made

    def _records(self, ledger: DatabaseLedger, body: Body, size: int) -> tuple[list[PackedRecord], bytes | None]:
        """The rows of these runs, and all leaves of the log or a path with each row."""
        runs = {one.run_id for one in body.tested} | {one.run_id for one in body.unfinished}
        few = size <= MANY_LEAVES
        leaves, rows = bytearray(), []
        for row in ledger.raw_rows():
            if row.seq >= size:
                break
            if few:
                leaves += row.leaf
            if row.run_id in runs:
                rows.append(row)
        path = None if few else ledger.inclusion_proof
        return [_packed(row, path, size) for row in rows], bytes(leaves) if few else None

    def _previous(self) -> str:
        """Digest of the manifest of the pack before this one, from its record: a pack that is missing shows."""
        issued = [one.record.payload for one in self.ledger.records(kinds=(RecordKind.REPORT_ISSUED,))]
        digests = [str(note.facts.get("manifest_sha256") or "") for note in issued if isinstance(note, Note)]
        return next((digest for digest in reversed(digests) if digest), "")

    def _write(self, folder: Path, made: Mapping[str, bytes]) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.iterdir():  # a file of an earlier export would not be in the manifest
            if old.is_file():
                old.unlink()
        for name, content in made.items():
            (folder / name).write_bytes(content)
        archive = folder.with_name(f"squall-evidence-{folder.name}.zip")
        archive.write_bytes(zipped(made))
        return archive

    def _record(self, scope: Scope, archive: Path, made: Mapping[str, bytes], *, signed: bool) -> None:
        digest = hashlib.sha256(archive.read_bytes()).hexdigest()
        manifest = hashlib.sha256(made[MANIFEST]).hexdigest() if MANIFEST in made else ""
        facts = {
            "since": scope.since.isoformat(),
            "until": scope.until.isoformat(),
            "archive_sha256": digest,
            "manifest_sha256": manifest,
            "signed": signed,
            "files": len(made),
        }
        note = Note(text=f"evidence pack {archive.name}, {len(made)} files", facts=facts)
        self.ledger.append(
            Record(
                kind=RecordKind.REPORT_ISSUED,
                idem_key=f"evidence/{digest}",
                occurred_at=self.clock.now(),
                run_id="evidence",
                recorder=self.recorder,
                payload=note,
            )
        )

    def _bring(self, to: str, place: PackBucket | None, folder: Path, archive: Path) -> list[str]:
        if not to:
            return []
        if place is not None:
            return [self._to_s3(to, place, archive)]
        target = Path(to).expanduser()
        try:
            (target / folder.name).mkdir(parents=True, exist_ok=True)
            (target / archive.name).write_bytes(archive.read_bytes())
            for one in folder.iterdir():
                (target / folder.name / one.name).write_bytes(one.read_bytes())
        except OSError as error:
            raise SetupError(
                f"the pack cannot be written to {target}: {error.strerror}",
                remedy=f"choose another folder; it is in {folder} as well",
            ) from error
        return [str(target / folder.name)]

    def _bucket(self, to: str) -> PackBucket:
        """The bucket as it is declared: whose keys it takes and where it is are not guessed."""
        name = to.removeprefix(S3).partition("/")[0]
        heads = [
            PackBucket(bucket=one.bucket, credentials=one.credentials, endpoint=one.endpoint, region=one.region)
            for one in (each.place for each in self.sealer.buckets)
        ]
        known = (*self.buckets, *heads)
        found = next((one for one in known if one.bucket == name), None)
        if found is None:
            names = ", ".join(sorted({one.bucket for one in known})) or "none"
            raise GuardTripped(
                f"the bucket {name!r} is declared nowhere (known: {names}), so the pack was not made",
                remedy=f'write [packs] s3 = [{{bucket = "{name}", credentials = "...", endpoint = "...", '
                'region = "..."}] into squall.toml; without an endpoint it is one of AWS',
            )
        return found

    def _to_s3(self, to: str, place: PackBucket, archive: Path) -> str:
        from botocore.exceptions import BotoCoreError, ClientError

        bucket, _, prefix = to.removeprefix(S3).partition("/")
        key = f"{prefix.rstrip('/')}/{archive.name}".lstrip("/")
        try:
            client = self.clients.s3(place.credentials, endpoint=place.endpoint, region=place.region)
            client.put_object(Bucket=bucket, Key=key, Body=archive.read_bytes(), ContentType="application/zip")
        except (BotoCoreError, ClientError) as error:
            raise SetupError(
                f"the pack cannot be put to s3://{bucket}/{key}: {error}",
                remedy=f"check the bucket and the rights of {place.credentials!r}; the pack is in {archive} as well",
            ) from error
        return f"s3://{bucket}/{key}"

    def _show(self, body: Body, folder: Path, missing: list[str]) -> list[str]:
        """A view, never the evidence: where MLflow is away, the pack stands all the same."""
        if self.show is None:
            return []
        told = {
            "runs": str(len(body.tested)),
            "findings_open": str(len(body.open_findings)),
            "root": body.log.root_sha256,
        }
        try:
            return [self.show(body.title, folder, told, body.issued_at)]
        except SquallError as error:
            missing.append(f"the copy in MLflow: {error.message}")
            return []


def _packed(row: RawRow, path: Callable[[int, int], tuple[bytes, ...]] | None, size: int) -> PackedRecord:
    proof = path(row.seq, size) if path is not None else None
    return PackedRecord(row.seq, row.entry.header, row.entry.salt, row.entry.payload, proof)


def _title(scope: Scope) -> str:
    what = ", ".join((*scope.targets, *scope.owners))
    return f"Chaos experiments {scope.since:%Y-%m-%d} to {scope.until:%Y-%m-%d}{f': {what}' if what else ''}"


def _name(scope: Scope) -> str:
    """A folder of its own for each scope."""
    parts = [f"audit-{scope.since:%Y%m%d}-{scope.until:%Y%m%d}", *scope.targets, *scope.owners, scope.framework]
    return "-".join(_safe(part) for part in parts if part)


def _safe(text: str) -> str:
    return "".join(one if one.isalnum() or one in "-_." else "_" for one in text)
