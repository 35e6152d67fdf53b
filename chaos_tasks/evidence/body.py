"""What a document says, as values: everything that the renderings of one period share, numbers and names only."""

from __future__ import annotations

from datetime import date, datetime
from enum import StrEnum

from pydantic import Field

from chaos_tasks.evidence.controls import Reference
from chaos_tasks.model.base import Value
from chaos_tasks.model.experiment import KnownFinding
from chaos_tasks.model.handle import Reversibility
from chaos_tasks.model.plan import Recorder
from chaos_tasks.model.verdict import CheckResult, Outcome, Response


class Scope(Value):
    """Which runs a document is about: those that began within [since, until), of these targets and owners."""

    since: datetime
    until: datetime
    targets: tuple[str, ...] = Field((), description="Empty: all.")
    owners: tuple[str, ...] = Field((), description="Empty: all.")
    framework: str = Field("", description="Empty: all frameworks of the table.")


class Injected(Value):
    """One fault of a run: that it took effect, and that it was undone."""

    handle_id: str
    step: str
    kind: str
    reversibility: Reversibility
    injected_at: datetime | None
    effect: str = Field("", description="The receipt's sentence: counts and names, no row.")
    reverted_at: datetime | None
    undo: str = ""
    fingerprint_before: str = Field("", description="SHA-256 of the place; empty where it has none.")
    fingerprint_after: str = ""
    detail: str = Field("", description="Why it could not be put in or out.")

    @property
    def proved(self) -> bool:
        """Whether the undo is proved: by an equal fingerprint, or by the target's own health where it heals itself."""
        if self.reverted_at is None:
            return False
        restores = self.reversibility is Reversibility.RESTORES
        return not restores or self.fingerprint_before == self.fingerprint_after


class Allowed(Value):
    """Who let a run through, and by which record."""

    kind: str = Field(description="standing, person, none (it needed no approval), or withheld: needed, and not had.")
    seq: int | None = Field(None, description="Record of the decision.")
    by: str = Field("", description="Names as the record has them; empty once erased.")
    at: datetime | None = None
    permit_seq: int | None = Field(None, description="Record of the permit that the injection consumed.")


class Tested(Value):
    """One run that was registered, whatever became of it."""

    run_id: str
    part_of: str = Field("", description="Search that this run is a part of.")
    experiment: str
    hypothesis: str
    owner: str
    target: str
    environment: str
    tags: tuple[str, ...]
    fault_kinds: tuple[str, ...]
    probes: tuple[str, ...]
    requested_by: str
    planned_at: datetime
    started_at: datetime
    ended_at: datetime
    outcome: Outcome
    response: Response
    sentence: str
    checks: tuple[CheckResult, ...]
    known_finding: KnownFinding | None
    noticed_by: str
    detect_s: float | None
    recover_s: float | None
    trials: int
    faults: tuple[Injected, ...]
    allowed: Allowed
    recorder: Recorder
    source_commit: str
    data_digest: str
    plan_sha256: str
    registered_seq: int
    verdict_seq: int
    first_seq: int
    last_seq: int
    controls: tuple[Reference, ...]

    @property
    def conclusive(self) -> bool:
        """Whether the question was answered."""
        return self.outcome in (Outcome.HELD, Outcome.DEVIATED)


class Unfinished(Value):
    """Planned but not run, refused, or run but not judged: said in every document, so that nothing goes missing."""

    experiment: str
    run_id: str
    owner: str
    since: datetime
    state: str = Field(description="not run, refused, or not judged.")
    why: str


class Severity(StrEnum):
    """How urgent a finding is; decided by outcome and response, never by hand."""

    CRITICAL = "critical"  # something could not be put back
    HIGH = "high"  # deviated, and nothing noticed
    MODERATE = "moderate"  # deviated, and was noticed; or stopped by a stop condition
    LOW = "low"  # accepted by its owner until a date


class FindingState(StrEnum):
    """Where a finding stands at the end of the period."""

    OPEN = "open"
    ACCEPTED = "accepted"  # a known finding that has not expired
    OVERDUE = "overdue"
    CLOSED = "closed"  # a later run of the same experiment held


class Finding(Value):
    """Something that its owner has to deal with: one for each experiment, however often it was seen."""

    risk_id: str = Field(description="In the risk register: the ticket of a known finding, or an id of ours.")
    experiment: str
    target: str
    owner: str
    severity: Severity
    state: FindingState
    sentence: str
    effect: str
    run_ids: tuple[str, ...] = Field(description="Runs in which it was seen, oldest first.")
    first_seen: datetime
    last_seen: datetime
    due: date
    closed_at: datetime | None = None
    closed_by: str = Field("", description="Run that held.")
    reason: str = Field("", description="Of an accepted one: why.")


class Incident(Value):
    """A stop condition that tripped, or an undo that failed."""

    incident_id: str
    run_id: str
    experiment: str
    target: str
    owner: str
    opened_at: datetime
    detected_by: str
    what: str
    contained_at: datetime | None = Field(None, description="When everything was out.")
    seq: int
    closed_at: datetime | None = Field(None, description="When a person closed it.")
    closed_by: str = ""
    note: str = ""


class LogHead(Value):
    """The log that everything here was read from."""

    origin: str
    size: int
    root_sha256: str


class Body(Value):
    """One period, whole."""

    schema_version: int = 1
    title: str
    scope: Scope
    issued_at: datetime
    tested: tuple[Tested, ...]
    unfinished: tuple[Unfinished, ...]
    findings: tuple[Finding, ...]
    incidents: tuple[Incident, ...]
    exercised: tuple[str, ...] = Field(description="Kinds of fault that took effect.")
    not_exercised: tuple[str, ...]
    log: LogHead
    controls_reviewed: date
    squall_version: str

    @property
    def open_findings(self) -> tuple[Finding, ...]:
        """What somebody still has to do something about."""
        return tuple(one for one in self.findings if one.state in (FindingState.OPEN, FindingState.OVERDUE))
