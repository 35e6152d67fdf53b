"""What holds in a clean table: relations between its columns, rates by group, shares, ranks and quantiles.

Looks at a clean table only.  A relation is kept where all but SLACK of the rows obey it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations, permutations
from typing import TYPE_CHECKING

from pydantic import JsonValue

from chaos_tasks.gates import checks
from chaos_tasks.gates.profile import FEW

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

SLACK = 0.001
"""Share of rows that may break a relation: one bad row in a thousand harms nobody and happens in clean data."""
SAMPLE = 4_000
FIRST = 15_000
FITTED = 500
ROWS_PER_GROUP = 5
NOTABLE = 0.1
STRONG = 0.5
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


@dataclass(frozen=True)
class Candidate:
    """A statistic with its arguments; ``columns`` are those that it reads."""

    table: str
    statistic: str
    arguments: Mapping[str, JsonValue]
    columns: tuple[str, ...]

    @property
    def name(self) -> str:
        """For a failure's line: what is checked on which columns."""
        told = self.arguments.get("at") if self.statistic == "quantile" else None
        return "_".join((self.statistic, *self.columns, *([str(told)] if told is not None else [])))

    @property
    def is_relation(self) -> bool:
        """Whether it counts rows that break a rule, so that a clean table has none or next to none."""
        return self.statistic in RELATIONS

    def value(self, table: pd.DataFrame) -> float:
        """The number that it takes of a table."""
        return float(checks.STATISTICS[self.statistic](table, **self.arguments))


RELATIONS = frozenset(
    {"threshold_broken", "order_broken", "sum_broken", "not_determined", "repeated_keys", "null_share"}
)


def candidates(name: str, table: pd.DataFrame) -> list[Candidate]:
    """All that could be checked on one table, in a fixed order; `usual` of rate_moved is empty, still to be learnt."""
    if not len(table):
        return []
    seen = _Seen(name, table)
    makers = (_thresholds, _orders, _sums, _determined, _keys, _nulls, _shares, _rates, _ranks, _quantiles, _counts)
    return [candidate for maker in makers for candidate in maker(seen)]


