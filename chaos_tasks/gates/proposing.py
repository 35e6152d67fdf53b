"""Which extra checks would have closed the escapes: the fewest that do.

Only clean versions and the escapes that were found go in.  A check is proposed because it refuses an escape; it may be
adopted because clean data pass it, on rows that its limits were not learnt from as well.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from pydantic import Field

from chaos_tasks.gates.candidates import Candidate, candidates
from chaos_tasks.gates.limits import FALSE_ALARMS, ExtraCheck, Learner
from chaos_tasks.gates.tables import BLOCKS, Tables, changed_columns, of_blocks
from chaos_tasks.gates.values import Share
from chaos_tasks.model.base import Value
from chaos_tasks.stats.reliability import share_interval

if TYPE_CHECKING:
    import numpy as np

MOST = 12
"""Most checks that are proposed: the accepted rate of false alarms is shared out over so many."""
SPLITS = 10


class Proposal(Value):
    """Checks to adopt, what they close, and how often they would refuse clean data."""

    checks: tuple[ExtraCheck, ...] = Field(description="The fewest that close every escape which any check closes.")
    closes: tuple[tuple[int, ...], ...] = Field(description="By check: numbers of the escapes that it refuses.")
    open: tuple[int, ...] = Field(description="Numbers of the escapes that no candidate closes.")
    escapes: int
    considered: int = Field(description="Candidates that were found in the clean tables.")
    accepted: float = Field(description="Accepted false alarms per version over all proposed checks.")
    false_alarms: Share | None = Field(
        description="Of all checks together, each time learnt from half of the clean blocks and asked of the other; "
        "halves overlap between splits, so the interval is a little too narrow, and no other season is in it."
    )


def propose(
    latest: Tables,
    earlier: Sequence[Tables],
    escapes: Sequence[Tables],
    *,
    rng: np.random.Generator,
    accepted: float = FALSE_ALARMS,
) -> Proposal:
    """Infer candidates from the latest clean version, learn their limits, and choose greedily.

    First the check that closes most of what is open; among equals a relation before a number that drifts, a relation of
    fewer columns, and the number that is furthest outside: that one will see weaker corruptions of the kind too.
    """
    found = infer(latest)
    changed = [changed_columns(latest, tables) for tables in escapes]
    touched = [one for one in found if any(_touches(one, columns) for columns in changed)]
    learner = Learner(latest, earlier, rng=rng, checks=MOST, accepted=accepted)
    learnt = [(one, check) for one in touched if (check := learner.check(one)) is not None]
    refuses = [
        {
            number: beyond
            for number, tables in enumerate(escapes)
            if _touches(one, changed[number]) and (beyond := check.beyond(tables)) > 0
        }
        for one, check in learnt
    ]
    order = _greedy([one for one, _ in learnt], refuses)
    closed = set[int]().union(*(refuses[index] for index in order))
    return Proposal(
        checks=tuple(learnt[index][1] for index in order),
        closes=tuple(tuple(sorted(refuses[index])) for index in order),
        open=tuple(number for number in range(len(escapes)) if number not in closed),
        escapes=len(escapes),
        considered=len(found),
        accepted=accepted,
        false_alarms=_cross_checked([learnt[index][0] for index in order], latest, rng, accepted),
    )


def infer(latest: Tables) -> list[Candidate]:
    """All candidates of all tables, in a fixed order."""
    return [one for name, table in sorted(latest.items()) for one in candidates(name, table)]


def battery(
    latest: Tables, earlier: Sequence[Tables], *, rng: np.random.Generator, accepted: float = FALSE_ALARMS
) -> tuple[ExtraCheck, ...]:
    """Every candidate with limits for all of them together: what could be had without any search, at more checks."""
    found = infer(latest)
    learner = Learner(latest, earlier, rng=rng, checks=len(found), accepted=accepted)
    return tuple(check for one in found if (check := learner.check(one)) is not None)


def _touches(candidate: Candidate, changed: set[tuple[str, str]]) -> bool:
    return any((candidate.table, column) in changed for column in candidate.columns)


def _greedy(learnt: Sequence[Candidate], refuses: Sequence[Mapping[int, float]]) -> list[int]:
    """Places of the chosen, in the order of choice; ``refuses``: by candidate, how far outside each escape lies."""
    chosen: list[int] = []
    left = set[int]().union(*refuses)
    while left and len(chosen) < MOST:
        best = min(range(len(learnt)), key=lambda index: _rank(learnt[index], refuses[index], frozenset(left)))
        chosen.append(best)
        left -= refuses[best].keys()
    return chosen


def _rank(candidate: Candidate, refuses: Mapping[int, float], left: frozenset[int]) -> tuple[int, int, float]:
    """The lowest is chosen."""
    closes = refuses.keys() & left
    if candidate.is_relation:
        return -len(closes), 0, len(candidate.columns)
    return -len(closes), 1, -min((refuses[number] for number in closes), default=0.0)


def _cross_checked(
    chosen: Sequence[Candidate], latest: Tables, rng: np.random.Generator, accepted: float
) -> Share | None:
    """Share of halves on which any check, learnt from the other half, raises an alarm."""
    alarms, asked = 0, 0
    for _ in range(SPLITS if chosen else 0):
        order = rng.permutation(BLOCKS)
        for half, other in ((order[: BLOCKS // 2], order[BLOCKS // 2 :]), (order[BLOCKS // 2 :], order[: BLOCKS // 2])):
            taught = {one.table: of_blocks(latest[one.table], half) for one in chosen}
            shown = {one.table: of_blocks(latest[one.table], other) for one in chosen}
            learner = Learner(taught, (), rng=rng, checks=MOST, accepted=accepted)
            learnt = [learner.check(one) for one in chosen]
            alarms += not all(check.holds(shown) for check in learnt if check is not None)
            asked += 1
    interval = share_interval(alarms, asked, alpha=0.05)
    return None if interval is None else Share.of(interval)


def refused_by(checks: Sequence[ExtraCheck], tables: Tables) -> tuple[str, ...]:
    """Names of the checks that do not let a version through."""
    return tuple(check.name for check in checks if not check.holds(tables))
