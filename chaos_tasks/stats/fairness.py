"""How differently a model treats groups, and whether a fault made that worse: rates, gaps and their intervals.

Everything comes from a contingency table.  A group with too few rows behind a rate is left out of that rate, by name.
Rates as in Hardt, Price, Srebro: Equality of Opportunity in Supervised Learning, 2016.

A gap is a largest-of, which noise raises, most of all where groups are alike; percentile and pivot bootstraps then err
several times as often as they say.  So errors are drawn from the directional derivative (Fang, Santos: Inference on
Directionally Differentiable Functions, Review of Economic Studies 86, 2019), each side of the interval with the near
ties that are worst for it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from statistics import NormalDist
from typing import Any

import numpy as np

from chaos_tasks.stats import bootstrap
from chaos_tasks.stats.contingency import Table
from chaos_tasks.stats.interval import Interval
from chaos_tasks.stats.unknown import Unknown

Array = np.ndarray[Any, np.dtype[Any]]
REPLICATES = 10_000
METHOD = "multinomial bootstrap of cells"
IDENTICAL = "identical decisions"
PSEUDO = 1.0
"""Rows added to each (group, label) that has rows, spread over its cells: what never happened in 30 rows may happen."""


class Rate(StrEnum):
    """What is compared between groups."""

    SELECTION = "selection"  # share decided 1: demographic parity
    TPR = "tpr"  # share decided 1 among label 1: equal opportunity
    FPR = "fpr"  # share decided 1 among label 0
    ACCURACY = "accuracy"
    EQUALISED_ODDS = "equalised_odds"  # the larger gap of TPR and FPR


class Form(StrEnum):
    """How a gap between the highest and the lowest rate is written; 0 is fair and 1 is all, either way."""

    DIFFERENCE = "difference"  # highest - lowest
    RATIO = "ratio"  # 1 - lowest / highest


@dataclass(frozen=True)
class Gap:
    """A gap with the groups compared, those too small to compare, and who is lowest and highest."""

    value: float
    interval: Interval | None
    percentile: Interval | None  # plain quantiles of resampled gaps, as other tools report it
    lowest: str
    highest: str
    groups: tuple[str, ...]
    left_out: tuple[str, ...]
    n: int


@dataclass(frozen=True)
class Amplification:
    """Change of a gap from control to treatment on the same rows, against a margin; positive: less fair.

    ``worsening`` is the treatment's gap less ``scale`` times the control's; ``p_pass`` is the p-value against
    "worsening >= margin", ``p_fail`` against "worsening <= margin"; the interval has level 1 - 2 alpha and agrees.
    """

    control: float
    treatment: float
    worsening: Interval
    p_pass: float
    p_fail: float
    lowest: str
    highest: str
    groups: tuple[str, ...]
    left_out: tuple[str, ...]
    n: int


@dataclass(frozen=True)
class _Rates:
    """One rate of all groups: measured, its standard error, and resampled around the measured one."""

    value: Array  # (groups,)
    error: Array  # (groups,)
    drawn: Array  # (groups, replicates)

    def extremes(self) -> tuple[int, int]:
        """Places of the lowest and the highest."""
        return int(np.argmin(self.value)), int(np.argmax(self.value))

    def spread_error(self) -> float:
        low, high = self.extremes()
        return math.hypot(float(self.error[low]), float(self.error[high]))

    def near(self, place: int, reach: float) -> Array:
        """Groups whose rate cannot be told from that one's; at least itself."""
        return np.asarray(np.abs(self.value - self.value[place]) <= reach * np.hypot(self.error, self.error[place]))


def gap(
    table: Table,
    rate: Rate,
    *,
    rng: np.random.Generator | None = None,
    form: Form = Form.DIFFERENCE,
    min_group: int = 100,
    alpha: float = 0.05,
    replicates: int = REPLICATES,
) -> Gap | Unknown:
    """The gap of one rate; see ``gaps``."""
    found = gaps(table, [rate], rng=rng, form=form, min_group=min_group, alpha=alpha, replicates=replicates)
    return found[rate]


