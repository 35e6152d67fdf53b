"""CSV for spreadsheets: one row for each check of each run; nothing in a cell can become a formula."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator

from chaos_tasks.evidence.body import Body, Finding, Tested
from chaos_tasks.model.verdict import CheckResult

DANGEROUS = ("=", "+", "-", "@", "\t", "\r")
"""First characters by which spreadsheets take a text for a formula (OWASP, CSV injection)."""

RUN_COLUMNS = (
    "run_id", "experiment", "owner", "target", "environment", "fault_kinds", "requested_by", "started_at", "ended_at",
    "outcome", "response", "check", "state", "reason", "unit", "estimate", "low", "high", "margin", "n_control",
    "n_treatment", "method", "seeds", "detect_s", "recover_s", "undo_proved", "registered_seq", "verdict_seq",
    "plan_sha256", "sentence",
)  # fmt: skip
FINDING_COLUMNS = (
    "risk_id", "experiment", "target", "owner", "severity", "state", "first_seen", "last_seen", "due", "closed_at",
    "runs", "effect", "sentence", "reason",
)  # fmt: skip


def runs_csv(body: Body) -> str:
    """RFC 4180: CRLF, UTF-8, a header line; a run without a check has one row."""
    return _csv(RUN_COLUMNS, (row for run in body.tested for row in _rows(run)))


def findings_csv(body: Body) -> str:
    """One row for each finding."""
    return _csv(FINDING_COLUMNS, (_finding(one) for one in body.findings))


def _rows(run: Tested) -> Iterator[tuple[object, ...]]:
    about = (
        run.run_id, run.experiment, run.owner, run.target, run.environment, " ".join(run.fault_kinds),
        run.requested_by, run.started_at.isoformat(), run.ended_at.isoformat(), run.outcome.value, run.response.value,
    )  # fmt: skip
    rest = (
        run.detect_s, run.recover_s, all(fault.proved for fault in run.faults), run.registered_seq, run.verdict_seq,
        run.plan_sha256, run.sentence,
    )  # fmt: skip
    for check in run.checks or (None,):
        yield (*about, *_check(check), *rest)


def _check(check: CheckResult | None) -> tuple[object, ...]:
    if check is None:
        return ("",) * 12
    seeds = " ".join(map(str, check.seeds))
    return (
        check.check, check.state.value, check.reason.value, check.unit, check.estimate, check.low, check.high,
        check.margin, check.n_control, check.n_treatment, check.method, seeds,
    )  # fmt: skip


def _finding(one: Finding) -> tuple[object, ...]:
    closed = one.closed_at.isoformat() if one.closed_at else ""
    return (
        one.risk_id, one.experiment, one.target, one.owner, one.severity.value, one.state.value,
        one.first_seen.isoformat(), one.last_seen.isoformat(), one.due.isoformat(), closed, len(one.run_ids),
        one.effect, one.sentence, one.reason,
    )  # fmt: skip


def _csv(columns: tuple[str, ...], rows: Iterator[tuple[object, ...]]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(columns)
    writer.writerows([cell(value) for value in row] for row in rows)
    return out.getvalue()


def cell(value: object) -> object:
    """Numbers stay numbers, exactly; a text that a spreadsheet would run gets an apostrophe before it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    text = str(value)
    return f"'{text}" if text.startswith(DANGEROUS) else text