@dataclass
class _Seen:
    """A table and what its columns are."""

    name: str
    table: pd.DataFrame

    @cached_property
    def sample(self) -> pd.DataFrame:
        """Some rows, spread evenly: what does not hold there is not tried on all."""
        return self.table.iloc[:: max(1, len(self.table) // SAMPLE)]

    @cached_property
    def run(self) -> pd.DataFrame:
        """The first rows: rows that agree in something stand near to each other there."""
        return self.table.iloc[:FIRST]

    @cached_property
    def numbers(self) -> list[str]:
        """Numeric columns that vary."""
        from pandas.api.types import is_bool_dtype, is_numeric_dtype

        chosen = [
            column
            for column in self.table.columns
            if is_numeric_dtype(self.table[column]) and not is_bool_dtype(self.table[column])
        ]
        return [str(column) for column in chosen if self.table[column].nunique() > 1]

    @cached_property
    def matrix(self) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
        """The numeric columns of the sample side by side, missing and infinite as NaN."""
        import numpy as np

        raw = self.sample[self.numbers].to_numpy(dtype=np.float64, na_value=np.nan)
        return np.where(np.isfinite(raw), raw, np.nan)

    @cached_property
    def distinct(self) -> dict[str, int]:
        """Number of different values by column."""
        return {str(column): int(self.table[column].nunique()) for column in self.table.columns}

    @cached_property
    def flags(self) -> list[str]:
        """Numbers with two values."""
        return [column for column in self.numbers if self.distinct[column] == 2]

    @cached_property
    def few(self) -> list[str]:
        """Columns with few values, but more than one."""
        return [column for column, count in self.distinct.items() if 1 < count <= FEW]

    @cached_property
    def grouping(self) -> list[str]:
        """Columns whose groups have several rows each."""
        return [column for column, count in self.distinct.items() if 1 < count <= len(self.table) / ROWS_PER_GROUP]

    @cached_property
    def labels(self) -> list[str]:
        """Text, dates and whole numbers: what can be a key or part of one."""
        from pandas.api.types import is_float_dtype

        return [column for column in self.distinct if not is_float_dtype(self.table[column])]

    def candidate(self, statistic: str, columns: Sequence[str], **arguments: JsonValue) -> Candidate:
        """On this table."""
        return Candidate(self.name, statistic, arguments, tuple(columns))

    def kept(self, candidate: Candidate) -> bool:
        """Whether a relation holds in the sample and then in all rows."""
        return candidate.value(self.sample) <= 2 * SLACK and candidate.value(self.table) <= SLACK


def _thresholds(seen: _Seen) -> Iterator[Candidate]:
    """A flag that another number decides, from a threshold on."""
    for flag in seen.flags:
        low, high = (float(value) for value in sorted(seen.table[flag].dropna().unique()))
        for other in seen.numbers:
            if other in seen.flags:
                continue
            rows = seen.table[[flag, other]].dropna()
            for upper, lower in ((high, low), (low, high)):
                at = float(rows[other][rows[flag] == upper].quantile(SLACK, interpolation="lower"))
                found = seen.candidate(
                    "threshold_broken", (flag, other), column=flag, other=other, at=at, upper=upper, lower=lower
                )
                if seen.kept(found):
                    yield found


def _orders(seen: _Seen) -> Iterator[Candidate]:
    """One number never above another of the same scale; of other scales it would be a coincidence."""
    known = seen.sample
    for low, high in permutations([column for column in seen.numbers if column not in seen.flags], 2):
        if known[low].quantile(0.75) > known[high].quantile(0.25):
            found = seen.candidate("order_broken", (low, high), low=low, high=high)
            if seen.kept(found):
                yield found


def _sums(seen: _Seen) -> Iterator[Candidate]:
    """One number the weighted sum of one or two others."""
    for column in seen.numbers:
        alone = [found for other in seen.numbers if other != column and (found := _sum(seen, column, (other,)))]
        yield from alone
        pairs = combinations([other for other in seen.numbers if other != column], 2) if not alone else ()
        for pair in pairs:
            if found := _sum(seen, column, pair):
                yield found


def _sum(seen: _Seen, column: str, terms: Sequence[str]) -> Candidate | None:
    import numpy as np

    rows = seen.matrix[:, [seen.numbers.index(name) for name in (column, *terms)]]
    rows = rows[~np.isnan(rows).any(axis=1)][:FITTED]
    if len(rows) < FITTED // 10:
        return None
    wanted, given = rows[:, 0], np.column_stack([rows[:, 1:], np.ones(len(rows))])
    weights, _, rank, _ = np.linalg.lstsq(given, wanted, rcond=None)
    within = 1e-6 * max(1.0, float(np.abs(wanted).max()))
    if rank < given.shape[1] or float(np.abs(given @ weights - wanted).max()) > within:
        return None
    named: dict[str, JsonValue] = {
        name: _round(weight) for name, weight in zip(terms, weights[:-1], strict=True) if abs(weight) > 1e-9
    }
    if len(named) < len(terms):
        return None
    found = seen.candidate(
        "sum_broken", (column, *terms), column=column, terms=named, plus=_round(weights[-1]), within=10 * within
    )
    return found if seen.kept(found) else None


def _round(number: np.float64) -> float:
    return float(round(float(number), 7)) + 0.0


def _determined(seen: _Seen) -> Iterator[Candidate]:
    """A column that is the same wherever one or two others agree."""
    for column in seen.distinct:
        if seen.distinct[column] < 2:
            continue
        alone = [by for by in seen.grouping if by != column and _is_determined(seen, column, (by,))]
        yield from (_determination(seen, column, (by,)) for by in alone)
        if alone:
            continue
        for by in combinations([other for other in seen.grouping if other != column and other in seen.labels], 2):
            if _is_determined(seen, column, by):
                yield _determination(seen, column, by)


def _determination(seen: _Seen, column: str, by: Sequence[str]) -> Candidate:
    return seen.candidate("not_determined", (column, *by), column=column, by=list(by))


def _is_determined(seen: _Seen, column: str, by: Sequence[str]) -> bool:
    """Groups must have several rows with several values among them, or agreeing would mean nothing."""
    found = _determination(seen, column, by)
    if found.value(seen.run) > 2 * SLACK or found.value(seen.table) > SLACK:
        return False
    return int(seen.table.groupby(list(by), observed=True).ngroups) <= len(seen.table) / ROWS_PER_GROUP


def _keys(seen: _Seen) -> Iterator[Candidate]:
    """Columns that are unique, alone or two together."""
    alone = [column for column in seen.labels if seen.distinct[column] == len(seen.table)]
    yield from (seen.candidate("repeated_keys", (column,), by=[column]) for column in alone)
    others = [column for column in seen.labels if column not in alone and seen.distinct[column] > 1]
    for pair in combinations(others if not alone else [], 2):
        found = seen.candidate("repeated_keys", pair, by=list(pair))
        if found.value(seen.sample) == 0 and found.value(seen.table) == 0:
            yield found


def _nulls(seen: _Seen) -> Iterator[Candidate]:
    """Missing values, at all, and among rows where another column is known that makes them rarest."""
    gaps = [str(column) for column in seen.table.columns if seen.table[column].isna().any()]
    for column in map(str, seen.table.columns):
        yield seen.candidate("null_share", (column,), column=column)
        if column not in gaps:
            continue
        options = [
            seen.candidate("null_share", (column, known), column=column, known=known)
            for known in gaps
            if known != column
        ]
        best = min(options, key=lambda one: one.value(seen.table), default=None)
        if best is not None and best.value(seen.table) < seen.table[column].isna().mean() / 2:
            yield best


def _shares(seen: _Seen) -> Iterator[Candidate]:
    for column in seen.few:
        shares = seen.table[column].astype("string").value_counts(normalize=True)
        told: dict[str, JsonValue] = {str(value): round(float(share), 6) for value, share in shares.items()}
        yield seen.candidate("share_moved", (column,), column=column, shares=told)


def _rates(seen: _Seen) -> Iterator[Candidate]:
    for flag in seen.flags:
        for by in seen.few:
            if by != flag:
                yield seen.candidate("rate_moved", (flag, by), column=flag, by=by, usual={}, least=ROWS_PER_GROUP * 20)


def _ranks(seen: _Seen) -> Iterator[Candidate]:
    """A flag with what goes with it, and numbers that go together."""
    pairs = list(combinations(seen.numbers, 2))
    found = {pair: checks.rank_correlation(seen.sample, *pair) for pair in pairs}
    for (one, other), value in found.items():
        if abs(value) >= (NOTABLE if {one, other} & set(seen.flags) else STRONG):
            yield seen.candidate("rank_correlation", (one, other), column=one, other=other)


def _quantiles(seen: _Seen) -> Iterator[Candidate]:
    for column in seen.numbers:
        if column not in seen.flags and not (column in seen.labels and seen.distinct[column] == len(seen.table)):
            for at in QUANTILES:
                yield seen.candidate("quantile", (column,), column=column, at=at)


def _counts(seen: _Seen) -> Iterator[Candidate]:
    for column in seen.few:
        yield seen.candidate("fewest_rows", (column,), by=column)
