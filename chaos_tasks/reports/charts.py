"""Small inline SVG charts: an interval against its margin, and the lanes of a run.

Colours come from classes of the page's style sheet, so that they follow light and dark; each chart says in words what
it shows.
"""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup, escape

from chaos_tasks.judging.dossier import Dossier
from chaos_tasks.judging.timeline import within
from chaos_tasks.model.trial import Arm
from chaos_tasks.model.verdict import CheckResult
from chaos_tasks.reports.night import effect_of_check
from chaos_tasks.reports.svg import mark

WIDTH, HEIGHT = 240, 28
LANE_WIDTH, LANE_HEIGHT = 960, 26


def interval_chart(check: CheckResult) -> Markup:
    """The interval as a bar, the estimate as a dot, zero and the margin as lines; empty without an interval."""
    if check.estimate is None or check.low is None or check.high is None:
        return Markup("")
    marks = [check.low, check.high, 0.0, check.margin if check.margin is not None else 1.0]
    at = _Scale(min(marks), max(marks), 8, WIDTH - 8)
    middle = HEIGHT / 2
    state = check.state.value
    low, high = at(check.low), max(at(check.high), at(check.low) + 1.5)
    parts = [
        f'<line class="axis" x1="{at(0):.1f}" x2="{at(0):.1f}" y1="3" y2="{HEIGHT - 3}"/>',
        f'<rect class="{state}" x="{low:.1f}" y="{middle - 3}" width="{high - low:.1f}" height="6" rx="3"/>',
        mark(at(check.estimate), middle, check.state, f"{state} dot", 5.5),
    ]
    if check.margin is not None:
        line = at(check.margin)
        parts.append(f'<line class="margin" x1="{line:.1f}" x2="{line:.1f}" y1="2" y2="{HEIGHT - 2}"/>')
    return _svg(parts, WIDTH, HEIGHT, f"{effect_of_check(check)}; dashed line: margin", "interval")


def lanes_chart(dossier: Dossier) -> Markup:
    """Trials as bars by arm over time, moments as lines; empty without trials."""
    if not dossier.trials:
        return Markup("")
    start = min([trial.started_at for trial in dossier.trials] + [dossier.started_at])
    marked = within(dossier)
    end = max([trial.ended_at for trial in dossier.trials] + [moment.at for moment in marked])
    at = _Scale(0.0, max((end - start).total_seconds(), 1e-3), 90, LANE_WIDTH - 10)
    arms = [arm for arm in Arm if dossier.arm(arm)]
    parts: list[str] = []
    for row, arm in enumerate(arms):
        top = row * LANE_HEIGHT + 4
        parts.append(f'<text class="label" x="0" y="{top + 14}">{arm.value}</text>')
        for trial in dossier.arm(arm):
            left = at((trial.started_at - start).total_seconds())
            width = max(2.0, at((trial.ended_at - start).total_seconds()) - left)
            title = escape(f"{arm.value}, seed {trial.seed}: {trial.status.value}, {trial.wall_s:.1f} s")
            box = f'x="{left:.1f}" y="{top}" width="{width:.1f}" height="18" rx="3"'
            parts.append(f'<rect class="trial {trial.status.value}" {box}><title>{title}</title></rect>')
    height = len(arms) * LANE_HEIGHT + 6
    for moment in marked:
        x = at((moment.at - start).total_seconds())
        kind = moment.what.replace(" ", "-")
        line = f'<line class="moment {kind}" x1="{x:.1f}" x2="{x:.1f}" y1="0" y2="{height}">'
        parts.append(f"{line}<title>{escape(moment.what)}: {escape(moment.detail)}</title></line>")
    said = f"{len(dossier.trials)} trials and {len(marked)} moments; the table below lists them"
    return _svg(parts, LANE_WIDTH, height, said, "lanes")


class _Scale:
    """Values to pixels."""

    def __init__(self, low: float, high: float, left: float, right: float) -> None:
        self._low, self._left = low, left
        self._per = (right - left) / (high - low) if high > low else 0.0

    def __call__(self, value: float) -> float:
        return self._left + (value - self._low) * self._per


def _svg(parts: Sequence[str], width: int, height: int, said: str, kind: str) -> Markup:
    """Everything in ``parts`` is numbers of ours or escaped."""
    head = f'<svg class="{kind}" role="img" viewBox="0 0 {width} {height}" aria-label="{escape(said)}">'
    return Markup(head + "".join(parts) + "</svg>")
