"""What the answers of a ramp amount to: a breaking point with its interval, and one outcome; pure."""

from __future__ import annotations

from collections.abc import Sequence

from chaos_tasks.model.search import Answer, BreakingPoint
from chaos_tasks.model.verdict import Outcome
from chaos_tasks.searching.bisect import Asked, bracket


def breaking_point(
    levels: Sequence[float], asked: Sequence[Asked], *, alpha: float, level_alpha: float
) -> BreakingPoint:
    """The interval that the answers leave, in the fault's own unit."""
    count, found = len(levels), bracket(len(levels), asked)
    doubtful = {one.index for one in asked if one.answer is Answer.UNDECIDED}
    return BreakingPoint(
        held_at=levels[found.low] if found.low >= 0 else None,
        broke_at=levels[found.high] if found.high < count else None,
        refused_at=levels[found.refused] if found.refused < count else None,
        undecided=tuple(levels[index] for index in found.inside if index in doubtful),
        complete=not found.inside,
        monotone=found.monotone,
        leaky=found.leaky,
        confidence=1 - alpha,
        level_alpha=level_alpha,
    )


def outcome_of(count: int, asked: Sequence[Asked]) -> Outcome:
    """Deviated where a level did; held where no level is left that might; else inconclusive."""
    if any(one.answer is Answer.DEVIATED for one in asked):
        return Outcome.DEVIATED
    found = bracket(count, asked)
    return Outcome.HELD if asked and not found.inside else Outcome.INCONCLUSIVE


def decisive(count: int, asked: Sequence[Asked]) -> int | None:
    """Which answer speaks for the ramp, as a place in ``asked``; None without any.

    The lowest level that deviated; else, once nothing is left to ask, the highest harmless one or the lowest refused
    one; else the last undecided one.
    """
    found = bracket(count, asked)
    broke = [one for one in asked if one.answer is Answer.DEVIATED]
    if broke:
        return asked.index(min(broke, key=lambda one: one.index))
    for answer, level in ((Answer.HELD, found.low), (Answer.REFUSED, found.refused)):
        for place, one in enumerate(asked):
            if one.answer is answer and one.index == level and not found.inside:
                return place
    undecided = [place for place, one in enumerate(asked) if one.answer is Answer.UNDECIDED]
    return undecided[-1] if undecided else len(asked) - 1 if asked else None