def gaps(
    table: Table,
    wanted: Sequence[Rate],
    *,
    rng: np.random.Generator | None = None,
    form: Form = Form.DIFFERENCE,
    min_group: int = 100,
    alpha: float = 0.05,
    replicates: int = REPLICATES,
) -> dict[Rate, Gap | Unknown]:
    """Gaps of one model's table with 1 - 2 alpha intervals (none without ``rng``), all from the same resamples.

    ``min_group``: rows behind each of a group's rates below which the group is left out.  Unknown with fewer than two
    groups left.
    """
    smooth = _smooth(table.counts)
    cells = _merged(smooth, wanted[0]) if len(wanted) == 1 else smooth
    drawn = bootstrap.resample(cells, table.n, replicates, rng) if rng is not None and table.n else None
    return {rate: _gap(table, rate, smooth, drawn, form, min_group, alpha) for rate in wanted}


def _gap(
    table: Table, rate: Rate, smooth: Array, drawn: Array | None, form: Form, min_group: int, alpha: float
) -> Gap | Unknown:
    kept = _kept(table, table.counts, rate, min_group)
    if isinstance(kept, Unknown):
        return kept
    counts = table.counts[kept]
    n, value = int(counts.sum()), _value(counts, rate, form)
    interval = percentile = None
    if drawn is not None:
        ours = drawn if len(kept) == len(drawn) else drawn[kept]  # picking copies
        parts = [_resampled(counts, smooth[kept], ours, part) for part in _parts(rate)]
        low = bootstrap.lower_bound(value, _errors(parts, form, bootstrap.reach_of(n)), alpha)
        high = bootstrap.upper_bound(value, _errors(parts, form, None), alpha)
        interval = Interval(value, max(0.0, low), min(1.0, high), 1 - 2 * alpha, n, METHOD)
        plain = np.max([_spread(part.drawn, form) for part in parts], axis=0)
        percentile = bootstrap.percentile_interval(value, plain, alpha, n, METHOD)
    names = tuple(table.groups[place] for place in kept)
    return Gap(value, interval, percentile, *_extremes(counts, names, rate, form), names, _others(table, kept), n)


def amplification(
    table: Table,
    rate: Rate,
    margin: float,
    *,
    rng: np.random.Generator,
    scale: float = 1.0,
    form: Form = Form.DIFFERENCE,
    min_group: int = 100,
    alpha: float = 0.05,
    replicates: int = REPLICATES,
) -> Amplification | Unknown:
    """How much larger the treatment's gap is than ``scale`` times the control's, on the same rows.

    Resampling the paired cells (group, label, control's decision, treatment's) keeps what both models share.  Two
    bounds are taken, each at alpha / 2, and the tighter one counts: that of the gaps, and that of single pairs of
    groups, whose own change bounds the gap's.  Raises ValueError for a table of one model.
    """
    if not table.paired:
        raise ValueError("amplification needs the decisions of two models on the same rows")
    kept = _kept(table, table.counts.sum(axis=3), rate, min_group)
    if isinstance(kept, Unknown):
        return kept
    counts = table.counts[kept]
    names = tuple(table.groups[place] for place in kept)
    before, after = _value(counts.sum(axis=3), rate, form), _value(counts.sum(axis=2), rate, form)
    if not counts[:, :, [0, 1], [1, 0]].any():
        interval, p_pass, p_fail = _identical(after - scale * before, margin, alpha, int(counts.sum()))
    else:
        interval, p_pass, p_fail = _judge(counts, rate, form, margin, scale, alpha, replicates, rng)
    low, high = _extremes(counts.sum(axis=2), names, rate, form)
    others = _others(table, kept)
    return Amplification(before, after, interval, p_pass, p_fail, low, high, names, others, int(counts.sum()))


def _identical(value: float, margin: float, alpha: float, n: int) -> tuple[Interval, float, float]:
    """Not one decision changed, so neither did any rate, whatever the rows."""
    interval = Interval(value, value, value, 1 - 2 * alpha, n, IDENTICAL)
    return interval, float(value >= margin), float(value <= margin)


