"""The first screen of the terminal: what to act on, what changed, what is not known, what it cost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from chaos_tasks.judging.score import Score
from chaos_tasks.judging.wording import count, seconds
from chaos_tasks.model.adjustment import Standing
from chaos_tasks.reports.night import Change, NightReport, Row

GAP = "  "
FRAME = 9  # lines that are always there: title, three headings, three blank ones, coverage, cost
MOST_SCORES = 6


def first_screen(report: NightReport, width: int = 100, height: int = 30) -> str:
    """At most ``height`` lines of at most ``width`` columns; what does not fit is counted, never dropped silently.

    Rows to act on are cut last: the lines go to them first, then to changes, then to what is not known.
    """
    scores = _scores(report.scores)
    budget = max(3, height - FRAME - len(scores))
    act = _section(report.act_on, budget - 2, lambda room: _row_lines(report.act_on, report.until, width, room))
    budget -= max(1, len(act))
    changed = _section(report.changed, max(1, budget // 2), lambda room: _change_lines(report.changed, width, room))
    budget -= max(1, len(changed))
    unknown = _section(report.not_known, budget, lambda room: _row_lines(report.not_known, report.until, width, room))
    lines = [
        _title(report),
        "",
        _act_on(report),
        *(act or ["  nothing"]),
        "",
        f"CHANGED since the run before  {len(report.changed)}",
        *(changed or ["  nothing"]),
        "",
        f"NOT KNOWN  {len(report.not_known)}",
        *unknown,
        _coverage(report),
        *scores,
        _cost(report),
    ]
    return "\n".join(_fit(line, width) for line in lines[:height])


def _title(report: NightReport) -> str:
    known = f", {count(report.known, 'known finding')}" if report.known else ""
    return f"SQUALL  {report.title}  held {report.held} of {len(report.verdicts)}{known}"


def _act_on(report: NightReport) -> str:
    heading = f"ACT ON  {len(report.act_on)}"
    deviated = report.among_many is not None and report.among_many.deviated
    return f"{heading}{GAP}{report.among_many.sentence}" if report.among_many and deviated else heading


def _section(rows: Sequence[object], room: int, lines: Callable[[int], list[str]]) -> list[str]:
    """As many lines as there is room for; the last one counts the rest."""
    return lines(max(1, room)) if rows else []


def _row_lines(rows: Sequence[Row], now: datetime, width: int, room: int) -> list[str]:
    """Two lines each, the effect below, while they all fit; else one.  The command is what is cut last."""
    each = 2 if 2 * len(rows) <= room else 1
    shown = rows if each * len(rows) <= room else rows[: max(0, room // each - 1)]
    columns = _columns([(row.experiment, row.owner, age(row.since, now)) for row in shown])
    lines = [line for row, cells in zip(shown, columns, strict=True) for line in _row(row, cells, width, each)]
    return lines + ([f"  and {len(rows) - len(shown)} more: `squall report`"] if len(shown) < len(rows) else [])


def _columns(rows: Sequence[tuple[str, ...]], most: int = 26) -> list[str]:
    """The cells of each row in one line, padded so that columns stand below each other."""
    widths = [min(most, max(len(cell) for cell in column)) for column in zip(*rows, strict=True)]
    return [GAP.join(f"{_fit(cell, width):<{width}}" for cell, width in zip(row, widths, strict=True)) for row in rows]


def _row(row: Row, cells: str, width: int, each: int) -> list[str]:
    head = f"  {row.urgency.value:<14} {cells}"
    if each == 1:
        return [_ended(f"{head}{GAP}{_effect(row, 0)}", row.next_command, width)]
    return [_ended(head, row.next_command, width), _fit(f"  {'':<14} {_effect(row, width - 17)}", width)]


def _effect(row: Row, room: int) -> str:
    """The effect, and what is left of it among many questions: in full where it fits, for the heading says the rest."""
    whole = f"{row.effect}; {row.among_many}"
    if row.standing is Standing.ALONE:
        return whole if len(whole) <= room else f"{row.effect}; sure alone"
    return whole if row.standing is Standing.CONFIRMED else row.effect


def _change_lines(changes: Sequence[Change], width: int, room: int) -> list[str]:
    shown = changes if len(changes) <= room else changes[: room - 1]
    columns = _columns([(one.experiment, one.owner, f"{one.before} -> {one.after}") for one in shown], 40)
    lines = [_ended(f"  {cells}", one.next_command, width) for one, cells in zip(shown, columns, strict=True)]
    return lines + ([f"  and {len(changes) - len(shown)} more: `squall report`"] if len(shown) < len(changes) else [])


def _coverage(report: NightReport) -> str:
    missing = ", ".join(report.coverage.not_exercised)
    covered = f"  faults exercised: {len(report.coverage.exercised)} of {report.coverage.registered}"
    return covered + (f"; not: {missing}" if missing else "")


def _scores(scores: Sequence[Score]) -> list[str]:
    """One line per target, the lowest first, with what pulls it down most."""
    if not scores:
        return []
    shown = scores if len(scores) <= MOST_SCORES else scores[: MOST_SCORES - 1]
    names = _columns([(one.name,) for one in shown])
    lines = [f"{name}{GAP}{score_line(one)}" for name, one in zip(names, shown, strict=True)]
    lines += [f"and {len(scores) - len(shown)} more: `squall score`"] if len(shown) < len(scores) else []
    return [f"{'SCORE' if not number else '':<7}{line}" for number, line in enumerate(lines)]


def score_line(one: Score) -> str:
    """'0.41 [0.30, 0.72]  6 of 9 fresh  silent: data.label_flip; untested: stream.drop'."""
    worst = "; ".join(f"{pull.cause.value}: {pull.kind}" for pull in one.pulls[:3])
    known = f"{one.value:.2f} [{one.low:.2f}, {one.high:.2f}]{GAP}{one.fresh} of {one.kinds} fresh"
    return f"{known}{GAP}{worst}" if worst else known


def _cost(report: NightReport) -> str:
    cost = report.cost
    reused = f" (+{cost.reused_trials} reused)" if cost.reused_trials else ""
    return (
        f"COST  {count(cost.experiments, 'run')}, {count(cost.trials, 'trial')}{reused}, "
        f"{seconds(cost.trial_seconds)} of trials, at most {cost.lanes} at once, in {seconds(cost.wall_seconds)}"
    )


def age(since: datetime, now: datetime) -> str:
    """'3 d', '5 h', '12 min'."""
    minutes = max(0, int((now - since).total_seconds() // 60))
    if minutes < 60:
        return f"{minutes} min"
    return f"{minutes // 60} h" if minutes < 48 * 60 else f"{minutes // 1440} d"


def _ended(line: str, command: str, width: int) -> str:
    """The line cut so that the command still fits behind it."""
    tail = f"{GAP}$ {command}"
    return _fit(line, max(20, width - len(tail))) + tail


def _fit(line: str, width: int) -> str:
    """One line without control characters, cut with three dots."""
    clean = "".join(character if character.isprintable() else " " for character in line)
    return clean if len(clean) <= width else clean[: width - 3] + "..."
