"""A gate test as a ledger record: counts, shares and digests; the report itself is a file."""

from __future__ import annotations

from datetime import datetime

from pydantic import JsonValue

from chaos_tasks.gates.proposing import Proposal
from chaos_tasks.gates.values import GateReport, HarmState, Passing, Share
from chaos_tasks.model.plan import Recorder
from chaos_tasks.model.record import Note, Record, RecordKind, Subject


def gate_record(
    report: GateReport, proposal: Proposal | None, *, run_id: str, at: datetime, recorder: Recorder, environment: str
) -> Record:
    """The record of one gate test."""
    return Record(
        kind=RecordKind.GATE_TESTED,
        idem_key=f"{run_id}/{RecordKind.GATE_TESTED.value}",
        occurred_at=at,
        run_id=run_id,
        recorder=recorder,
        environment=environment,
        subjects=(
            Subject(name="gate-report", sha256=report.content_sha256),
            Subject(name=report.target, git_commit=report.commit, sha256=report.data_digest),
        ),
        payload=Note(text=f"gate of {report.target} tested", facts=_facts(report, proposal)),
    )


def _facts(report: GateReport, proposal: Proposal | None) -> dict[str, JsonValue]:
    facts: dict[str, JsonValue] = {
        "gates": list(report.gates),
        "mutants": len(report.tried),
        "invalid": report.count(Passing.INVALID),
        "equivalent": report.count(Passing.EQUIVALENT),
        "killed": sum(one.killed for one in report.tried),
        "escaped": sum(one.escaped for one in report.tried),
        "harmless_passed": report.count(Passing.PASSED, HarmState.HARMLESS),
        "unknown": report.count(harm=HarmState.UNKNOWN),
        "families_with_escapes": len(report.escapes),
        "score": _share(report.score),
        "trainings": report.cost.trainings,
        "gate_runs": report.cost.gate_runs,
        "seconds": round(report.cost.seconds, 1),
    }
    if proposal is not None:
        facts["proposed_checks"] = [check.name for check in proposal.checks]
        facts["proposal_sha256"] = proposal.content_sha256
    return facts


def _share(share: Share | None) -> JsonValue:
    return None if share is None else {"estimate": share.estimate, "low": share.low, "high": share.high, "n": share.n}
