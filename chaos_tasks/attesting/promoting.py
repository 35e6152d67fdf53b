"""Gates an alias of a model in MLflow on what is attested about exactly these bytes: no statement, no alias.

MLflow's tags and artifacts can be rewritten by whoever may log; so the gate believes a signature by the report key over
the digest of the model's files as they are now, never a tag.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol

from chaos_tasks.attesting.summary import PREDICATE, missing, summary_of
from chaos_tasks.errors import GuardTripped, SetupError, SignatureInvalid
from chaos_tasks.evidence.body import Tested
from chaos_tasks.model.base import Value, canonical
from chaos_tasks.signing import dsse
from chaos_tasks.signing.keys import SigningKey, VerifyKey
from chaos_tasks.signing.statement import Statement, SubjectDigest

AHEAD = timedelta(minutes=5)
"""How far the clock of whoever attested may be ahead of ours."""


class ModelVersion(Value):
    """One version of a registered model."""

    name: str
    version: str

    @property
    def uri(self) -> str:
        """As MLflow writes it."""
        return f"models:/{self.name}/{self.version}"


class Registry(Protocol):
    """Where models are registered."""

    def files(self, model: ModelVersion) -> Path:
        """A folder with the files of a version; raises SetupError for an unknown one."""

    def point(self, model: ModelVersion, alias: str) -> None:
        """Let the alias stand for the version."""


class Promoted(Value):
    """An alias that was set, and what allowed it."""

    model: ModelVersion
    alias: str
    digest: str
    properties: tuple[str, ...]
    attested_at: datetime
    signers: tuple[str, ...]


def digest_of(folder: Path) -> str:
    """SHA-256 over paths and digests of all files below a folder, in canonical JSON."""
    found = {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    if not found:
        raise SetupError(f"{folder} has no file", remedy="name a model version that has its artifacts")
    return hashlib.sha256(canonical(found)).hexdigest()


def attest(model: ModelVersion, files: Path, runs: Iterable[Tested], key: SigningKey, *, at: datetime) -> bytes:
    """The signed summary of what was shown about the pipeline that made this version.

    Raises SquallError without a judged run.
    """
    subject = SubjectDigest(name=model.uri, digest={"sha256": digest_of(files)})
    return dsse.seal(summary_of(runs, subject, at=at).to_bytes(), key) + b"\n"


@dataclass(frozen=True)
class Gate:
    """What an alias asks for."""

    require: tuple[str, ...]  # kinds of fault that must be tolerated
    keys: Sequence[VerifyKey]
    max_age: timedelta
    now: Callable[[], datetime]

    def promote(self, model: ModelVersion, alias: str, envelope: bytes, registry: Registry) -> Promoted:
        """Set the alias; raises GuardTripped naming what is not shown, SignatureInvalid for a stranger's statement."""
        opened = dsse.open_envelope(envelope, self.keys)
        statement = Statement.from_bytes(opened.payload)
        digest = digest_of(registry.files(model))
        _same_model(statement, model, digest)
        at = self._fresh(statement, model)
        properties = _properties(statement)
        lacking = missing(properties, self.require)
        if lacking:
            raise GuardTripped(
                f"{model.uri} is not shown to tolerate {', '.join(lacking)}",
                remedy="run those experiments until they hold, attest again, then promote",
            )
        registry.point(model, alias)
        signers = tuple(key.name for key in opened.signers)
        return Promoted(model=model, alias=alias, digest=digest, properties=properties, attested_at=at, signers=signers)

    def _fresh(self, statement: Statement, model: ModelVersion) -> datetime:
        raw = str(statement.predicate.get("timeCreated") or "")
        try:
            at = datetime.fromisoformat(raw)
            age = self.now() - at
        except (TypeError, ValueError):
            raise SignatureInvalid(f"the statement about {model.uri} does not say when it was made") from None
        if not -AHEAD <= age <= self.max_age:
            raise GuardTripped(
                f"the statement about {model.uri} is of {at:%Y-%m-%d %H:%M}, and may be {self.max_age} old at most",
                remedy="attest again: `squall attest`",
            )
        return at


def _same_model(statement: Statement, model: ModelVersion, digest: str) -> None:
    if statement.predicate_type != PREDICATE:
        raise GuardTripped(f"the statement is a {statement.predicate_type}, not a summary of what was tolerated")
    told = {one.name: one.digest.get("sha256") for one in statement.subject}
    if told.get(model.uri) != digest:
        raise GuardTripped(
            f"the statement is not about {model.uri} as it is now (sha256 {digest[:16]})",
            remedy="its files changed, or it is another version's statement: attest this one",
        )


def _properties(statement: Statement) -> tuple[str, ...]:
    found = statement.predicate.get("properties")
    return tuple(str(one) for one in found) if isinstance(found, list) else ()