def _judge(
    counts: Array,
    rate: Rate,
    form: Form,
    margin: float,
    scale: float,
    alpha: float,
    replicates: int,
    rng: np.random.Generator,
) -> tuple[Interval, float, float]:
    n, smooth = int(counts.sum()), _smooth(counts)
    drawn = bootstrap.resample(smooth, n, replicates, rng)
    control, treatment = (
        [_resampled(counts.sum(axis=a), smooth.sum(axis=a), drawn.sum(axis=a), part) for part in _parts(rate)]
        for a in (3, 2)
    )
    value = _value(counts.sum(axis=2), rate, form) - scale * _value(counts.sum(axis=3), rate, form)
    reach = bootstrap.reach_of(n)
    least = _errors(treatment, form, None) - scale * _errors(control, form, reach)
    most = _errors(treatment, form, reach) - scale * _errors(control, form, None)
    share = alpha / 2 if form is Form.DIFFERENCE else alpha
    low, high = bootstrap.lower_bound(value, most, share), bootstrap.upper_bound(value, least, share)
    p_pass, p_fail = bootstrap.p_below(value, least, margin), bootstrap.p_above(value, most, margin)
    if form is Form.DIFFERENCE:
        above, below = _pairs_of_groups(smooth, control, treatment, rate, scale, reach)
        low, high = max(low, below.bound(-1, share)), min(high, above.bound(1, share))
        p_pass = min(1.0, 2 * min(p_pass, above.p_below(margin)))
        p_fail = min(1.0, 2 * min(p_fail, below.p_above(margin)))
    low, high = min(low, value), max(high, value)
    return Interval(value, low, high, 1 - 2 * alpha, n, f"paired {METHOD}"), p_pass, p_fail


@dataclass(frozen=True)
class _Changes:
    """Changes of the differences between pairs of groups, with their standard errors."""

    value: Array
    error: Array

    def bound(self, sign: int, alpha: float) -> float:
        """Upper (sign 1) bound of the largest, or lower (-1) of the smallest.  Which pair is the true one is not known,
        but there is only one, so alpha is not shared between them."""
        reach = NormalDist().inv_cdf(1 - alpha)
        return float(sign * np.max(sign * self.value + reach * self.error))

    def p_below(self, margin: float) -> float:
        return float(max(NormalDist().cdf(z) for z in ((self.value - margin) / self.error).ravel()))

    def p_above(self, margin: float) -> float:
        return float(max(NormalDist().cdf(z) for z in ((margin - self.value) / self.error).ravel()))


def _pairs_of_groups(
    smooth: Array, control: list[_Rates], treatment: list[_Rates], rate: Rate, scale: float, reach: float
) -> tuple[_Changes, _Changes]:
    """Changes of the pairs that may be the treatment's widest (they bound the change of the gap from above), and of
    those that may be the control's (from below): the widest of one model is at most as wide in the other."""
    found = []
    for model in (treatment, control):
        values, errors = [], []
        for place in _widest(model, Form.DIFFERENCE, reach):
            change = treatment[place].value - scale * control[place].value
            error = _change_error(_hits(smooth, _parts(rate)[place]), scale)
            low, high = model[place].extremes()
            highs, lows = (np.flatnonzero(model[place].near(end, reach)) for end in (high, low))
            values.append(np.subtract.outer(change[highs], change[lows]).ravel())
            errors.append(np.hypot.outer(error[highs], error[lows]).ravel())
        found.append(_Changes(np.concatenate(values), np.concatenate(errors)))
    return found[0], found[1]


def _change_error(hits: Array, scale: float) -> Array:
    """Standard error of (treatment's rate - scale x control's) per group, from ``hits[group, control, treatment]``."""
    rows = hits.sum(axis=(1, 2))
    worth = np.array([[0.0, 1.0], [-scale, 1 - scale]])
    mean = (hits * worth).sum(axis=(1, 2)) / rows
    return np.asarray(np.sqrt(((hits * worth**2).sum(axis=(1, 2)) / rows - mean**2) / rows))


def rates(counts: Array, rate: Rate) -> Array:
    """Rate per group of ``counts[group, label, decision, ...]``; NaN where a group has no row behind it.

    Raises ValueError for equalised odds, which is two rates.
    """
    hits = _hits(counts, rate)
    rows = hits[:, 0] + hits[:, 1]
    return np.asarray(np.where(rows > 0, hits[:, 1] / np.maximum(rows, 1e-300), np.nan))


def _hits(counts: Array, rate: Rate) -> Array:
    """Rows by whether they count for the rate, ``[group, hit, ...]``, of one model; of a pair ``[group, hit, hit]``."""
    if rate is Rate.TPR:
        return counts[:, 1]
    if rate is Rate.FPR:
        return counts[:, 0]
    if rate is Rate.SELECTION:
        return np.asarray(counts[:, 0] + counts[:, 1])
    if rate is Rate.ACCURACY:
        swapped = counts[:, 0, ::-1, ::-1] if counts.shape[1:] == (2, 2, 2) else counts[:, 0, ::-1]
        return np.asarray(counts[:, 1] + swapped)
    raise ValueError(f"{rate.value} is two rates")


def _parts(rate: Rate) -> tuple[Rate, ...]:
    return (Rate.TPR, Rate.FPR) if rate is Rate.EQUALISED_ODDS else (rate,)


