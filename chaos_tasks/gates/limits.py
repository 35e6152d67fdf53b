"""Limits of a check from clean versions alone, wide enough that a whole set of checks seldom raises a false alarm.

There are few versions, so the spread comes from blocks of consecutive rows within the latest one: values over random
halves of the blocks differ from the whole's by as much as a whole of that length differs from the truth (the
delete-half jackknife; Shao, Wu: A general theory for jackknife variance estimation, Annals of Statistics 17, 1989).
A new version differs from this one by the square root of two of that.  A limit lies as many of these spreads away as
Student's quantile for the number of blocks says, at the accepted rate of false alarms shared out evenly over the set
(Bonferroni).  It holds where blocks are exchangeable; seasons are not in it, and only months held out tell its worth.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from pydantic import Field, JsonValue

from chaos_tasks.gates.candidates import SLACK, Candidate
from chaos_tasks.gates.tables import BLOCKS, Tables, of_blocks
from chaos_tasks.model.base import Value

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

HALVES = 24
FALSE_ALARMS = 0.01
NON_NEGATIVE = frozenset(
    {
        "threshold_broken",
        "order_broken",
        "sum_broken",
        "not_determined",
        "repeated_keys",
        "null_share",
        "share_moved",
        "rate_moved",
    }
)


class ExtraCheck(Value):
    """One check to adopt: a statistic of a table and its limits, as a gate loads it."""

    name: str
    table: str = Field(description="A data file, or a table below {prepared} as prepared/NAME.")
    statistic: str
    arguments: Mapping[str, JsonValue]
    min: float
    max: float
    clean: float = Field(description="The number in the latest clean version.")

    def candidate(self) -> Candidate:
        """The statistic, to take it of other tables."""
        return Candidate(self.table, self.statistic, self.arguments, ())

    def holds(self, tables: Tables) -> bool:
        """Whether the check lets a version through."""
        return self.beyond(tables) == 0

    def beyond(self, tables: Tables) -> float:
        """How far the number lies outside of the limits, in widths of what is allowed; infinite where there is none."""
        from chaos_tasks.gates import checks

        if self.table not in tables:
            return math.inf
        value = checks.taken(tables[self.table], self.statistic, self.arguments)
        outside = max(self.min - value, value - self.max, 0.0)
        if outside == 0 or math.isnan(value):
            return math.inf if math.isnan(value) else 0.0
        return outside / (self.max - self.min) if self.max > self.min else math.inf


class Learner:
    """Learns limits from the latest clean version's blocks, and from earlier versions whole.

    ``accepted``: false alarms per new version (0..1) over all ``checks`` that may be adopted together.
    """

    def __init__(
        self,
        latest: Tables,
        earlier: Sequence[Tables],
        *,
        rng: np.random.Generator,
        checks: int,
        accepted: float = FALSE_ALARMS,
    ) -> None:
        self._latest, self._earlier = latest, earlier
        self._each = accepted / max(1, checks)
        self._halves = [rng.permutation(BLOCKS)[: BLOCKS // 2] for _ in range(HALVES // 2)]
        self._halves += [_others(half) for half in self._halves]
        self._cache: dict[str, list[pd.DataFrame]] = {}

    def check(self, candidate: Candidate) -> ExtraCheck | None:
        """The candidate with its limits; None where clean versions give it no finite number."""
        if candidate.statistic == "rate_moved":
            return self._rates(candidate)
        whole = [candidate.value(tables[candidate.table]) for tables in self._versions(candidate.table)]
        now = whole[0]
        broken = now != 0 or not candidate.is_relation  # what no row breaks, none of the halves' rows does
        halves = [candidate.value(part) for part in self._parts(candidate.table)] if broken else [0.0]
        if not all(map(math.isfinite, (*halves, *whole))):
            return None
        spread = math.sqrt(math.fsum((half - now) ** 2 for half in halves) / len(halves))
        reach = math.sqrt(2) * _student(1 - self._each / 2, BLOCKS - 1) * spread
        least, most = min(whole) - reach, max(whole) + reach
        if candidate.statistic == "quantile":
            low, high = self._steps(candidate, now)
            least, most = min(least, low), max(most, high)
        if candidate.is_relation:
            least, most = 0.0, max(most, SLACK, 2 * now if now <= SLACK else now)
        elif candidate.statistic in NON_NEGATIVE:
            least = 0.0
        elif candidate.statistic == "fewest_rows":
            least, most = max(0.0, least), 1.0
        return _check(candidate, least, most, now)

    def _steps(self, candidate: Candidate, now: float) -> tuple[float, float]:
        """Where a quantile gets when the share of the values up to it moves: whole numbers go by whole steps."""
        column, at = str(candidate.arguments["column"]), float(str(candidate.arguments["at"]))
        known = self._latest[candidate.table][column].dropna()
        usual = float((known <= now).mean())
        moved = [float((part[column].dropna() <= now).mean()) - usual for part in self._parts(candidate.table)]
        spread = math.sqrt(math.fsum(one**2 for one in moved) / len(moved))
        reach = math.sqrt(2) * _student(1 - self._each / 2, BLOCKS - 1) * spread
        return float(known.quantile(max(0.0, at - reach))), float(known.quantile(min(1.0, at + reach)))

    def _rates(self, candidate: Candidate) -> ExtraCheck | None:
        """Each group's usual difference from the whole, and its spread over halves (never less than chance's own)."""
        column, by = str(candidate.arguments["column"]), str(candidate.arguments["by"])
        table = self._latest[candidate.table]
        now = _apart(table, column, by)
        halves = [_apart(part, column, by) for part in self._parts(candidate.table)]
        deviation = float(table[column].std())
        usual: dict[str, JsonValue] = {}
        for name, (difference, rows) in now.items():
            seen = [half[name][0] for half in halves if name in half]
            if len(seen) == len(halves):
                spread = math.sqrt(math.fsum((one - difference) ** 2 for one in seen) / len(seen))
                usual[name] = [round(difference, 6), round(max(spread, deviation / math.sqrt(rows)), 6)]
        if not usual or not deviation > 0:
            return None
        learnt = replace(candidate, arguments={**candidate.arguments, "usual": usual})
        whole = [learnt.value(tables[candidate.table]) for tables in self._versions(candidate.table)]
        if not all(map(math.isfinite, whole)):
            return None
        reach = math.sqrt(2) * _student(1 - self._each / (2 * len(usual)), BLOCKS - 1)
        return _check(learnt, 0.0, max(whole) + reach, whole[0])

    def _parts(self, name: str) -> list[pd.DataFrame]:
        if name not in self._cache:
            self._cache[name] = [of_blocks(self._latest[name], half) for half in self._halves]
        return self._cache[name]

    def _versions(self, name: str) -> list[Tables]:
        return [self._latest, *(tables for tables in self._earlier if name in tables)]


def _check(candidate: Candidate, least: float, most: float, now: float) -> ExtraCheck:
    return ExtraCheck(
        name=candidate.name,
        table=candidate.table,
        statistic=candidate.statistic,
        arguments=candidate.arguments,
        min=outwards(least, -1),
        max=outwards(most, 1),
        clean=now,
    )


TINIEST = 1e-290


def outwards(number: float, sign: int) -> float:
    """Four significant digits, rounded away from what is allowed."""
    if abs(number) < TINIEST:  # powers of ten end before the doubles do
        return sign * TINIEST if number * sign > 0 else 0.0
    scale = 10.0 ** (3 - math.floor(math.log10(abs(number))))
    return float((math.ceil if sign > 0 else math.floor)(number * scale) / scale)


def _apart(table: pd.DataFrame, column: str, by: str) -> dict[str, tuple[float, int]]:
    """By group: the mean's difference from the table's, and the number of rows."""
    rows = table[[column, by]].dropna()
    groups = rows.groupby(rows[by].astype("string"))[column].agg(["mean", "size"])
    apart = groups["mean"] - rows[column].mean()
    return {str(name): (float(apart[name]), int(groups["size"][name])) for name in groups.index}


def _others(half: np.ndarray[tuple[int], np.dtype[np.int64]]) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    import numpy as np

    return np.setdiff1d(np.arange(BLOCKS), half)


def _student(quantile: float, degrees: int) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(degrees, quantile))
