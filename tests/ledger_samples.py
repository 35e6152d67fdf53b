"""Records, handles and locks for tests of the ledger."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from chaos_tasks.model.handle import Fingerprint, Handle, Receipt
from chaos_tasks.model.place import S3Place
from chaos_tasks.model.record import Act, Armed, Note, Record, RecordKind
from chaos_tasks.model.verdict import Outcome

NOON = datetime(2026, 11, 23, 12, 0, 0, 123000, tzinfo=UTC)


def note(key: str, *, run_id: str = "run-1", kind: RecordKind = RecordKind.RUN_PUBLISHED, **fields: Any) -> Record:
    """A record with a small payload."""
    text = fields.pop("text", "published")
    fields.setdefault("occurred_at", NOON)
    return Record(kind=kind, idem_key=key, run_id=run_id, payload=Note(text=text), **fields)


def registered(run_id: str = "run-1", plan: str = "a" * 64) -> Record:
    """A registration; its payload is a note, since order looks at headers only."""
    key = f"{run_id}/registered"
    return note(key, run_id=run_id, kind=RecordKind.EXPERIMENT_REGISTERED, plan_sha256=plan)


def verdict(run_id: str = "run-1", outcome: Outcome = Outcome.HELD) -> Record:
    """The end of a run."""
    return note(f"{run_id}/verdict", run_id=run_id, kind=RecordKind.EVALUATE_VERDICT, outcome=outcome)


def handle(name: str = "h1", *, run_id: str = "run-1", principal: str = "pipeline", epoch: int = 1) -> Handle:
    """A handle on an access right."""
    place = S3Place(endpoint="", region="us-east-1", bucket="b", prefix="p", principal=principal)
    return Handle(
        id=name, run_id=run_id, step="deny", kind="cloud.deny", place=place, params={}, prior={}, seed=7, epoch=epoch
    )


def armed(of: Handle, suffix: str = "") -> Record:
    """The record that goes with arming."""
    return Record(
        kind=RecordKind.FAULT_ARMED,
        idem_key=f"{of.run_id}/{of.id}/armed/{of.epoch}{suffix}",
        occurred_at=NOON,
        run_id=of.run_id,
        handle_id=of.id,
        fault_kind=of.kind,
        payload=Armed(handle=of, before=Fingerprint(digest="0" * 64, covers="policy")),
    )


def act(of: Handle, kind: RecordKind, *, nth: int = 1, effective: bool = True) -> Record:
    """An intent or a receipt on a handle."""
    receipt = Receipt(at=NOON, effective=effective, summary="1 policy", evidence={"ratio": 0.5})
    return Record(
        kind=kind,
        idem_key=f"{of.run_id}/{of.id}/{kind}/{of.epoch}/{nth}",
        occurred_at=NOON,
        run_id=of.run_id,
        handle_id=of.id,
        fault_kind=of.kind,
        payload=Act(handle_id=of.id, epoch=of.epoch, receipt=receipt),
    )
