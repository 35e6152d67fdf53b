"""The document as Markdown, for a wiki or a pull request; every text of others is escaped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from chaos_tasks.evidence.answers import LIMITS, control_lines, first_page
from chaos_tasks.evidence.body import Body
from chaos_tasks.evidence.controls import ControlTable
from chaos_tasks.reports.markdown import plain


def render(body: Body, table: ControlTable) -> str:
    """The first page, findings, runs, what is missing, incidents, controls, and what all of it does not say."""
    lines = [f"# {plain(body.title)}", "", f"Issued {body.issued_at:%Y-%m-%d %H:%M} UTC."]
    for one in first_page(body):
        lines += ["", f"**{one.question}** {' '.join(plain(text) for text in one.sentences)}"]
    lines += _table("Findings", ("id", "severity", "state", "owner", "due", "what"), _findings(body))
    lines += _table("Runs", ("experiment", "target", "outcome", "response", "records", "sentence"), _runs(body))
    lines += _table("Not among the results", ("experiment", "owner", "state", "why"), _missing(body))
    lines += _table("Incidents", ("id", "experiment", "owner", "opened", "contained", "what"), _incidents(body))
    heading = f"Controls ({table.wording})"
    lines += _table(heading, ("framework", "control", "evidence of", "runs"), control_lines(body, table))
    lines += ["", "## What this does not say", "", *[f"- {plain(one)}" for one in LIMITS]]
    return "\n".join(lines) + "\n"


def _findings(body: Body) -> Iterable[Sequence[str]]:
    for one in body.findings:
        what = f"{one.experiment} on {one.target}: {one.effect}"
        yield (one.risk_id, one.severity.value, one.state.value, one.owner, one.due.isoformat(), what)


def _runs(body: Body) -> Iterable[Sequence[str]]:
    for one in body.tested:
        records = f"{one.registered_seq} to {one.verdict_seq}"
        yield (one.experiment, one.target, one.outcome.value, one.response.value, records, one.sentence)


def _missing(body: Body) -> Iterable[Sequence[str]]:
    for one in body.unfinished:
        yield (one.experiment, one.owner, one.state, one.why)


def _incidents(body: Body) -> Iterable[Sequence[str]]:
    for one in body.incidents:
        contained = f"{one.contained_at:%Y-%m-%d %H:%M:%S}" if one.contained_at else "no"
        yield (one.incident_id, one.experiment, one.owner, f"{one.opened_at:%Y-%m-%d %H:%M:%S}", contained, one.what)


def _table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    told = [f"| {' | '.join(plain(cell) for cell in row)} |" for row in rows]
    if not told:
        return []
    return ["", f"## {title}", "", f"| {' | '.join(columns)} |", f"|{' --- |' * len(columns)}", *told]
