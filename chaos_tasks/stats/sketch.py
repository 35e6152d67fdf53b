"""A column as 2,048 counts: two of them say how far data drifted, without the data that they were made of.

1,984 bins of equal width over the reference's middle 99.9 %, and on each side 32 that double in width, so that no value
is out of range.  A sketch of a part is added to that of another part with the same layout; the reference is sketched
once and kept.  Bins bound the error of every distance; each is given with its bound.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from pydantic import Field

from chaos_tasks.model.base import Value

Array = np.ndarray[Any, np.dtype[Any]]
CORE = 1984
TAIL = 32
BINS = CORE + 2 * TAIL
MIDDLE = (0.0005, 0.9995)
GROUPS = 20
_CHUNK = 1 << 16  # values at a time: few calls, and what is in hand stays in the cache


class Layout(Value):
    """Where the bins lie: the core starts at ``start`` and its bins are ``width`` wide."""

    start: float
    width: float = Field(gt=0)


class Sketch(Value):
    """Counts of one column of numbers; ``content_sha256`` is its digest.  No value but the extremes is kept."""

    layout: Layout
    counts: tuple[int, ...] = Field(min_length=BINS, max_length=BINS)
    nulls: int = Field(0, ge=0, description="Values that are not there.")
    nans: int = Field(0, ge=0)
    infinities: int = Field(0, ge=0)
    low: float | None = Field(None, description="Smallest finite value.")
    high: float | None = Field(None, description="Largest finite value.")

    @property
    def finite(self) -> int:
        """Values in the bins."""
        return sum(self.counts)

    @property
    def n(self) -> int:
        """All values, nulls too."""
        return self.finite + self.nulls + self.nans + self.infinities

    @property
    def missing(self) -> float:
        """Share of values that are no finite number; NaN without a value."""
        return 1 - self.finite / self.n if self.n else math.nan

    def __add__(self, other: Sketch) -> Sketch:
        """Of both parts; raises ValueError for another layout."""
        _require_same(self, other)
        lows = [end for end in (self.low, other.low) if end is not None]
        highs = [end for end in (self.high, other.high) if end is not None]
        return Sketch(
            layout=self.layout,
            counts=tuple(a + b for a, b in zip(self.counts, other.counts, strict=True)),
            nulls=self.nulls + other.nulls,
            nans=self.nans + other.nans,
            infinities=self.infinities + other.infinities,
            low=min(lows, default=None),
            high=max(highs, default=None),
        )


def layout_of(values: Array) -> Layout:
    """Bins for a reference column (n,); infinities and NaN take no part.

    A column of one value (or none) gets bins a thousandth of that value wide around it.
    """
    finite = values[np.isfinite(values)] if values.dtype.kind == "f" else values
    if not len(finite):
        return Layout(start=-1.0, width=2.0 / CORE)
    places = [min(len(finite) - 1, math.floor(share * len(finite))) for share in MIDDLE]
    low, high = (float(end) for end in np.partition(finite, places)[places])
    if low == high:
        low, high = float(finite.min()), float(finite.max())
    width = high / CORE - low / CORE
    if not width > abs(low) * 1e-13:  # one value, or too close together to tell their bins apart
        width = max(abs(low) * 1e-3, 1e-9)
        return Layout(start=low - width * (CORE // 2), width=width)
    return Layout(start=low, width=width)


def sketch(values: Array, layout: Layout, *, nulls: int = 0) -> Sketch:
    """Count a column (n,) of numbers, of any size and type; ``nulls`` are those that the caller has left out."""
    values = np.asarray(values)
    nans = infinities = 0
    if len(values) and not (math.isfinite(float(values.min())) and math.isfinite(float(values.max()))):
        nans, infinities = int(np.isnan(values).sum()), int(np.isinf(values).sum())
        values = values[np.isfinite(values)]
    counts, outside = _core(values, layout)
    below, above = outside < layout.start, outside >= layout.start
    with np.errstate(over="ignore"):
        left = np.bincount(_tail((layout.start - outside[below]) / layout.width), minlength=TAIL)
        right = np.bincount(_tail((outside[above] - layout.start) / layout.width - CORE), minlength=TAIL)
    return Sketch.model_construct(
        layout=layout,
        counts=tuple(np.concatenate([left[::-1], counts, right]).tolist()),
        nulls=nulls,
        nans=nans,
        infinities=infinities,
        low=float(values.min()) if len(values) else None,
        high=float(values.max()) if len(values) else None,
    )


def _core(values: Array, layout: Layout) -> tuple[Array, Array]:
    """Counts of the core's bins, and the values outside of them."""
    counts = np.zeros(CORE + 2, dtype=np.int64)  # the first and the last: below and above
    size = min(_CHUNK, len(values))
    places, whole, outside = np.empty(size), np.empty(size, np.int64), []
    first, scale = layout.start - layout.width, 1 / layout.width
    for begin in range(0, len(values), _CHUNK):
        chunk = values[begin : begin + _CHUNK]
        place, found = places[: len(chunk)], whole[: len(chunk)]
        with np.errstate(over="ignore"):  # what overflows is beyond the core all the same
            np.subtract(chunk, first, out=place)
            np.multiply(place, scale, out=place)
        np.clip(place, 0, CORE + 1, out=place)
        np.copyto(found, place, casting="unsafe")  # cuts the fraction off
        here = np.bincount(found, minlength=CORE + 2)
        if here[0] or here[-1]:
            outside.append(np.asarray(chunk[(found == 0) | (found == CORE + 1)], np.float64))
        counts += here
    return counts[1:-1], np.concatenate(outside) if outside else np.empty(0)


