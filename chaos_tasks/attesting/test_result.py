"""The in-toto statement of one run: what was tested on which version, and that its thresholds came before the fault.

Predicate test-result v0.1 (https://github.com/in-toto/attestation/blob/main/spec/predicates/test-result.md); what it
has no field for stands under a key of our own, which other readers must ignore.
"""

from __future__ import annotations

from pydantic import JsonValue

from chaos_tasks.errors import SquallError
from chaos_tasks.evidence.body import Injected, LogHead, Tested
from chaos_tasks.model.verdict import CheckResult, CheckState, Outcome
from chaos_tasks.signing.statement import Statement, SubjectDigest

PREDICATE = "https://in-toto.io/attestation/test-result/v0.1"
EXTENSION = "https://squall.dev/attestation/chaos/v1"
RESULTS = {Outcome.HELD: "PASSED", Outcome.DEVIATED: "FAILED", Outcome.UNREVERTED: "FAILED"}
"""What was aborted or gave no answer is WARNED, with its reason in the extension: recorded, never dropped."""


def statement_of(run: Tested, log: LogHead) -> Statement:
    """The statement; raises SquallError for a run whose plan is not on record before its faults."""
    _refuse_late_plan(run)
    passed, warned, failed = (
        _names(run, state) for state in (CheckState.PASSED, CheckState.UNKNOWN, CheckState.FAILED)
    )
    return Statement(
        subject=_subjects(run),
        predicate_type=PREDICATE,
        predicate={
            "result": RESULTS.get(run.outcome, "WARNED"),
            "configuration": [{"name": "plan", "digest": {"sha256": run.plan_sha256}}],
            "passedTests": [*passed],
            "warnedTests": [*warned],
            "failedTests": [*failed],
            EXTENSION: _extension(run, log),
        },
    )


def _refuse_late_plan(run: Tested) -> None:
    """Hypothesis and thresholds are worth something only if they were there first."""
    if not run.first_seq <= run.registered_seq < run.verdict_seq:
        raise SquallError(
            f"run {run.run_id} has its plan at record {run.registered_seq} and its verdict at {run.verdict_seq}",
            remedy="`squall audit verify` shows what else is out of order; no statement is made of such a run",
        )


def _subjects(run: Tested) -> tuple[SubjectDigest, ...]:
    """The data version that was tested, and the code that it was tested with."""
    data = SubjectDigest(name=f"dvc:{run.target}", digest={"sha256": run.data_digest})
    if len(run.source_commit) != 40:
        return (data,)
    return (data, SubjectDigest(name=f"git:{run.target}", digest={"gitCommit": run.source_commit}))


def _names(run: Tested, state: CheckState) -> list[str]:
    return [f"{one.check}: {one.sentence}" for one in run.checks if one.state is state]


def _extension(run: Tested, log: LogHead) -> dict[str, JsonValue]:
    return {
        "runId": run.run_id,
        "experiment": run.experiment,
        "hypothesis": run.hypothesis,
        "target": run.target,
        "environment": run.environment,
        "outcome": run.outcome.value,
        "response": run.response.value,
        "sentence": run.sentence,
        "window": {"start": run.started_at.isoformat(), "end": run.ended_at.isoformat()},
        "faults": [_fault(one) for one in run.faults],
        "checks": [_check(one) for one in run.checks],
        "recovery": {"seconds": _decimal(run.recover_s), "undoProved": all(one.proved for one in run.faults)},
        "noticed": {"by": run.noticed_by, "seconds": _decimal(run.detect_s)},
        "approval": {
            "kind": run.allowed.kind,
            "ledgerIndex": _index(run.allowed.seq),
            "permitIndex": _index(run.allowed.permit_seq),
        },
        "ledger": {
            "origin": log.origin,
            "registeredIndex": str(run.registered_seq),
            "verdictIndex": str(run.verdict_seq),
            "planSha256": run.plan_sha256,
        },
        "controls": [f"{one.framework}:{one.control_id}" for one in run.controls],
    }


def _fault(fault: Injected) -> dict[str, JsonValue]:
    return {
        "kind": fault.kind,
        "handle": fault.handle_id,
        "effect": fault.effect,
        "injectedAt": fault.injected_at.isoformat() if fault.injected_at else "",
        "revertedAt": fault.reverted_at.isoformat() if fault.reverted_at else "",
        "undoProved": fault.proved,
    }


def _check(check: CheckResult) -> dict[str, JsonValue]:
    """Every number as the decimal text that comes back exactly."""
    return {
        "name": check.check,
        "state": check.state.value,
        "reason": check.reason.value,
        "unit": check.unit,
        "method": check.method,
        "estimate": _decimal(check.estimate),
        "low": _decimal(check.low),
        "high": _decimal(check.high),
        "margin": _decimal(check.margin),
        "nControl": str(check.n_control),
        "nTreatment": str(check.n_treatment),
        "logEPass": _decimal(check.log_e_pass),
        "logEFail": _decimal(check.log_e_fail),
        "seeds": [str(seed) for seed in check.seeds],
    }


def _decimal(value: float | None) -> str:
    return "" if value is None else repr(value)


def _index(seq: int | None) -> str:
    return "" if seq is None else str(seq)
