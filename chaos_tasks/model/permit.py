"""The rule by which every ledger lets a run put its first fault in: one live permit for this very plan, used up by it.

It looks at records alone, so that neither Airflow's states nor anything that passed through XCom can stand in for one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime

from chaos_tasks.errors import LedgerError, NotPermitted
from chaos_tasks.model.consent import (
    LONGEST_PERMIT,
    ApprovalDecided,
    Consent,
    Decision,
    PermitConsumed,
    PermitIssued,
)
from chaos_tasks.model.record import Record, RecordKind, Registered, Stored

RUN_KINDS = (
    RecordKind.EXPERIMENT_REGISTERED,
    RecordKind.APPROVAL_DECIDED,
    RecordKind.PERMIT_ISSUED,
    RecordKind.PERMIT_CONSUMED,
)
ANSWERS = (Decision.APPROVE, Decision.REJECT, Decision.EXPIRE, Decision.REVOKE)
"""What the last of settles a request; an invalid answer changes nothing."""

Standing = Callable[[], Sequence[Stored]]
"""Reads what was said about standing approvals: only a run that rests on one asks."""


def consumption(run: Sequence[Stored], standing: Standing, intent: Record, now: datetime) -> Record | None:
    """The record that goes into the log together with a run's first intent; None where none has to.

    ``run`` are the records of ``RUN_KINDS`` of the intent's run, in log order.  Raises NotPermitted.
    """
    issued = usable(run, standing, now)
    if issued is None:
        return None
    permit = issued.record.payload
    assert isinstance(permit, PermitIssued)  # noqa: S101  (what `usable` returns)
    if intent.plan_sha256 != permit.plan_sha256:
        raise _refused(intent.run_id, "the plan that is acted on is not the one that was approved")
    return Record(
        kind=RecordKind.PERMIT_CONSUMED,
        idem_key=f"{RecordKind.PERMIT_CONSUMED.value}/{permit.nonce}",  # the log itself takes it once only
        occurred_at=intent.occurred_at,
        run_id=intent.run_id,
        experiment=intent.experiment,
        recorder=intent.recorder,
        plan_sha256=permit.plan_sha256,
        environment=intent.environment,
        payload=PermitConsumed(
            nonce=permit.nonce,
            plan_sha256=permit.plan_sha256,
            permit_seq=issued.seq,
            approval_seq=permit.approval_seq,
            handle_id=intent.handle_id,
        ),
    )


def usable(run: Sequence[Stored], standing: Standing, now: datetime) -> Stored | None:
    """The permit that would be used up now; None for a run that needs none, or has used its own up already.

    Raises NotPermitted saying what is missing.
    """
    needed = _needed(run)
    if needed is None or needed[0].consent is Consent.NONE:
        return None
    registered, run_id = needed
    digest = registered.plan_sha256
    permits = [one for one in run if _is_permit(one, digest)]
    if any(_is_use_of(one, permits) for one in run):
        return None
    if not permits:
        raise _refused(run_id, f"it needs {registered.consent.value.replace('_', ' ')}, and has no permit")
    issued = permits[-1]
    permit = issued.record.payload
    assert isinstance(permit, PermitIssued)  # noqa: S101  (picked above)
    if permit.consent.rank < registered.consent.rank:
        raise _refused(run_id, f"its permit rests on {permit.consent.value}, and {registered.consent.value} is needed")
    if not now < permit.expires_at <= now + LONGEST_PERMIT:
        raise _refused(run_id, f"its permit was good until {permit.expires_at:%Y-%m-%d %H:%M:%S} UTC")
    if permit.consent is Consent.STANDING:
        _check_standing(run_id, permit, standing(), now)
    else:
        _check_answer(run_id, permit, run)
    if issued.seq <= permit.approval_seq:
        raise _refused(run_id, "its permit is older than the approval that it names")
    return issued


def refuse_own_words(record: Record) -> None:
    """Raises LedgerError for a record that a ledger writes by itself, and takes from nobody."""
    if record.kind is RecordKind.PERMIT_CONSUMED:
        raise LedgerError(
            f"{record.kind.value} is written by the ledger alone, together with an intent",
            remedy="inject; a permit is not used up in any other way",
        )


def already_used(run_id: str) -> NotPermitted:
    """What a ledger raises where the permit's nonce is in the log already."""
    return _refused(run_id, "its permit was used before, by another run")


def standing_grant(records: Iterable[Stored], seq: int, now: datetime) -> ApprovalDecided | None:
    """A standing approval that is neither revoked nor over; None for any other record."""
    found: ApprovalDecided | None = None
    for stored in records:
        answer = stored.record.payload
        if not isinstance(answer, ApprovalDecided):
            continue
        if stored.seq == seq and answer.decision is Decision.GRANT and answer.scope is not None:
            found = answer if now < answer.scope.expires_at else None
        elif answer.decision is Decision.REVOKE and answer.revokes == seq:
            return None
    return found


def _needed(run: Sequence[Stored]) -> tuple[Registered, str] | None:
    for stored in run:
        if stored.record.kind is RecordKind.EXPERIMENT_REGISTERED:
            if stored.erased:
                raise _refused(stored.record.run_id, "what it was registered as was erased")
            if isinstance(stored.record.payload, Registered):
                return stored.record.payload, stored.record.run_id
    return None


def _is_permit(stored: Stored, digest: str) -> bool:
    permit = stored.record.payload
    return isinstance(permit, PermitIssued) and permit.plan_sha256 == stored.record.plan_sha256 == digest


def _is_use_of(stored: Stored, permits: Sequence[Stored]) -> bool:
    use = stored.record.payload
    return isinstance(use, PermitConsumed) and any(
        isinstance(one.record.payload, PermitIssued) and one.record.payload.nonce == use.nonce for one in permits
    )


def _check_answer(run_id: str, permit: PermitIssued, run: Sequence[Stored]) -> None:
    """The last answer is the approval that the permit names, and it was to this plan."""
    answers = [
        (one.seq, one.record.payload)
        for one in run
        if isinstance(one.record.payload, ApprovalDecided) and one.record.payload.decision in ANSWERS
    ]
    if not answers:
        raise _refused(run_id, "the approval that its permit names is not in the log")
    seq, answer = answers[-1]
    if answer.decision is not Decision.APPROVE or seq != permit.approval_seq:
        raise _refused(run_id, f"the last answer to its request is: {answer.decision.value}")
    if answer.plan_sha256 != permit.plan_sha256:
        raise _refused(run_id, "what was approved is another plan")
    if permit.expires_at > answer.decided_at + LONGEST_PERMIT:
        raise _refused(run_id, "its permit is good for longer than four hours after the approval")


def _check_standing(run_id: str, permit: PermitIssued, records: Sequence[Stored], now: datetime) -> None:
    if standing_grant(records, permit.approval_seq, now) is None:
        raise _refused(run_id, "the standing approval that its permit rests on was revoked, or is over")


def _refused(run_id: str, why: str) -> NotPermitted:
    return NotPermitted(
        f"run {run_id} may not inject: {why}", remedy=f"`squall approvals show {run_id}` says what is missing"
    )
