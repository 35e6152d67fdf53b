"""One check's evidence as it grew: log10 of its e-values for pass and for fail, against the line that decides."""

from __future__ import annotations

import math
from collections.abc import Sequence

from markupsafe import Markup

from chaos_tasks.judging.wording import OF_ONE_PAIR, log10, units
from chaos_tasks.model.verdict import CheckResult, EvidencePoint
from chaos_tasks.reports.svg import Scale, frame, line, text, tick_labels, ticks, width_of

WIDTH, HEIGHT = 460, 190
LEFT, RIGHT, TOP, BOTTOM = 34.0, WIDTH - 98.0, 36.0, HEIGHT - 34.0
MANY = 24  # points beyond which marks would touch
AXES = {"seed": "paired runs", "row": "pairs of models", "block": "pairs of runs", "trial": "trials"}


def evidence_chart(check: CheckResult, alpha: float, key: str) -> Markup:
    """The chart; empty for a check without evidence over units.

    The axis stops at a few times the line, so that the line stays visible; what lies beyond is drawn at the edge, with
    its value beside the curve's end.
    """
    points = [point for point in check.evidence if not (math.isnan(point.log_e_pass) or math.isnan(point.log_e_fail))]
    if not points:
        return Markup("")
    needed = -math.log10(alpha)
    low, high = _range(points, needed)
    y = Scale(low, high, BOTTOM, TOP)
    x = _x(points)
    parts = [
        *_frame_of(points, low, high, x, y, AXES.get(check.unit, check.unit)),
        *_line(needed, alpha, y),
        *_decided(check, x),
        *_curves(points, x, y, low, high, check.unit in OF_ONE_PAIR),
    ]
    title = f"{check.check}: evidence over {AXES.get(check.unit, check.unit)}"
    return frame(parts, (WIDTH, HEIGHT), "evidence", title=title, said=said(check, points, needed), key=key)


def said(check: CheckResult, points: Sequence[EvidencePoint], needed: float) -> str:
    """The chart in words."""
    if check.unit in OF_ONE_PAIR:
        first = points[0]
        pairs = AXES[check.unit] if len(points) > 1 else AXES[check.unit].replace("pairs", "pair", 1)
        return (
            f"Of {len(points)} {pairs} the first has log10 e {log10(first.log_e_pass)} for pass and "
            f"{log10(first.log_e_fail)} for fail; {needed:.1f} is needed."
        )
    last = points[-1]
    decided = f"decided at {check.decided_at_n}" if check.decided_at_n is not None else "not decided"
    return (
        f"After {units(last.n, check.unit)} the evidence is log10 e "
        f"{log10(last.log_e_pass)} for pass and {log10(last.log_e_fail)} for fail; {needed:.1f} is needed; {decided}."
    )


def _range(points: Sequence[EvidencePoint], needed: float) -> tuple[float, float]:
    values = [value / math.log(10) for point in points for value in (point.log_e_pass, point.log_e_fail)]
    high = min(max(*values, needed * 1.3), needed * 4)
    low = max(min(*values, -0.3), -needed * 2)
    return low - 0.04 * (high - low), high + 0.06 * (high - low)


def _x(points: Sequence[EvidencePoint]) -> Scale:
    first, last = points[0].n, points[-1].n
    room = 0.5 if first == last else 0.0
    return Scale(first - room, last + room, LEFT + 12, RIGHT - 6)


def _frame_of(points: Sequence[EvidencePoint], low: float, high: float, x: Scale, y: Scale, unit: str) -> list[str]:
    parts = [line(LEFT, BOTTOM, RIGHT, BOTTOM, "axis"), line(LEFT, TOP, LEFT, BOTTOM, "axis")]
    found = ticks(low, high, 5)
    for value, label in zip(found, tick_labels(found), strict=True):
        parts.append(line(LEFT, y(value), RIGHT, y(value), "zero" if value == 0 else "grid"))
        parts.append(text(LEFT - 5, y(value) + 4, label, "label", "end"))
    for n in _counts(points):
        parts.append(line(x(n), BOTTOM, x(n), BOTTOM + 4, "axis"))
        parts.append(text(x(n), BOTTOM + 16, f"{n:,}", "label", "middle"))
    parts.append(text((LEFT + RIGHT) / 2, HEIGHT - 3, unit, "label", "middle"))
    return parts


def _counts(points: Sequence[EvidencePoint]) -> list[int]:
    """Whole numbers for the axis: each look where there are few, else round ones."""
    looks = [point.n for point in points]
    if len(looks) <= 12:
        return looks
    return sorted({round(value) for value in ticks(looks[0], looks[-1], 7) if value >= looks[0]} | {looks[0]})


def _line(needed: float, alpha: float, y: Scale) -> list[str]:
    words = f"log10 e; dashed: {needed:.1f} decides (e = 1/{alpha:.3g} = {1 / alpha:.3g})"
    return [line(LEFT, y(needed), RIGHT, y(needed), "margin"), text(4, 11, words, "label")]


def _decided(check: CheckResult, x: Scale) -> list[str]:
    if check.decided_at_n is None:
        return []
    at = x(check.decided_at_n)
    words = f"decided at {check.decided_at_n:,}"
    half = width_of(words) / 2
    middle = min(max(at, LEFT + 30 + half), WIDTH - half)
    return [line(at, TOP - 5, at, BOTTOM, "decided"), text(middle, 26, words, "label strong", "middle")]


def _curves(points: Sequence[EvidencePoint], x: Scale, y: Scale, low: float, high: float, separate: bool) -> list[str]:
    """Round marks on a solid line for pass, square ones on a dashed line for fail; each named at its end.

    No lines where each pair is evidence of its own, so that nothing seems to grow.
    """
    parts: list[str] = []
    ends = {}
    for name in ("pass", "fail"):
        values = [(point.log_e_pass if name == "pass" else point.log_e_fail) / math.log(10) for point in points]
        where = [(x(point.n), y(min(high, max(low, value)))) for point, value in zip(points, values, strict=True)]
        if not separate:
            path = " ".join(f"{a:.1f},{b:.1f}" for a, b in where)
            parts.append(f'<polyline class="curve {name}" points="{path}"/>')
        parts += [_mark(name, a, b) for a, b in (where if len(where) <= MANY else where[-1:])]
        ends[name] = (where[-1][1], f"{name} {log10(values[-1] * math.log(10))}{_off(values[-1], low, high)}")
    return parts + _names(ends)


def _off(value: float, low: float, high: float) -> str:
    return " ↑" if value > high else (" ↓" if value < low else "")


def _mark(name: str, x: float, y: float) -> str:
    if name == "pass":
        return f'<circle class="mark pass" cx="{x:.1f}" cy="{y:.1f}" r="4"/>'
    return f'<rect class="mark fail" x="{x - 3.5:.1f}" y="{y - 3.5:.1f}" width="7" height="7"/>'


def _names(ends: dict[str, tuple[float, str]]) -> list[str]:
    """At the right of the curves' ends, moved apart where they would overlap."""
    (upper, first), (lower, second) = sorted(ends.values())
    gap = max(0.0, 14 - (lower - upper)) / 2
    upper, lower = max(TOP + 4, upper - gap), min(BOTTOM, lower + gap)
    lower = max(lower, upper + 14)
    return [text(RIGHT + 4, upper + 4, first, "label strong"), text(RIGHT + 4, lower + 4, second, "label strong")]
