"""Runs that need an approval, and the records of their way to a permit, for tests of any ledger."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from chaos_tasks.model.consent import LOG, ApprovalDecided, Consent, Decision, PermitIssued, Scope
from chaos_tasks.model.experiment import Experiment, Risk
from chaos_tasks.model.handle import Handle, Phase
from chaos_tasks.model.plan import Plan
from chaos_tasks.model.record import Payload, Record, RecordKind, Registered, Stored
from chaos_tasks.model.request import RunRequest
from chaos_tasks.model.target import Target
from chaos_tasks.planning import Source, make_plan
from chaos_tasks.ports import Ledger
from tests.ledger_samples import NOON, act, armed, handle

HOUR = timedelta(hours=1)
NONCE = "5" * 32


def plan_of(run_id: str) -> Plan:
    """A plan on a target in production."""
    flip = {"fault": "data.label_flip", "params": {"path": "a.csv", "column": "y", "fraction": 0.1}}
    check = {"name": "done", "probe": "workload.completed", "tolerance": {"type": "exactly", "value": True}}
    told = {
        "name": "tidy",
        "hypothesis": "The model stays as good.",
        "owner": "otto",
        "target": "toy",
        "steady_state": [check],
        "method": [{"name": "flip", "target": "data", **flip}],
    }
    target = {
        "name": "toy",
        "source": {"type": "dvc", "repo": "repo", "data": ["a.csv"], "format": "csv"},
        "workload": {"type": "command", "run": "true"},
    }
    request = RunRequest(run_id=run_id, experiment=Experiment.model_validate(told), requested_by="user:rita")
    source = Source(commit="c" * 40, data_digest="d" * 64)
    return make_plan(
        request, Target.model_validate(target), source, environment="production", home=Path("home"), now=NOON
    )


def say(ledger: Ledger, run_id: str, kind: RecordKind, payload: Payload, key: str = "", digest: str = "") -> Stored:
    """Append one record."""
    return ledger.append(
        Record(
            kind=kind,
            idem_key=f"{run_id}/{kind.value}/{key}",
            occurred_at=ledger.now(),
            run_id=run_id,
            plan_sha256=digest,
            payload=payload,
        )
    )


def register(ledger: Ledger, run_id: str, consent: Consent = Consent.FOUR_EYES) -> Plan:
    """A run on record, with what it needs."""
    plan = plan_of(run_id)
    digest = plan.content_sha256
    registered = Registered(plan=plan, plan_sha256=digest, consent=consent)
    say(ledger, run_id, RecordKind.EXPERIMENT_REGISTERED, registered, digest=digest)
    return plan


def answer(ledger: Ledger, plan: Plan, decision: Decision = Decision.APPROVE, key: str = "0", **more: Any) -> Stored:
    """What a person said."""
    told = {"by": "ana", "via": "tests", "decided_at": ledger.now(), "plan_sha256": plan.content_sha256, **more}
    decided = ApprovalDecided(decision=decision, **told)
    return say(ledger, plan.run_id, RecordKind.APPROVAL_DECIDED, decided, key, plan.content_sha256)


def permit(ledger: Ledger, plan: Plan, approval: Stored, **more: Any) -> Stored:
    """A permit that rests on it."""
    told: dict[str, Any] = {
        "nonce": NONCE,
        "plan_sha256": plan.content_sha256,
        "consent": Consent.FOUR_EYES,
        "approval_seq": approval.seq,
        "expires_at": ledger.now() + HOUR,
        **more,
    }
    issued = PermitIssued(**told)
    return say(ledger, plan.run_id, RecordKind.PERMIT_ISSUED, issued, issued.nonce, plan.content_sha256)


def grant(ledger: Ledger, until: datetime) -> Stored:
    """A standing approval for the target of these plans."""
    scope = Scope(
        environments=("production",), targets=("toy",), families=("data",), max_risk=Risk.LOW, expires_at=until
    )
    decided = ApprovalDecided(decision=Decision.GRANT, by="ana", via="tests", decided_at=ledger.now(), scope=scope)
    return say(ledger, LOG, RecordKind.APPROVAL_DECIDED, decided, "0")


def revoke(ledger: Ledger, granted: Stored) -> Stored:
    """Taken back."""
    decided = ApprovalDecided(
        decision=Decision.REVOKE, by="ana", via="tests", decided_at=ledger.now(), revokes=granted.seq
    )
    return say(ledger, LOG, RecordKind.APPROVAL_DECIDED, decided, "1")


def arm(ledger: Ledger, plan: Plan, name: str = "h") -> Handle:
    """One handle of a run, armed."""
    one = handle(f"{plan.run_id}/{name}", run_id=plan.run_id)
    ledger.arm(one, armed(one), lease_s=600)
    return one


def inject(ledger: Ledger, plan: Plan, one: Handle) -> None:
    """The intent of an injection, as acts.inject records it; raises NotPermitted."""
    intent = act(one, RecordKind.INJECT_INTENT).model_copy(update={"plan_sha256": plan.content_sha256})
    expect = [Phase.ARMED, Phase.INJECTING]
    ledger.transition(one.id, to=Phase.INJECTING, expect=expect, epoch=one.epoch, record=intent)
