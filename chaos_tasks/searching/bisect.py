"""Which level of a ramp to ask next, and what the answers so far say about where it breaks; pure.

Bisection over increasing levels: few runs find the neighbours between which a target stops holding.  A level that the
target's own gate refused bounds the search from above, as one that deviated does: smaller corruptions may slip through.
An undecided level is left alone as long as levels on either side may be asked; then the zone of undecided ones is asked
once more, with more seeds.  Levels are named by their index; -1 and ``count`` stand for below and above all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from chaos_tasks.model.search import Answer


@dataclass(frozen=True)
class Question:
    """The level to ask next; ``again``: with more seeds, since it was undecided."""

    index: int
    again: bool = False


@dataclass(frozen=True)
class Asked:
    """A level that was asked; ``final``: undecided for a reason that more seeds do not mend."""

    index: int
    answer: Answer
    again: bool = False
    final: bool = False


@dataclass(frozen=True)
class Bracket:
    """The breaking point lies above ``low`` and at or below ``high``; from ``refused`` on the gate refuses.

    ``monotone``: no level held above one that deviated.  ``leaky``: one came through above one that was refused.
    """

    low: int
    high: int
    refused: int
    monotone: bool = True
    leaky: bool = False

    @property
    def top(self) -> int:
        """Nothing above this has to be asked."""
        return min(self.high, self.refused)

    @property
    def inside(self) -> range:
        """Levels that no answer speaks about."""
        return range(self.low + 1, self.top)


def bracket(count: int, asked: Sequence[Asked]) -> Bracket:
    """What the answers say; the same in any order.

    Where a level held above one that deviated, one of the two is wrong or the response is not monotone: the interval is
    widened to cover both.
    """
    held, broke, refused = (_indexes(asked, answer) for answer in (Answer.HELD, Answer.DEVIATED, Answer.REFUSED))
    first = min(broke, default=count)
    highest = max(held, default=-1)
    let_through = max(broke | held, default=-1)
    return Bracket(
        low=max((index for index in held if index < first), default=-1),
        high=min((index for index in broke if index > highest), default=count),
        refused=min((index for index in refused if index > let_through), default=count),
        monotone=highest < first,
        leaky=any(index < let_through for index in refused),
    )


def next_question(count: int, asked: Sequence[Asked], runs: int) -> Question | None:
    """The level that tells most; None once it is found, may not be narrowed further, or ``runs`` are used up."""
    between = bracket(count, asked)
    if len(asked) >= runs or between.leaky or not between.monotone:
        return None
    doubtful = [index for index in between.inside if index in _indexes(asked, Answer.UNDECIDED)]
    if not doubtful:
        return Question((between.low + between.top) // 2) if between.inside else None
    gaps = (range(between.low + 1, doubtful[0]), range(doubtful[-1] + 1, between.top))
    widest = max(gaps, key=len)  # the lower one where both are alike
    if widest:
        return Question(widest[len(widest) // 2])
    return _once_more(range(doubtful[0], doubtful[-1] + 1), asked)


def _once_more(zone: range, asked: Sequence[Asked]) -> Question | None:
    """The level nearest to the middle of the undecided zone that was not asked with more seeds yet."""
    spent = {one.index for one in asked if one.again or one.final}
    left = [index for index in zone if index not in spent]
    if not left:
        return None
    middle = zone[len(zone) // 2]
    index = min(left, key=lambda one: (abs(one - middle), one))
    return Question(index, again=any(one.index == index for one in asked))


def _indexes(asked: Sequence[Asked], answer: Answer) -> set[int]:
    return {one.index for one in asked if one.answer is answer}
