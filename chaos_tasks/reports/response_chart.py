"""Each treatment trial as a lane from its fault on: down, doing work again, going on; with what its owners heard."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup, escape

from chaos_tasks.judging.wording import seconds
from chaos_tasks.model.reaction import ReactionDetail, TrialReaction
from chaos_tasks.reports.svg import Scale, frame, line, text, tick_labels, ticks

WIDTH, LEFT, LANE, TOP, FOOT = 960, 90, 24, 20, 34
MOST_LANES = 12


def response_chart(detail: ReactionDetail, key: str) -> Markup:
    """Empty where nothing came back after a firing: there is nothing to draw.  ``key`` is its own on the page."""
    rows = sorted((row for row in detail.trials if row.back_s is not None), key=lambda row: -_end(row))[:MOST_LANES]
    if not rows:
        return Markup("")
    longest = max(_end(row) for row in rows)
    at = Scale(-0.04 * longest, 1.08 * longest, LEFT, WIDTH - 10)
    height = TOP + len(rows) * LANE + FOOT
    parts = [*_axis(at, longest, height), text(at(0), 12, "fault", "label", "middle")]
    for number, row in enumerate(rows):
        parts += _lane(row, TOP + number * LANE, at, longest)
    return frame(parts, (WIDTH, height), "response", title="From fault to caught up", said=_said(rows), key=key)


def _end(row: TrialReaction) -> float:
    """The last thing to be drawn; a detection that waits for labels would stretch the picture by days."""
    return max(row.caught_up_s or 0.0, row.back_s or 0.0, 1e-3)


def _axis(at: Scale, longest: float, height: int) -> list[str]:
    places = ticks(0.0, longest * 1.05)
    parts = [line(at(place), TOP - 4, at(place), height - FOOT + 4, "grid") for place in places]
    labels = zip(places, tick_labels(places), strict=True)
    parts += [text(at(place), height - FOOT + 18, label, "label", "middle") for place, label in labels]
    parts.append(text(WIDTH - 10, height - 3, "seconds from the fault", "label", "end"))
    return [*parts, line(at(0), TOP - 4, at(0), height - FOOT + 4, "moment injected")]


def _lane(row: TrialReaction, top: float, at: Scale, longest: float) -> list[str]:
    parts = [text(0, top + 14, f"seed {row.seed}")]
    back = row.back_s or 0.0
    caught_up = row.caught_up_s if row.caught_up_s is not None else back
    for low, high, kind, said in (
        (0.0, back, "down", "down"),
        (back, caught_up, "again", f"{row.redone_steps} steps to do again" if row.redone_steps else "catching up"),
        (caught_up, 1.05 * longest, "on", "goes on" if row.caught_up_s is not None else "never seen to catch up"),
    ):
        if high > low:
            box = f'x="{at(low):.1f}" y="{top}" width="{at(high) - at(low):.1f}" height="{LANE - 8}" rx="2"'
            title = escape(f"seed {row.seed}: {said}, {seconds(low)} to {seconds(high)}")
            parts.append(f'<rect class="phase {kind}" {box}><title>{title}</title></rect>')
    return parts + _heard(row, top, at, longest)


def _heard(row: TrialReaction, top: float, at: Scale, longest: float) -> list[str]:
    """Filled: it counts as noticing; hollow: it does not."""
    parts = []
    for one in row.signals:
        if one.after_s is None or not 0 <= one.after_s <= 1.05 * longest:
            continue
        why = f", {one.discounted.value}" if one.discounted is not None else ""
        title = escape(f"{one.name} after {seconds(one.after_s)}{why}")
        kind = "heard" if one.discounted is None else "heard discounted"
        circle = f'cx="{at(one.after_s):.1f}" cy="{top + (LANE - 8) / 2:.1f}" r="4.5"'
        parts.append(f'<circle class="{kind}" {circle}><title>{title}</title></circle>')
    return parts


def _said(rows: Sequence[TrialReaction]) -> str:
    told = []
    for row in rows:
        noticed = f"noticed after {seconds(row.detect_s)}" if row.detect_s is not None else "not noticed"
        back = f"back after {seconds(row.back_s or 0.0)}"
        end = f"caught up after {seconds(row.caught_up_s)}" if row.caught_up_s is not None else "never caught up"
        told.append(f"seed {row.seed}: {noticed}, {back}, {end}")
    return "; ".join(told)