def _tail(distance: Array) -> Array:
    """Places 0.. of values that lie ``distance`` core bins beyond the core: each bin is twice as wide as the last."""
    return np.asarray(np.log2(np.maximum(distance, 0) + 1).clip(0, TAIL - 1).astype(np.int64))


def edges(layout: Layout) -> Array:
    """The BINS - 1 inner edges; the outermost bins are open."""
    core = layout.start + layout.width * np.arange(CORE + 1)
    steps = layout.width * (2.0 ** np.arange(1, TAIL) - 1)
    return np.concatenate([core[0] - steps[::-1], core, core[-1] + steps])


@dataclass(frozen=True)
class Drift:
    """How far a column drifted from its reference.  Each ``_error`` bounds |given - exact|.

    ``wasserstein`` is in the column's unit, ``normed`` in standard deviations of the reference; ``psi`` and
    ``total_variation`` (0..1) are over 20 groups of about as many reference values, missing values are one more;
    ``missing`` is the change in the share of missing values.
    """

    wasserstein: float
    wasserstein_error: float
    normed: float
    kolmogorov: float
    kolmogorov_error: float
    psi: float
    total_variation: float
    missing: float


def drift(reference: Sketch, current: Sketch) -> Drift:
    """Compare two sketches of one layout; distances are NaN where one of them holds no finite value.

    Raises ValueError for another layout.
    """
    _require_same(reference, current)
    before, after = (np.asarray(one.counts, np.float64) for one in (reference, current))
    psi, variation = _grouped(before, after, reference, current)
    missing = current.missing - reference.missing
    if not before.sum() or not after.sum():
        nan = math.nan
        return Drift(nan, nan, nan, nan, nan, psi, variation, missing)
    before, after = before / before.sum(), after / after.sum()
    widths = _widths(reference, current)
    gap = np.concatenate([[0.0], np.cumsum(before - after)])
    gap[-1] = 0.0
    distance, error = _area(gap, widths), float((widths * (before + after)).sum() / 2)
    inside = np.maximum(np.abs(gap[1:] + after), np.abs(gap[:-1] - after))
    inside = np.maximum(inside, np.abs(gap[:-1] + before))
    kolmogorov = float(np.abs(gap).max())
    spread = _deviation(reference, before)
    normed = distance / spread if spread > 0 else (0.0 if distance <= error else math.inf)
    return Drift(
        distance, error, normed, kolmogorov, max(0.0, float(inside.max()) - kolmogorov), psi, variation, missing
    )


