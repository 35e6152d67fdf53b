"""The document as one HTML file: no script, nothing loaded, readable by a screen reader and on paper."""

from __future__ import annotations

from datetime import UTC, datetime

from markupsafe import Markup, escape

from chaos_tasks.evidence.answers import LIMITS, control_lines, first_page
from chaos_tasks.evidence.body import Body, FindingState, Severity
from chaos_tasks.evidence.controls import ControlTable
from chaos_tasks.judging.wording import count
from chaos_tasks.model.verdict import Outcome
from chaos_tasks.reports.page import template

TONES = {
    **dict.fromkeys((Severity.CRITICAL.value, Severity.HIGH.value, FindingState.OVERDUE.value), "bad"),
    **dict.fromkeys((Severity.MODERATE.value, FindingState.OPEN.value, FindingState.ACCEPTED.value), "open"),
    **dict.fromkeys((Outcome.DEVIATED.value, Outcome.UNREVERTED.value), "bad"),
    **dict.fromkeys((Outcome.INCONCLUSIVE.value, Outcome.ABORTED.value), "open"),
    **dict.fromkeys((Outcome.HELD.value, FindingState.CLOSED.value), "good"),
}


def render(body: Body, table: ControlTable) -> str:
    """The page; the same body gives the same bytes."""
    named = {one.framework for run in body.tested for one in run.controls}
    return template("audit.html").render(
        body=body,
        answers=first_page(body),
        controls=control_lines(body, table),
        frameworks=[text for name, text in table.frameworks.items() if name in named],
        limits=LIMITS,
        tone=lambda word: TONES.get(word, ""),
        moment=_moment,
        said=_said,
        count=count,
    )


def _said(text: str) -> Markup:
    """A sentence of ours as HTML: what stands between backticks is a command."""
    parts = text.split("`")
    if len(parts) % 2 == 0:
        return escape(text)
    return Markup("").join(
        Markup("<code>{}</code>").format(one) if nth % 2 else escape(one) for nth, one in enumerate(parts)
    )


def _moment(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