def _smooth(counts: Array) -> Array:
    """Counts with PSEUDO rows more in each (group, label) that has any."""
    cells = math.prod(counts.shape[2:])
    has_rows = counts.sum(axis=tuple(range(2, counts.ndim)), keepdims=True) > 0
    return np.asarray(counts + np.where(has_rows, PSEUDO / cells, 0.0))


def _merged(counts: Array, rate: Rate) -> Array:
    """One model's counts with the cells that the rate does not tell apart in one of them: fewer to draw."""
    if rate is Rate.EQUALISED_ODDS or not len(counts):
        return counts
    merged = np.zeros_like(counts)
    label = 0 if rate is Rate.FPR else 1
    merged[:, label] = _hits(counts, rate)
    merged[0, 1 - label, 0] = counts.sum() - merged.sum()  # rows that do not count for the rate at all
    return merged


def _resampled(counts: Array, smooth: Array, drawn: Array, rate: Rate) -> _Rates:
    """The rate of one model's tables; resamples are moved from the smoothed table's rate to the measured one."""
    centre, hits = rates(smooth, rate), _hits(smooth, rate)
    error = np.sqrt(centre * (1 - centre) / hits.sum(axis=1))
    value = rates(counts, rate)
    moved = np.nan_to_num(rates(drawn, rate) - centre[:, None]) + value[:, None]
    return _Rates(value, error, moved)


def _value(counts: Array, rate: Rate, form: Form) -> float:
    return max(float(_spread(rates(counts, part), form)) for part in _parts(rate))


def _spread(values: Array, form: Form) -> Array:
    """Highest against lowest along the first axis."""
    return _between(values.min(axis=0), values.max(axis=0), form)


def _between(low: Array, high: Array, form: Form) -> Array:
    if form is Form.DIFFERENCE:
        return np.asarray(high - low)
    return np.asarray(np.where(high > 0, 1 - low / np.where(high > 0, high, 1.0), 0.0))  # nobody is selected: all alike


def _errors(parts: list[_Rates], form: Form, reach: float | None) -> Array:
    """Draws of (measured gap - true gap): with ``reach``, as if all groups within it were truly tied, which noise
    raises most; without, as if the extreme groups were known."""
    found = []
    for place in _widest(parts, form, reach):
        part = parts[place]
        low, high = part.extremes()
        lows, highs = (part.near(end, reach) if reach else np.arange(len(part.value)) == end for end in (low, high))
        noise = part.drawn - part.value[:, None]
        at_low, at_high = part.value[low] + noise[lows].min(axis=0), part.value[high] + noise[highs].max(axis=0)
        found.append(_between(at_low, at_high, form) - _spread(part.value, form))
    return np.asarray(np.max(found, axis=0))


def _widest(parts: list[_Rates], form: Form, reach: float | None) -> list[int]:
    """Places of the rates whose gap may be the widest; without ``reach``, of the one measured as such."""
    gaps = [float(_spread(part.value, form)) for part in parts]
    top = int(np.argmax(gaps))
    if reach is None:
        return [top]
    errors = [part.spread_error() for part in parts]
    return [p for p, gap in enumerate(gaps) if gaps[top] - gap <= reach * math.hypot(errors[p], errors[top])]


def _kept(table: Table, counts: Array, rate: Rate, min_group: int) -> Array | Unknown:
    """Places of the groups with enough rows behind each rate; labels decide that, so both models keep the same."""
    rows = np.min([_hits(counts, part).sum(axis=1) for part in _parts(rate)], axis=0)
    kept = np.flatnonzero(rows >= max(min_group, 1))
    if len(kept) >= 2:
        return np.asarray(kept)
    return Unknown(f"{len(kept)} of {len(table.groups)} groups have {min_group} rows behind their {rate.value}")


def _others(table: Table, kept: Array) -> tuple[str, ...]:
    chosen = set(kept.tolist())
    return tuple(name for place, name in enumerate(table.groups) if place not in chosen)


def _extremes(counts: Array, names: Sequence[str], rate: Rate, form: Form) -> tuple[str, str]:
    """Names of the groups with the lowest and the highest rate (of equalised odds: of the rate with the larger gap)."""
    found = [rates(counts, part) for part in _parts(rate)]
    widest = max(found, key=lambda values: float(_spread(values, form)))
    return names[int(np.argmin(widest))], names[int(np.argmax(widest))]
