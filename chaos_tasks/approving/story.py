"""What the log says about the approval of one run, and about standing approvals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from chaos_tasks.errors import LedgerError
from chaos_tasks.model.consent import (
    LOG,
    ApprovalDecided,
    ApprovalRequested,
    Consent,
    Decision,
    PermitConsumed,
    PermitIssued,
)
from chaos_tasks.model.experiment import Risk
from chaos_tasks.model.permit import ANSWERS, RUN_KINDS, usable
from chaos_tasks.model.plan import Plan
from chaos_tasks.model.record import RecordKind, Registered, Stored, is_refused
from chaos_tasks.ports import LedgerReader
from chaos_tasks.safety.risk import exceeds

KINDS = (*RUN_KINDS, RecordKind.APPROVAL_REQUESTED, RecordKind.RUN_REFUSED, RecordKind.EVALUATE_VERDICT)


@dataclass(frozen=True)
class Story:
    """One run's way to its permit."""

    run_id: str
    records: tuple[Stored, ...]

    @classmethod
    def of(cls, ledger: LedgerReader, run_id: str) -> Story:
        """Read it."""
        return cls(run_id, tuple(ledger.records(run_id=run_id, kinds=KINDS)))

    @property
    def registered(self) -> Registered:
        """The plan as it was registered; raises LedgerError."""
        for stored in self.records:
            if isinstance(stored.record.payload, Registered):
                return stored.record.payload
        raise LedgerError(f"no run {self.run_id} is registered", remedy="`squall approvals list` names those that wait")

    @property
    def plan(self) -> Plan:
        """The plan."""
        return self.registered.plan

    @property
    def consent(self) -> Consent:
        """What it was registered as needing."""
        return self.registered.consent

    @property
    def request(self) -> tuple[Stored, ApprovalRequested] | None:
        """What it asked for."""
        for stored in self.records:
            if isinstance(stored.record.payload, ApprovalRequested):
                return stored, stored.record.payload
        return None

    @property
    def decisions(self) -> tuple[tuple[Stored, ApprovalDecided], ...]:
        """All answers, invalid ones too."""
        found = [(one, one.record.payload) for one in self.records]
        return tuple((one, answer) for one, answer in found if isinstance(answer, ApprovalDecided))

    @property
    def answer(self) -> tuple[Stored, ApprovalDecided] | None:
        """The last one that counts."""
        counting = [one for one in self.decisions if one[1].decision in ANSWERS]
        return counting[-1] if counting else None

    @property
    def permits(self) -> tuple[tuple[Stored, PermitIssued], ...]:
        """All permits of the run."""
        found = [(one, one.record.payload) for one in self.records]
        return tuple((one, permit) for one, permit in found if isinstance(permit, PermitIssued))

    @property
    def used(self) -> bool:
        """Whether a permit was used up."""
        return any(isinstance(one.record.payload, PermitConsumed) for one in self.records)

    @property
    def ended(self) -> bool:
        """Whether nothing comes after; a later try that asks goes on with a run whose first was refused."""
        kinds = [one.record.kind for one in self.records]
        return RecordKind.EVALUATE_VERDICT in kinds or is_refused(kinds)

    def usable(self, ledger: LedgerReader) -> Stored | None:
        """The permit that it would use now, None where it needs none any more; raises NotPermitted."""
        run = [one for one in self.records if one.record.kind in RUN_KINDS]
        return usable(run, lambda: standing_records(ledger), ledger.now())


@dataclass(frozen=True)
class Grant:
    """One standing approval."""

    seq: int
    granted: ApprovalDecided
    revoked: ApprovalDecided | None

    def alive(self, now: datetime) -> bool:
        """Neither taken back nor over."""
        return self.revoked is None and self.granted.scope is not None and now < self.granted.scope.expires_at


def standing_records(ledger: LedgerReader) -> list[Stored]:
    """Everything that was said about standing approvals."""
    return list(ledger.records(run_id=LOG, kinds=(RecordKind.APPROVAL_DECIDED,)))


def grants(records: Sequence[Stored]) -> tuple[Grant, ...]:
    """All standing approvals, oldest first; one whose names were erased allows nothing."""
    answers = [(one.seq, one.record.payload) for one in records]
    said = [(seq, answer) for seq, answer in answers if isinstance(answer, ApprovalDecided)]
    revoked = {answer.revokes: answer for _, answer in said if answer.decision is Decision.REVOKE}
    return tuple(Grant(seq, answer, revoked.get(seq)) for seq, answer in said if answer.decision is Decision.GRANT)


def covering(ledger: LedgerReader, plan: Plan, risk: Risk, now: datetime) -> Grant | None:
    """A standing approval for a plan: every family of it, its target, its environment, and its risk at most."""
    families = {step.fault.partition(".")[0] for step in plan.experiment.method}
    for grant in grants(standing_records(ledger)):
        scope = grant.granted.scope
        if scope is None or not grant.alive(now) or exceeds(risk, scope.max_risk):
            continue
        covers = plan.environment in scope.environments and plan.target.name in scope.targets
        if covers and families <= set(scope.families):
            return grant
    return None


def waiting(ledger: LedgerReader) -> list[Story]:
    """Runs that asked and have neither an answer that counts nor an end, oldest first."""
    asked = [one.record.run_id for one in ledger.records(kinds=(RecordKind.APPROVAL_REQUESTED,))]
    stories = [Story.of(ledger, run_id) for run_id in dict.fromkeys(asked)]
    open_ = (one for one in stories if one.consent is Consent.FOUR_EYES and not one.ended and one.answer is None)
    return list(open_)
