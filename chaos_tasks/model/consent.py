"""Who has to agree before a run may put anything in: the policy of squall.toml, and what its records say."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from chaos_tasks.model.base import Value
from chaos_tasks.model.duration import Duration
from chaos_tasks.model.experiment import Risk

LOG = "squall-approvals"
"""What belongs to no single run stands under this, in the place of a run: standing approvals and policies."""

REHEARSAL = frozenset({"lab", "dev", "test", "ci"})
"""Environments that nobody works with; every other one counts as somebody's."""

LONGEST_PERMIT = timedelta(hours=4)

Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]
Text = Annotated[str, StringConstraints(strip_whitespace=True, max_length=1000)]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Nonce = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]


class Consent(StrEnum):
    """What a run needs before its first fault, from least to most."""

    NONE = "none"
    STANDING = "standing"  # somebody has agreed before, for targets and families like these
    FOUR_EYES = "four_eyes"  # an assigned person who neither asked for it nor owns it agrees to this very plan

    @property
    def rank(self) -> int:
        """Larger asks for more."""
        return list(Consent).index(self)


class EnvironmentApprovals(Value):
    """What each class of risk needs in one environment, and who may agree there."""

    low: Consent = Consent.STANDING
    medium: Consent = Consent.FOUR_EYES
    high: Consent = Consent.FOUR_EYES
    irreversible: Consent = Consent.FOUR_EYES
    people: tuple[Name, ...] = Field(
        (), description="Names as Airflow has them, and user@host for the command line; nobody else may agree."
    )

    def of(self, risk: Risk, *, irreversible: bool) -> Consent:
        """What one step needs."""
        by_class = {Risk.LOW: self.low, Risk.MEDIUM: self.medium, Risk.HIGH: self.high}[risk]
        return stricter(by_class, self.irreversible) if irreversible else by_class

    @property
    def strictest(self) -> Consent:
        """The most that anything there can need."""
        return stricter(self.low, self.medium, self.high, self.irreversible)


NOTHING = EnvironmentApprovals(
    low=Consent.NONE, medium=Consent.NONE, high=Consent.NONE, irreversible=Consent.NONE, people=()
)


class ApprovalPolicy(Value):
    """`[approvals]`: by environment; where nothing is said, rehearsals need nothing and everything else the default."""

    permit_for: Duration = Field(LONGEST_PERMIT, description="How long a permit is good for, at most four hours.")
    respond_within: Duration = Field(timedelta(hours=12), description="After that a request counts as refused.")
    environments: Mapping[str, EnvironmentApprovals] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _ends(self) -> Self:
        if not timedelta(0) < self.permit_for <= LONGEST_PERMIT:
            raise ValueError("permit_for must be more than nothing and at most 4h")
        if not timedelta(0) < self.respond_within <= timedelta(days=7):
            raise ValueError("respond_within must be more than nothing and at most 7 days")
        return self

    def at(self, environment: str) -> EnvironmentApprovals:
        """What one environment asks for."""
        if environment in self.environments:
            return self.environments[environment]
        return NOTHING if environment in REHEARSAL else EnvironmentApprovals()


class Decision(StrEnum):
    """What was said about a request, or about targets and families for some time."""

    APPROVE = "approve"
    REJECT = "reject"
    EXPIRE = "expire"  # nobody answered in time, which is a no
    INVALID = "invalid"  # somebody said yes who may not: it counts for nothing
    GRANT = "grant"  # a standing approval
    REVOKE = "revoke"  # of a standing approval, or of an approval that was not used yet


class Scope(Value):
    """What a standing approval covers, and until when."""

    environments: tuple[Name, ...] = Field(min_length=1)
    targets: tuple[Name, ...] = Field(min_length=1)
    families: tuple[Name, ...] = Field(min_length=1)
    max_risk: Risk = Risk.LOW
    expires_at: datetime


class PolicyLoaded(Value):
    """The policy that runs are measured by from here on."""

    type: Literal["policy_loaded"] = "policy_loaded"
    policy_sha256: Sha256
    policy: ApprovalPolicy


class ApprovalRequested(Value):
    """A run asks: for what, and who may answer until when."""

    type: Literal["approval_requested"] = "approval_requested"
    consent: Consent
    plan_sha256: Sha256
    policy_sha256: Sha256
    requested_by: Name
    owner: Name
    risk: Risk
    why: Text
    people: tuple[Name, ...]
    respond_by: datetime
    outside_window: str = Field("", max_length=300)


class ApprovalDecided(Value):
    """An answer.  Names are here and nowhere else, so that they can be erased with the payload."""

    type: Literal["approval_decided"] = "approval_decided"
    decision: Decision
    by: str = Field("", max_length=200, description="Empty: nobody answered.")
    via: str = Field(max_length=40, description="airflow, or command line")
    reason: Text = ""
    decided_at: datetime
    plan_sha256: str = Field("", description="Of an answer to a run.")
    request_seq: int | None = Field(None, description="Record of the request.")
    scope: Scope | None = Field(None, description="Of a standing approval.")
    revokes: int | None = Field(None, description="Record of the approval that is taken back.")


class PermitIssued(Value):
    """May be used once, for one plan, until it expires."""

    type: Literal["permit_issued"] = "permit_issued"
    nonce: Nonce
    plan_sha256: Sha256
    consent: Consent
    approval_seq: int = Field(ge=0, description="Record of the approval that it rests on.")
    expires_at: datetime


class PermitConsumed(Value):
    """Written by the ledger, in the transaction of the first intent of the run."""

    type: Literal["permit_consumed"] = "permit_consumed"
    nonce: Nonce
    plan_sha256: Sha256
    permit_seq: int = Field(ge=0)
    approval_seq: int = Field(ge=0)
    handle_id: str


class OverrideUsed(Value):
    """A rule that was passed by, why, and who agreed."""

    type: Literal["override_used"] = "override_used"
    what: str = Field(max_length=60)
    reason: Text
    requested_by: Name
    approved_by: str = Field(
        "", max_length=200, description="Second person; empty where the environment asks for none."
    )
    approval_seq: int | None = None


class IncidentOpened(Value):
    """A stop condition tripped, or an undo failed."""

    type: Literal["incident_opened"] = "incident_opened"
    incident_id: str
    detected_by: str = Field(max_length=60)
    what: Text
    cause_seq: int = Field(ge=0, description="Record that tells it.")


class IncidentClosed(Value):
    """A person says that it is contained, and what was done."""

    type: Literal["incident_closed"] = "incident_closed"
    incident_id: str
    by: Name
    note: Text
    contained_at: datetime
    opened_seq: int = Field(ge=0)


def stricter(*consents: Consent) -> Consent:
    """The one that asks for most."""
    return max(consents, key=lambda one: one.rank)


def same_person(one: str, other: str) -> bool:
    """Whether two names may be one person's: `user:Ana`, `ana` and `ana@host` are, to be on the safe side."""
    return bool(one) and _bare(one) == _bare(other)


def _bare(name: str) -> str:
    return name.strip().removeprefix("user:").partition("@")[0].casefold()
