"""What is attested about versions of models, and the aliases that are set by it; both on record."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from chaos_tasks import registry as catalogue
from chaos_tasks.attesting.promoting import Gate, ModelVersion, Promoted, Registry, attest
from chaos_tasks.errors import InvalidFile, Problem
from chaos_tasks.evidence import controls
from chaos_tasks.evidence.body import LogHead, Scope, Tested
from chaos_tasks.evidence.gathering import gather
from chaos_tasks.model.plan import Recorder
from chaos_tasks.model.record import Note, Record, RecordKind
from chaos_tasks.ports import Clock, Ledger
from chaos_tasks.sealing.sealer import Sealer

RUN_ID = "models"
LOOK_BACK = timedelta(days=90)
"""Runs older than this say nothing about a model of today."""


@dataclass(frozen=True)
class Models:
    """Attests and promotes."""

    ledger: Ledger
    sealer: Sealer
    clock: Clock
    recorder: Recorder
    registry: Registry
    version: str

    def parse(self, text: str) -> ModelVersion:
        """`models:/NAME/VERSION` or `NAME/VERSION`; raises InvalidFile for anything else."""
        return parse_uri(text)

    def attest(self, model: ModelVersion, target: str) -> bytes:
        """The signed summary of what the target was shown to tolerate, about this version's files.

        Raises SetupError without a report key, SquallError without a judged run of the target.
        """
        now = self.clock.now()
        key = self.sealer.keys.signing("report")
        envelope = attest(model, self.registry.files(model), self._runs(target), key, at=now)
        digest = hashlib.sha256(envelope).hexdigest()
        self._record(RecordKind.MODEL_ATTESTED, digest, f"{model.uri} by {target}", {"statement_sha256": digest})
        return envelope

    def promote(
        self,
        model: ModelVersion,
        alias: str,
        envelope: bytes,
        *,
        require: Sequence[str],
        max_age: timedelta = timedelta(days=7),
    ) -> Promoted:
        """Set the alias if the statement allows it; raises what ``Gate.promote`` does, and UnknownKind."""
        for kind in require:
            catalogue.fault(kind)
        gate = Gate(tuple(require), self.sealer.known_keys(), max_age, self.clock.now)
        promoted = gate.promote(model, alias, envelope, self.registry)
        facts = {
            "alias": alias,
            "model_sha256": promoted.digest,
            "statement_sha256": hashlib.sha256(envelope).hexdigest(),
            "signers": list(promoted.signers),
        }
        key = f"{model.uri}/{alias}/{self.clock.now().isoformat()}"
        self._record(RecordKind.MODEL_PROMOTED, key, f"{model.uri} is {alias}", facts)
        return promoted

    def _runs(self, target: str) -> tuple[Tested, ...]:
        now = self.clock.now()
        scope = Scope(since=now - LOOK_BACK, until=now + timedelta(minutes=1), targets=(target,))
        body = gather(
            self.ledger.records(since=scope.since),
            scope,
            title=target,
            issued_at=now,
            log=LogHead(origin="", size=0, root_sha256=""),
            table=controls.shipped(),
            squall_version=self.version,
            registered=catalogue.fault_kinds(),
        )
        return body.tested

    def _record(self, kind: RecordKind, key: str, text: str, facts: Mapping[str, object]) -> None:
        self.ledger.append(
            Record(
                kind=kind,
                idem_key=f"{kind.value}/{key}",
                occurred_at=self.clock.now(),
                run_id=RUN_ID,
                recorder=self.recorder,
                payload=Note.model_validate({"text": text, "facts": facts}),
            )
        )


def parse_uri(text: str) -> ModelVersion:
    """`models:/NAME/VERSION` or `NAME/VERSION`; raises InvalidFile for anything else."""
    name, _, version = text.removeprefix("models:/").rpartition("/")
    if not name or not version.isdigit():
        cause = "this names no version of a model"
        problem = Problem(line=1, field="", cause=cause, remedy="write models:/NAME/VERSION")
        raise InvalidFile(text or "''", (problem,))
    return ModelVersion(name=name, version=version)
