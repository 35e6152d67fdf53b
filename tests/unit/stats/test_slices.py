"""Slices: the worst one is named and bounded, small and empty ones are left out with the reason."""

from __future__ import annotations

import math

import numpy as np
import pytest

from chaos_tasks.stats.slices import Slice, Worst, mean_slices, worst_slice
from chaos_tasks.stats.unknown import Unknown


def worst(slices: list[Slice], min_rows: int = 100) -> Worst:
    found = worst_slice(slices, alpha=0.05, min_rows=min_rows)
    assert isinstance(found, Worst)
    return found


def changes(sizes: list[int], chances: list[tuple[float, float]], seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Codes, and worsenings of +1 or -1 with the chances of each slice."""
    codes = np.repeat(np.arange(len(sizes)), sizes)
    up, down = np.array(chances)[codes].T
    u = np.random.default_rng(seed).random(len(codes))
    return codes, np.where(u < up, 1.0, np.where(u < up + down, -1.0, 0.0))


def test_means_are_those_of_the_rows() -> None:
    codes, values = np.array([0, 0, 1, 1, 1]), np.array([1.0, 2.0, 0.0, 0.0, 3.0])
    found = mean_slices("origin", codes, ["JFK", "LGA"], values)
    assert [(one.name, one.n, one.estimate) for one in found] == [("origin=JFK", 2, 1.5), ("origin=LGA", 3, 1.0)]


def test_harm_to_one_slice_is_found_and_named() -> None:
    codes, values = changes([300, 5000, 5000], [(0.2, 0.02), (0.02, 0.02), (0.02, 0.02)], 1)
    found = worst(mean_slices("carrier", codes, ["EV", "AA", "UA"], values))
    assert found.name == "carrier=EV"
    assert found.interval.low > 0.1
    assert abs(values.mean()) < 0.01


def test_small_and_empty_slices_are_left_out_with_the_reason() -> None:
    codes, values = changes([500, 99], [(0.1, 0), (0.9, 0)], 2)
    found = worst(mean_slices("c", codes, ["a", "b", "nobody"], values))
    assert found.name == "c=a"
    assert found.left_out == ("c=b", "c=nobody")
    assert [one.reason for one in found.slices] == ["", "99 rows, fewer than 100", "no row"]


def test_a_slice_that_is_not_known_keeps_its_reason() -> None:
    found = worst_slice(
        [Slice("a", 500, 0.1, 0.01), ("b", 200, Unknown("no row has label 1")), Slice("c", 500, math.nan, 0.1)],
        alpha=0.05,
    )
    assert isinstance(found, Worst)
    assert [one.reason for one in found.slices] == ["", "no row has label 1", "its worsening is no finite number"]


@pytest.mark.parametrize("sizes", [[], [0], [99]])
def test_no_slice_left_is_not_known(sizes: list[int]) -> None:
    found = worst_slice([Slice("a", n, 0.0, 0.0) for n in sizes], alpha=0.05)
    assert isinstance(found, Unknown)


def test_identical_rows_have_no_spread_unless_one_could_have_changed() -> None:
    codes, values = np.zeros(200, dtype=int), np.zeros(200)
    assert worst(mean_slices("c", codes, ["a"], values)).interval.high == 0
    assert worst(mean_slices("c", codes, ["a"], values, unseen=1.0)).interval.high > 0.01


def test_a_slice_in_which_nothing_happened_to_change_is_not_certain() -> None:
    codes, values = changes([100, 5000], [(0, 0), (0.02, 0.02)], 3)
    assert worst(mean_slices("c", codes, ["quiet", "busy"], values)).interval.high > 0.02


def test_each_interval_is_wider_than_it_would_be_alone() -> None:
    alone, among = [Slice("a", 500, 0.1, 0.01)], [Slice(name, 500, 0.1, 0.01) for name in "abcdef"]
    one, many = worst(alone).slices[0].interval, worst(among).slices[0].interval
    assert one is not None
    assert many is not None
    assert many.high - many.low > one.high - one.low


@pytest.mark.parametrize(
    ("sizes", "chances"),
    [
        ([100] * 8, [(0.02, 0.02)] * 8),
        ([1500] * 5, [(0.02, 0.02)] * 4 + [(0.05, 0.02)]),
        ([100, 3000], [(0.03, 0.0), (0.01, 0.01)]),
    ],
)
def test_errs_no_more_often_than_it_says_at_the_margin(sizes: list[int], chances: list[tuple[float, float]]) -> None:
    truth, names = max(up - down for up, down in chances), [str(n) for n in range(len(sizes))]
    found = [worst(mean_slices("c", *_named(changes(sizes, chances, seed), names))).interval for seed in range(300)]
    for wrong in (sum(one.high < truth for one in found), sum(one.low > truth for one in found)):
        assert wrong / 300 <= 0.05 + 2.5 * math.sqrt(0.05 * 0.95 / 300)


def _named(rows: tuple[np.ndarray, np.ndarray], names: list[str]) -> tuple[np.ndarray, list[str], np.ndarray]:
    return rows[0], names, rows[1]
