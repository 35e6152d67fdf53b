"""What inline SVG charts are made of: a scale, round ticks, text, and a frame that says in words what it shows.

Colours come from classes of the page's style sheet, so that they follow light, dark and print.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence

from markupsafe import Markup, escape

from chaos_tasks.model.verdict import CheckState


class Scale:
    """Values to pixels; a range of no width puts everything at the left."""

    def __init__(self, low: float, high: float, left: float, right: float) -> None:
        self._low, self._left = low, left
        self._per = (right - left) / (high - low) if high > low else 0.0

    def __call__(self, value: float) -> float:
        return self._left + (value - self._low) * self._per


def ticks(low: float, high: float, most: int = 6) -> list[float]:
    """At most this many round numbers (1, 2 or 5 times a power of ten apart) within [low, high], and 0 among them."""
    span = high - low
    if not (span > 0 and math.isfinite(span)):
        return []
    power = 10.0 ** math.floor(math.log10(span / most))
    if power == 0 or span / power > 1e6:
        return []
    step = next(power * factor for factor in (1, 2, 5, 10, 20, 50) if span / (power * factor) <= most - 1)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [index * step for index in range(first, last + 1)] if abs(first) < 1e9 else []


def tick_labels(values: Sequence[float]) -> list[str]:
    """All with the decimals that their distance needs; powers of ten where plain digits would be long."""
    if len(values) < 2:
        return [f"{value:.3g}" for value in values]
    step = values[1] - values[0]
    decimals = -math.floor(math.log10(step) + 1e-9)
    if decimals > 6 or max(abs(value) for value in values) >= 1e6:
        return ["0" if value == 0 else f"{value:.3g}" for value in values]
    return [f"{value:.{max(0, decimals)}f}" if value else "0" for value in values]


def text(x: float, y: float, words: str, kind: str = "label", anchor: str = "start") -> str:
    """A text, escaped."""
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}</text>'


def line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    """A line."""
    return f'<line class="{kind}" x1="{x1:.1f}" x2="{x2:.1f}" y1="{y1:.1f}" y2="{y2:.1f}"/>'


def mark(x: float, y: float, state: CheckState, kind: str, size: float = 7.0) -> str:
    """A mark whose form is the answer's: a diamond for failed, round otherwise (hollow, by its class, if not known)."""
    if state is CheckState.FAILED:
        corners = ((x, y - size), (x + size, y), (x, y + size), (x - size, y))
        points = " ".join(f"{a:.1f},{b:.1f}" for a, b in corners)
        return f'<polygon class="{kind}" points="{points}"/>'
    return f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="{size - 0.5:.1f}"/>'


def width_of(words: str, size: float = 11.0) -> float:
    """About how wide a text is, in pixels: enough to keep labels apart."""
    return len(words) * size * 0.62


def frame(parts: Sequence[str], size: tuple[int, int], kind: str, *, title: str, said: str, key: str) -> Markup:
    """The chart with its name and, for who cannot see it, what it shows; ``key`` is its own on the page.

    ``parts`` hold numbers of ours and escaped text.
    """
    name = hashlib.sha256(f"{kind}/{key}".encode()).hexdigest()[:12]
    width, height = size
    refers = f'aria-labelledby="t{name}" aria-describedby="d{name}"'
    words = f'<title id="t{name}">{escape(title)}</title><desc id="d{name}">{escape(said)}</desc>'
    inside = "".join(parts)
    return Markup(f'<svg class="{kind}" role="img" viewBox="0 0 {width} {height}" {refers}>{words}{inside}</svg>')
