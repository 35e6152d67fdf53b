"""What somebody has to deal with: one finding for each experiment that deviated, with severity, due date and state."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from pydantic import Field

from chaos_tasks.evidence.body import Finding, FindingState, Scope, Severity, Tested
from chaos_tasks.model.base import Value
from chaos_tasks.model.duration import Duration
from chaos_tasks.model.verdict import CheckState, Outcome, Response

NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "urn:squall:finding")


class FindingPolicy(Value):
    """How long an owner has, and what findings are called in the risk register."""

    prefix: str = Field("SQ", description="Before our own ids in the risk register, as in SQ-1a2b3c4d.")
    due: Mapping[Severity, Duration] = Field(
        default_factory=lambda: {
            Severity.CRITICAL: timedelta(days=1),
            Severity.HIGH: timedelta(days=14),
            Severity.MODERATE: timedelta(days=30),
            Severity.LOW: timedelta(days=90),
        },
        description="From the day on which it was first seen.",
    )


DEFAULT_POLICY = FindingPolicy()


def findings_of(history: Sequence[Tested], scope: Scope, policy: FindingPolicy = DEFAULT_POLICY) -> tuple[Finding, ...]:
    """Findings that were open at some moment of the period, the most severe first.

    ``history`` are judged runs up to the end of the period, oldest first; it should reach back before it.  A run that
    answered nothing neither opens nor closes a finding.
    """
    by_experiment: dict[tuple[str, str], list[Tested]] = {}
    for one in history:
        if one.part_of:  # a search answers once, for all its runs
            continue
        by_experiment.setdefault((one.target, one.experiment), []).append(one)
    found = [one for runs in by_experiment.values() for one in _of_one(runs, scope, policy)]
    order = list(Severity)
    return tuple(sorted(found, key=lambda one: (order.index(one.severity), one.due, one.experiment)))


def _of_one(runs: Sequence[Tested], scope: Scope, policy: FindingPolicy) -> list[Finding]:
    """Unbroken stretches of bad runs; each is a finding, closed by the run that held after it."""
    found: list[Finding] = []
    bad: list[Tested] = []
    for run in runs:
        if _is_bad(run):
            bad.append(run)
        elif run.outcome is Outcome.HELD and bad:
            found.append(_finding(bad, run, scope, policy))
            bad = []
    if bad:
        found.append(_finding(bad, None, scope, policy))
    return [one for one in found if one.closed_at is None or one.closed_at >= scope.since]


def _is_bad(run: Tested) -> bool:
    return run.outcome in (Outcome.DEVIATED, Outcome.UNREVERTED)


def _finding(bad: Sequence[Tested], held: Tested | None, scope: Scope, policy: FindingPolicy) -> Finding:
    first, last = bad[0], bad[-1]
    known = last.known_finding
    severity = Severity.LOW if known else _severity(last)
    due = known.expires if known else (first.started_at + policy.due[severity]).date()
    return Finding(
        risk_id=known.ticket if known else risk_id(last.target, last.experiment, first.run_id, policy.prefix),
        experiment=last.experiment,
        target=last.target,
        owner=last.owner,
        severity=severity,
        state=_state(held is not None, known is not None, due < scope.until.date()),
        sentence=last.sentence,
        effect=_effect(last),
        run_ids=tuple(one.run_id for one in bad),
        first_seen=first.started_at,
        last_seen=last.started_at,
        due=due,
        closed_at=held.ended_at if held else None,
        closed_by=held.run_id if held else "",
        reason=known.reason if known else "",
    )


def _severity(run: Tested) -> Severity:
    if run.outcome is Outcome.UNREVERTED:
        return Severity.CRITICAL
    return Severity.HIGH if run.response is Response.SILENT else Severity.MODERATE


def _state(closed: bool, known: bool, late: bool) -> FindingState:
    if closed:
        return FindingState.CLOSED
    if late:
        return FindingState.OVERDUE
    return FindingState.ACCEPTED if known else FindingState.OPEN


def _effect(run: Tested) -> str:
    """The numbers of the checks that failed, estimate with interval against the margin; or what is still in."""
    if run.outcome is Outcome.UNREVERTED:
        still_in = [one.handle_id for one in run.faults if one.injected_at is not None and one.reverted_at is None]
        return f"still in: {', '.join(still_in)}" if still_in else "reverted late: look why"
    failed = [one for one in run.checks if one.state is CheckState.FAILED]
    parts = []
    for one in failed:
        if one.estimate is None or one.low is None or one.high is None or one.margin is None:
            parts.append(f"{one.check}: {one.reason.value.replace('_', ' ')}")
        else:
            parts.append(
                f"{one.check} worse by {one.estimate:.4g} [{one.low:.4g}, {one.high:.4g}], margin {one.margin:.4g}"
            )
    return "; ".join(parts) or ", ".join(sorted({one.reason.value.replace("_", " ") for one in run.checks}))


def risk_id(target: str, experiment: str, first_run: str, prefix: str) -> str:
    """The same finding has the same id in every document: it comes from where and when it was first seen."""
    return f"{prefix}-{uuid.uuid5(NAMESPACE, f'{target}/{experiment}/{first_run}').hex[:8]}"


def days_left(finding: Finding, at: datetime) -> int:
    """Whole days until it is due; negative once it is late."""
    return (finding.due - at.date()).days
