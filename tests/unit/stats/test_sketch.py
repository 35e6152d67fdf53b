"""Sketches: what they say about two columns is what the columns say, within the bound that they state."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chaos_tasks.stats.sketch import (
    BINS,
    CORE,
    TAIL,
    Categories,
    Drift,
    Layout,
    Sketch,
    category_drift,
    drift,
    edges,
    layout_of,
    sketch,
)


def draw(seed: int = 1) -> np.random.Generator:
    return np.random.default_rng(seed)


def compared(reference: np.ndarray, current: np.ndarray) -> Drift:
    layout = layout_of(reference)
    return drift(sketch(reference, layout), sketch(current, layout))


COLUMNS = {
    "normal": (draw().normal(size=20_000), draw(2).normal(0.1, 1.1, size=20_000)),
    "heavy": (draw().standard_cauchy(20_000), draw(2).standard_cauchy(20_000) * 2),
    "integers": (draw().integers(0, 24, 20_000), draw(2).integers(2, 25, 20_000)),
    "large offset": (1e9 + draw().normal(size=20_000), 1e9 + draw(2).normal(0.2, 1, size=20_000)),
    "skewed": (draw().lognormal(0, 2, 20_000), draw(2).lognormal(0.1, 2, 20_000)),
    "small floats": (draw().random(20_000).astype(np.float32), (draw(2).random(20_000) ** 1.1).astype(np.float32)),
    "far away": (draw().random(20_000), draw(2).random(20_000) + 1e6),
    "constant": (np.full(1000, 7.0), draw().normal(7, 1, 1000)),
}


@pytest.mark.parametrize("name", COLUMNS)
def test_distances_are_scipys_within_the_stated_bound(name: str) -> None:
    from scipy.stats import ks_2samp, wasserstein_distance

    reference, current = (column.astype(np.float64) for column in COLUMNS[name])
    found = compared(*COLUMNS[name])
    exact = wasserstein_distance(reference, current)
    assert found.wasserstein == pytest.approx(exact, abs=found.wasserstein_error + 1e-9 * abs(exact))
    assert found.kolmogorov == pytest.approx(ks_2samp(reference, current).statistic, abs=found.kolmogorov_error + 1e-12)


def test_a_normal_column_is_seen_far_better_than_the_bound_says() -> None:
    from scipy.stats import wasserstein_distance

    found = compared(*COLUMNS["normal"])
    assert found.wasserstein == pytest.approx(wasserstein_distance(*COLUMNS["normal"]), abs=1e-4)
    assert found.normed == pytest.approx(found.wasserstein / COLUMNS["normal"][0].std(), rel=1e-3)


@pytest.mark.parametrize("name", COLUMNS)
def test_every_value_is_counted_and_none_in_the_wrong_bin(name: str) -> None:
    reference, current = COLUMNS[name]
    layout = layout_of(reference)
    found = np.array(sketch(current, layout).counts)
    assert found.sum() == len(current)
    wanted = np.bincount(np.searchsorted(edges(layout), current.astype(np.float64), side="right"), minlength=BINS)
    assert np.abs(np.cumsum(found - wanted)).max() <= max(2, 1e-3 * len(current))  # rounding at an edge


def test_layout_is_a_core_with_doubling_tails() -> None:
    found = edges(Layout(start=0.0, width=1.0))
    assert len(found) == BINS - 1
    assert found[TAIL - 1] == 0
    assert found[TAIL - 1 + CORE] == CORE
    assert np.diff(found)[-3:].tolist() == [2.0 ** (TAIL - k) for k in (4, 3, 2)]
    assert (np.diff(found) > 0).all()


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.floats(allow_nan=True, allow_infinity=True), max_size=30),
    st.lists(st.floats(allow_nan=True, allow_infinity=True), max_size=30),
    st.integers(0, 30),
)
def test_sketches_of_parts_add_up_to_that_of_the_whole(first: list[float], second: list[float], nulls: int) -> None:
    layout = Layout(start=-1.0, width=2 / CORE)
    parts = sketch(np.array(first), layout, nulls=nulls) + sketch(np.array(second), layout)
    assert parts == sketch(np.array(first + second), layout, nulls=nulls)
    assert parts.n == len(first) + len(second) + nulls


def test_a_stored_sketch_comes_back_with_its_digest() -> None:
    column = COLUMNS["heavy"][0]
    stored = sketch(column, layout_of(column), nulls=3)
    again = Sketch.model_validate_json(stored.canonical())
    assert again == stored
    assert again.content_sha256 == stored.content_sha256


def test_missing_values_are_counted_apart() -> None:
    layout = Layout(start=0.0, width=0.01)
    found = sketch(np.array([1.0, math.nan, math.inf, -math.inf, 2.0]), layout, nulls=5)
    assert (found.finite, found.nans, found.infinities, found.nulls, found.n) == (2, 1, 2, 5, 10)
    assert (found.low, found.high, found.missing) == (1, 2, 0.8)
    whole = sketch(np.array([1.0, 2.0]), layout)
    assert drift(whole, found).missing == 0.8
    assert drift(whole, found).total_variation == pytest.approx(0.8)


@pytest.mark.parametrize("values", [[], [math.nan], [math.inf]])
def test_no_finite_value_has_no_distance(values: list[float]) -> None:
    column = np.array(values, dtype=float)
    layout = layout_of(column)
    found = drift(sketch(np.array([0.5]), layout), sketch(column, layout))
    assert math.isnan(found.wasserstein)
    assert math.isnan(found.kolmogorov)


@pytest.mark.parametrize("value", [0.0, -3.0, 1e12, 1e-12])
def test_a_constant_column_did_not_drift_from_itself(value: float) -> None:
    column = np.full(50, value)
    found = compared(column, column)
    assert (found.wasserstein, found.normed, found.kolmogorov, found.psi) == (0, 0, 0, 0)
    moved = compared(column, column + max(1.0, abs(value)))
    assert moved.wasserstein > 0
    assert moved.normed == math.inf


def test_the_same_column_sampled_twice_hardly_drifts() -> None:
    found = compared(draw(1).normal(size=50_000), draw(9).normal(size=50_000))
    assert found.normed < 0.02
    assert found.psi < 0.01
    assert found.total_variation < 0.03


def test_the_largest_floats_have_a_place() -> None:
    column = np.array([-1.7e308, 1.7e308])
    found = compared(draw().random(50), column)
    assert found.wasserstein > 1e307
    assert found.kolmogorov == pytest.approx(0.5)


def test_other_layouts_are_not_compared() -> None:
    one, other = (sketch(np.ones(3), Layout(start=start, width=1.0)) for start in (0.0, 1.0))
    with pytest.raises(ValueError, match="layout"):
        drift(one, other)
    with pytest.raises(ValueError, match="layout"):
        one + other


def test_categories_add_up_and_new_ones_are_seen() -> None:
    reference = Categories(counts={"a": 50, "b": 50})
    current = Categories(counts={"a": 50}, nulls=25) + Categories(counts={"c": 25})
    found = category_drift(reference, current)
    assert (found.total_variation, found.unseen, found.missing) == (0.5, 0.25, 0.25)
    assert category_drift(reference, reference).psi == 0
    assert math.isnan(category_drift(reference, Categories(counts={})).psi)
