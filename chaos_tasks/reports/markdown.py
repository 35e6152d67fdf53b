"""The first screen as Markdown, for a pull request or a chat, and under it every check with its numbers."""

from __future__ import annotations

import re
from collections.abc import Sequence

from chaos_tasks.judging.score import Score
from chaos_tasks.judging.wording import compact, count, seconds
from chaos_tasks.model.verdict import Outcome, Verdict
from chaos_tasks.reports.night import NightReport, Row
from chaos_tasks.reports.screen import age

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>()#+!|~])")


def render_markdown(report: NightReport) -> str:
    """The summary, with every text of others escaped."""
    cost = report.cost
    lines = [
        f"# {plain(report.title)}",
        "",
        f"**{count(len(report.act_on), 'experiment')} to act on**; {report.held} of {len(report.verdicts)} held.",
        *([f"{plain(report.among_many.sentence)}."] if report.among_many else []),
        *_table("Act on", report.act_on, report),
        *_changes(report),
        *_table("Not known", report.not_known, report),
        "",
        f"{len(report.coverage.exercised)} of {report.coverage.registered} kinds of fault took effect. "
        f"{count(cost.trials, 'trial')}, {seconds(cost.trial_seconds)} of trials, at most {cost.lanes} at once.",
        *_scores(report.scores),
        *_checks(report.verdicts),
    ]
    return "\n".join(lines) + "\n"


def verdict_markdown(verdict: Verdict) -> str:
    """One verdict for the summary of a job: outcome, sentence, a row per check, and the command that says more."""
    lines = [
        f"## Squall: {plain(verdict.experiment)} {verdict.outcome.value} ({verdict.response.value})",
        "",
        plain(verdict.sentence),
        "",
        "| check | result | numbers |",
        "| --- | --- | --- |",
        *(f"| {plain(one.check)} | {one.state.value} | {plain(compact(one))} |" for one in verdict.checks),
        "",
        f"Run {_code(verdict.run_id)}; {_code(f'squall report {verdict.run_id}')} has panels and trials.",
    ]
    return "\n".join(lines) + "\n"


def _effect(row: Row) -> str:
    return f"{row.effect}; {row.among_many}" if row.among_many else row.effect


def _scores(scores: Sequence[Score]) -> list[str]:
    if not scores:
        return []
    lines = [
        "",
        "## Resilience",
        "",
        "| target | score | interval | fresh | pulled down by |",
        "| --- | --- | --- | --- | --- |",
    ]
    for one in scores:
        worst = "; ".join(f"{pull.kind}: {pull.sentence}" for pull in one.pulls[:2])
        cells = (one.name, f"{one.value:.2f}", f"{one.low:.2f} to {one.high:.2f}", f"{one.fresh} of {one.kinds}", worst)
        lines.append(f"| {' | '.join(plain(cell) for cell in cells)} |")
    return lines


def _table(title: str, rows: Sequence[Row], report: NightReport) -> list[str]:
    if not rows:
        return []
    lines = [
        "",
        f"## {title}",
        "",
        "| why | experiment | owner | for | effect | next |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        cells = (row.urgency.value, row.experiment, row.owner, age(row.since, report.until), _effect(row))
        lines.append(f"| {' | '.join(plain(cell) for cell in cells)} | {_code(row.next_command)} |")
    return lines


def _changes(report: NightReport) -> list[str]:
    if not report.changed:
        return []
    lines = ["", "## Changed since the run before", ""]
    return lines + [
        f"- {plain(one.experiment)} ({plain(one.owner)}): {plain(one.before)} -> {plain(one.after)}"
        for one in report.changed
    ]


def _checks(verdicts: Sequence[Verdict]) -> list[str]:
    """Each verdict with its sentence, and a line of numbers per check; what held comes last."""
    if not verdicts:
        return []
    lines = ["", "## Every check"]
    for verdict in sorted(verdicts, key=lambda one: (one.outcome is Outcome.HELD, one.experiment)):
        outcome = f"{verdict.outcome.value}, {verdict.response.value}"
        lines += ["", f"**{plain(verdict.experiment)}** ({outcome}): {plain(verdict.sentence)}", ""]
        lines += [f"- {_code(check.check)} {plain(compact(check))}" for check in verdict.checks]
    return lines


def plain(text: str) -> str:
    """One line in which nothing is markup."""
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))


def _code(command: str) -> str:
    return "`" + " ".join(command.split()).replace("`", "'").replace("|", "\\|") + "`"
