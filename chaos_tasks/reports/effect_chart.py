"""One check's effect on an axis: the estimate with its interval, zero, the margin, and the side that is too much."""

from __future__ import annotations

import math

from markupsafe import Markup

from chaos_tasks.judging.wording import about, compact, count, counted, number, percent, units
from chaos_tasks.model.verdict import CheckResult
from chaos_tasks.reports.svg import Scale, frame, line, mark, text, tick_labels, ticks, width_of

WIDTH, HEIGHT = 460, 118
LEFT, RIGHT = 14.0, WIDTH - 14.0
TOP, MIDDLE, BOTTOM = 22.0, 62.0, 86.0
ZONE = 62.0  # pixels that the words for a side of the margin need


def effect_chart(check: CheckResult, key: str) -> Markup:
    """The chart; empty where there is no number to draw.  Ends that the evidence leaves open run off the axis."""
    if check.estimate is None or not math.isfinite(check.estimate):
        return Markup("")
    low, high = _domain(check)
    if not 1e-290 < high - low < 1e290:  # else pixels per unit would not be a number
        return Markup("")
    at = Scale(low, high, LEFT, RIGHT)
    parts = [*_zones(check, at), *_axis(check, low, high, at), *_interval(check, at), *_estimate(check, at)]
    title = f"{check.check}: {'share of trials within tolerance' if check.margin is None else 'effect and margin'}"
    return frame(parts, (WIDTH, HEIGHT), "effect", title=title, said=said(check), key=key)


def said(check: CheckResult) -> str:
    """The chart in words."""
    scope = f"about {about(check.unit)}, {units(counted(check), check.unit)}"
    if check.margin is None:
        return f"Share of trials within tolerance with its exact interval, {compact(check)}; {scope}."
    return f"Worsening under the fault with its interval against the margin, {compact(check)}; {scope}."


def _domain(check: CheckResult) -> tuple[float, float]:
    if check.margin is None:
        return 0.0, 1.0
    marks = [value for value in (check.low, check.high, check.estimate, 0.0, check.margin) if value is not None]
    marks = [value for value in marks if math.isfinite(value)]
    span = max(marks) - min(marks)
    left, right = (0.4 if end is None else 0.08 for end in (check.low, check.high))
    return min(marks) - left * span, max(marks) + right * span


def _zones(check: CheckResult, at: Scale) -> list[str]:
    """What is allowed and what is too much, in words and as a hatched field."""
    if check.margin is None:
        n = len(check.seeds) or check.n_treatment
        return [
            text(LEFT, 12, f"{round((check.estimate or 0.0) * n)} of {count(n, 'trial')} within tolerance", "label")
        ]
    x = at(check.margin)
    label = f"margin {number(check.margin, check.margin)}"
    half = width_of(label) / 2
    middle = min(max(x, LEFT + half), RIGHT - half)
    strokes = [line(left, BOTTOM, left + 12, TOP, "hatch") for left in _steps(x, RIGHT - 12, 9.0)]
    words = [text(middle, 12, label, "label strong", "middle")]
    if middle - half - LEFT > ZONE:
        words.append(text(middle - half - 10, 12, "allowed", "label", "end"))
    if RIGHT - middle - half > ZONE:
        words.append(text(middle + half + 10, 12, "too much", "label"))
    return [*strokes, line(x, TOP - 4, x, BOTTOM, "margin"), *words]


def _steps(start: float, end: float, by: float) -> list[float]:
    return [start + index * by for index in range(max(0, int((end - start) / by) + 1))]


def _axis(check: CheckResult, low: float, high: float, at: Scale) -> list[str]:
    parts = [line(LEFT, BOTTOM, RIGHT, BOTTOM, "axis")]
    if check.margin is not None:
        parts.append(line(at(0), TOP, at(0), BOTTOM, "zero"))
    found = ticks(low, high)
    labels = [percent(value) for value in found] if check.margin is None else tick_labels(found)
    for value, label in zip(found, labels, strict=True):
        half = width_of(label) / 2
        parts.append(line(at(value), BOTTOM, at(value), BOTTOM + 4, "axis"))
        parts.append(text(min(max(at(value), half), WIDTH - half), BOTTOM + 17, label, "label", "middle"))
    return parts


def _interval(check: CheckResult, at: Scale) -> list[str]:
    """A bar with caps; an arrow instead of a cap where that end is open."""
    kind = check.state.value
    left = at(check.low) if check.low is not None else LEFT
    right = at(check.high) if check.high is not None else RIGHT
    left, right = max(LEFT, left), min(RIGHT, right)
    width = max(1.5, right - left)
    parts = [f'<rect class="{kind} bar" x="{left:.1f}" y="{MIDDLE - 4}" width="{width:.1f}" height="8"/>']
    parts += _end(left, check.low is None, -1, kind)
    parts += _end(max(right, left + width), check.high is None, 1, kind)
    return parts


def _end(x: float, is_open: bool, side: int, kind: str) -> list[str]:
    if not is_open:
        return [line(x, MIDDLE - 8, x, MIDDLE + 8, f"cap {kind}")]
    points = f"{x + side * 9:.1f},{MIDDLE} {x:.1f},{MIDDLE - 8} {x:.1f},{MIDDLE + 8}"
    return [f'<polygon class="{kind}" points="{points}"/>']


def _estimate(check: CheckResult, at: Scale) -> list[str]:
    """The mark's form tells the answer without its colour: round passed, a diamond failed, hollow not known."""
    if check.estimate is None:
        return []
    x, kind = at(check.estimate), check.state.value
    words = _numbers(check)
    half = width_of(words, 12.5) / 2
    label = text(min(max(x, half + 2), WIDTH - half - 2), MIDDLE - 15, words, "label number", "middle")
    return [mark(x, MIDDLE, check.state, f"dot {kind}"), label]


def _numbers(check: CheckResult) -> str:
    """'0.031 [0.029, 0.032]', '0.031, no bound yet', '50 % [9.8 %, 90.2 %]'."""
    estimate, low, high = check.estimate or 0.0, check.low, check.high
    if check.margin is None:
        bounds = [percent(low) if low is not None else "?", percent(high) if high is not None else "?"]
        return f"{percent(estimate)} [{bounds[0]}, {bounds[1]}]"
    if low is None and high is None:
        return f"{number(estimate, check.margin)}, no bound yet"
    left = number(low if low is not None else -math.inf, check.margin)
    right = number(high if high is not None else math.inf, check.margin)
    return f"{number(estimate, check.margin)} [{left}, {right}]"
