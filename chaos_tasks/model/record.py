"""A ledger record: a closed header that is hashed into the log, and a typed payload under a salted commitment.

Header and idempotency rules follow RFC 6962 logs as laid out in docs/adr/0003-ledger-records.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, JsonValue

from chaos_tasks.model.adjustment import Adjusted
from chaos_tasks.model.base import Value
from chaos_tasks.model.consent import (
    ApprovalDecided,
    ApprovalRequested,
    Consent,
    IncidentClosed,
    IncidentOpened,
    OverrideUsed,
    PermitConsumed,
    PermitIssued,
    PolicyLoaded,
)
from chaos_tasks.model.experiment import Experiment
from chaos_tasks.model.handle import Fingerprint, Handle, Receipt
from chaos_tasks.model.plan import Overrides, Pin, Plan, Recorder
from chaos_tasks.model.search import BreakingPoint, Difference, SearchKind, SearchRun
from chaos_tasks.model.trial import Arm, Observation, PairObservation, Trial
from chaos_tasks.model.verdict import Outcome, Reason, Verdict


class RecordKind(StrEnum):
    """What a record says.  Intents come before acts, receipts after them."""

    EXPERIMENT_REGISTERED = "experiment.registered"
    RUN_REFUSED = "run.refused"
    RUN_TAKEN_OVER = "run.taken_over"
    LOCKS_TAKEN = "locks.taken"
    LOCKS_RELEASED = "locks.released"
    FAULT_ARMED = "fault.armed"
    INJECT_INTENT = "inject.intent"
    INJECT_APPLIED = "inject.applied"
    INJECT_FAILED = "inject.failed"
    TRIGGER_CLAIMED = "trigger.claimed"
    REVERT_INTENT = "revert.intent"
    REVERT_VERIFIED = "revert.verified"
    REVERT_FAILED = "revert.failed"
    ABANDON_ASKED = "abandon.asked"
    HANDLE_ABANDONED = "handle.abandoned"
    TRIAL_STARTED = "trial.started"
    TRIAL_ENDED = "trial.ended"
    CONTROL_CHECKED = "control.checked"
    STOP_TRIGGERED = "stop.triggered"
    RECOVERY_MEASURED = "recovery.measured"
    RUNG_COMPARED = "rung.compared"
    EVALUATE_VERDICT = "evaluate.verdict"
    RUN_PUBLISHED = "run.published"
    SEARCH_STARTED = "search.started"
    SEARCH_ENDED = "search.ended"
    CAMPAIGN_PLANNED = "campaign.planned"
    CAMPAIGN_ADJUSTED = "campaign.adjusted"
    CAMPAIGN_ENDED = "campaign.ended"
    REPORT_ISSUED = "report.issued"
    MODEL_ATTESTED = "model.attested"
    MODEL_PROMOTED = "model.promoted"
    GATE_TESTED = "gate.tested"
    NOTICE_SENT = "notice.sent"
    NOTICE_FAILED = "notice.failed"
    CAMPAIGN_SWEPT = "campaign.swept"
    IDENTITIES_PROVED = "identities.proved"
    LEVER_PULLED = "lever.pulled"
    LEVER_RELEASED = "lever.released"
    NIGHT_COUNTED = "night.counted"
    CHECKPOINT_SIGNED = "checkpoint.signed"
    KEY_ROTATED = "key.rotated"
    POLICY_LOADED = "policy.loaded"
    APPROVAL_REQUESTED = "approval.requested"
    APPROVAL_DECIDED = "approval.decided"
    PERMIT_ISSUED = "permit.issued"
    PERMIT_CONSUMED = "permit.consumed"
    OVERRIDE_USED = "override.used"
    INCIDENT_OPENED = "incident.opened"
    INCIDENT_CLOSED = "incident.closed"
    PAYLOAD_REDACTED = "payload.redacted"
    PAYLOAD_ERASED = "payload.erased"
    CLONE_DELETED = "clone.deleted"
    FILES_PRUNED = "files.pruned"


BEGINNINGS = frozenset({RecordKind.LOCKS_TAKEN, RecordKind.APPROVAL_REQUESTED, RecordKind.SEARCH_STARTED})
"""What goes on with a run although an earlier try of it was refused."""


def is_refused(kinds: Iterable[RecordKind]) -> bool:
    """Whether a run with records of these kinds, in log order, was refused and has not gone on since."""
    told = [kind for kind in kinds if kind is RecordKind.RUN_REFUSED or kind in BEGINNINGS]
    return told[-1:] == [RecordKind.RUN_REFUSED]


class Registered(Value):
    """The plan, whole: hypothesis, tolerances and seeds are in the log before the fault."""

    type: Literal["registered"] = "registered"
    plan: Plan
    plan_sha256: str
    consent: Consent = Field(Consent.NONE, description="What it needs before its first fault.")


class Armed(Value):
    """A handle and the state of its place before the fault."""

    type: Literal["armed"] = "armed"
    handle: Handle
    before: Fingerprint


class Act(Value):
    """An intent, a receipt or a failure on one handle."""

    type: Literal["act"] = "act"
    handle_id: str
    epoch: int
    by: str = Field("", description="revert task, sweep, supervisor, person")
    receipt: Receipt | None = None
    after: Fingerprint | None = None
    error: str = ""
    remedy: str = ""


class TrialStart(Value):
    """A trial is about to run."""

    type: Literal["trial_start"] = "trial_start"
    trial_id: str
    arm: Arm
    seed: int


class TrialEnd(Value):
    """A trial ended, with what the probes read from it."""

    type: Literal["trial_end"] = "trial_end"
    trial: Trial
    observations: tuple[Observation, ...]
    pairs: tuple[PairObservation, ...] = Field((), description="Of a treatment trial against its control.")


class Recovery(Value):
    """Whether and when the system was healthy again after the revert."""

    type: Literal["recovery"] = "recovery"
    healthy: bool
    seconds: float | None = None
    detail: str = ""


class Judged(Value):
    """A verdict."""

    type: Literal["judged"] = "judged"
    verdict: Verdict


class SearchStarted(Value):
    """What a search will ask: in the log before its first run."""

    type: Literal["search_started"] = "search_started"
    search: SearchKind
    experiment: Experiment
    overrides: Overrides = Field(default_factory=Overrides)
    pin: Pin | None = Field(None, description="Version and seeds of every run of the search.")
    of: str = Field("", description="The run or search that is reduced or repeated.")
    part_of: str = Field("", description="The search that this one is a part of.")
    anyway: bool = Field(False, description="Of a repeated run: on what is there now, were it another version.")
    check: str = Field("", description="Of a reduction: the check that must fail again.")
    max_runs: int = Field(ge=1)
    level_alpha: float | None = Field(None, description="Error rate at which each check of each run is judged.")
    campaign_id: str = ""
    requested_by: str = ""


class SearchEnded(Value):
    """What a search found, and by which runs."""

    type: Literal["search_ended"] = "search_ended"
    search: SearchKind
    experiment: str
    of: str = ""
    levels: tuple[float, ...] = ()
    runs: tuple[SearchRun, ...] = ()
    outcome: Outcome | None = Field(None, description="Of a ramp: what it amounts to.")
    breaking_point: BreakingPoint | None = None
    reproducer: Experiment | None = Field(None, description="The smallest experiment that still deviated.")
    differences: tuple[Difference, ...] = Field((), description="Of a repeated run: what came out otherwise.")
    agrees: bool | None = Field(None, description="Of a repeated run: same outcome, and same answer of every check.")
    sentence: str
    reasons: tuple[Reason, ...] = ()


class Note(Value):
    """A closed set of short facts: names, counts, digests."""

    type: Literal["note"] = "note"
    text: str
    facts: Mapping[str, JsonValue] = Field(default_factory=dict)


Payload = (
    Registered
    | Armed
    | Act
    | TrialStart
    | TrialEnd
    | Recovery
    | Judged
    | SearchStarted
    | SearchEnded
    | Adjusted
    | PolicyLoaded
    | ApprovalRequested
    | ApprovalDecided
    | PermitIssued
    | PermitConsumed
    | OverrideUsed
    | IncidentOpened
    | IncidentClosed
    | Note
)


class Subject(Value):
    """What a record is about, by digest.  Fields stand by name, as headers write them."""

    git_commit: str = ""
    md5: str = ""
    name: str
    sha256: str = ""


class Record(Value):
    """One record as its writer gives it.  The store adds the sequence number and the payload's commitment."""

    kind: RecordKind
    idem_key: str = Field(description="Same key and same content: written once.  Physical acts carry the try number.")
    occurred_at: datetime
    run_id: str
    experiment: str = ""
    fault_kind: str = ""
    handle_id: str = ""
    recorder: Recorder = Field(default_factory=Recorder)
    subjects: tuple[Subject, ...] = ()
    plan_sha256: str = ""
    environment: str = ""
    outcome: Outcome | None = Field(None, description="Only on evaluate.verdict.")
    payload: Annotated[Payload, Field(discriminator="type")] | None = None


class Stored(Value):
    """A record as the log has it."""

    seq: int = Field(ge=0)
    leaf_sha256: str
    record: Record
    erased: bool = False