def _area(gap: Array, widths: Array) -> float:
    """Integral of |gap|, linear within each bin."""
    left, right = gap[:-1], gap[1:]
    total = np.abs(left) + np.abs(right)
    with np.errstate(invalid="ignore", divide="ignore"):
        crossed = np.where(total > 0, (left**2 + right**2) / (2 * total), 0.0)
    return float((widths * np.where(left * right >= 0, total / 2, crossed)).sum())


def _widths(*both: Sketch) -> Array:
    """Widths of the bins as far as values reach; a bin beyond all values has none."""
    lows, highs = [one.low for one in both if one.low is not None], [one.high for one in both if one.high is not None]
    inner = edges(both[0].layout)
    low, high = min(lows), max(highs)
    ends = np.concatenate([[min(low, inner[0])], inner, [max(high, inner[-1])]])
    with np.errstate(over="ignore"):  # the largest floats lie infinitely far apart
        return np.diff(ends.clip(low, high))


def _deviation(one: Sketch, shares: Array) -> float:
    """Standard deviation, taking values at the middle of their bin."""
    inner = edges(one.layout)
    low, high = float(one.low or 0.0), float(one.high or 0.0)
    ends = np.concatenate([[min(low, inner[0])], inner, [max(high, inner[-1])]]).clip(low, high)
    middles = (ends[1:] + ends[:-1]) / 2
    mean = float((shares * middles).sum())
    return math.sqrt(float((shares * (middles - mean) ** 2).sum()))


def _grouped(before: Array, after: Array, reference: Sketch, current: Sketch) -> tuple[float, float]:
    """PSI and total variation over groups of bins that hold about as many reference values each."""
    from chaos_tasks.stats.prediction_shift import psi

    shares = np.cumsum(before) - before / 2
    group = np.minimum((shares / max(before.sum(), 1) * GROUPS).astype(np.int64), GROUPS - 1)
    parts = [
        np.append(np.bincount(group, counts, minlength=GROUPS), one.n - one.finite)
        for counts, one in ((before, reference), (after, current))
    ]
    if not reference.n or not current.n:
        return math.nan, math.nan
    filled = parts[0] + parts[1] > 0
    p, q = (part[filled] for part in parts)
    return float(psi(p, q)), float(np.abs(p / p.sum() - q / q.sum()).sum() / 2)


def _require_same(one: Sketch, other: Sketch) -> None:
    if one.layout != other.layout:
        raise ValueError("sketches of other layouts cannot be compared; sketch the data with the reference's layout")


class Categories(Value):
    """Counts of one column of categories.  Names are kept, so a column whose values identify people is none."""

    counts: Mapping[str, int]
    nulls: int = Field(0, ge=0)

    @property
    def n(self) -> int:
        """All values, nulls too."""
        return sum(self.counts.values()) + self.nulls

    def __add__(self, other: Categories) -> Categories:
        """Of both parts."""
        names = sorted({*self.counts, *other.counts})
        added = {name: self.counts.get(name, 0) + other.counts.get(name, 0) for name in names}
        return Categories(counts=added, nulls=self.nulls + other.nulls)


@dataclass(frozen=True)
class CategoryDrift:
    """Distance of two columns of categories, nulls a category of their own; ``unseen``: share never met before."""

    total_variation: float
    psi: float
    unseen: float
    missing: float


def category_drift(reference: Categories, current: Categories) -> CategoryDrift:
    """Compare; all NaN where one of them holds no value."""
    from chaos_tasks.stats.prediction_shift import psi

    if not reference.n or not current.n:
        return CategoryDrift(math.nan, math.nan, math.nan, math.nan)
    names = sorted({*reference.counts, *current.counts})
    before, after = (
        np.array([*(one.counts.get(name, 0) for name in names), one.nulls], np.float64) for one in (reference, current)
    )
    unseen = sum(count for name, count in current.counts.items() if not reference.counts.get(name)) / current.n
    filled = before + after > 0
    variation = float(np.abs(before / before.sum() - after / after.sum()).sum() / 2)
    missing = current.nulls / current.n - reference.nulls / reference.n
    return CategoryDrift(variation, float(psi(before[filled], after[filled])), unseen, missing)
