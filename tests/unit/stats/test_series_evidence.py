"""Evidence from series: memory is found, blocks hold the error that pooling breaks, tails are seen."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import pytest

from chaos_tasks.stats.evidence import Decision, Evidence
from chaos_tasks.stats.seed_evidence import seed_evidence
from chaos_tasks.stats.series_evidence import autocorrelation_time, block_length, series_evidence, tail_evidence


def with_memory(rng: np.random.Generator, n: int, memory: float) -> np.ndarray:
    """Stationary AR(1), mean 0, variance 1; autocorrelation time (1 + memory) / (1 - memory)."""
    shocks = rng.standard_normal(n) * math.sqrt(1 - memory**2)
    values = np.empty(n)
    last = rng.standard_normal()
    for at, shock in enumerate(shocks):
        last = values[at] = memory * last + shock
    return values


def shares(found: list[Evidence | None]) -> dict[Decision, float]:
    return {way: sum(one is not None and one.decision() is way for one in found) / len(found) for way in Decision}


@pytest.mark.parametrize(("memory", "time"), [(0.6, 4.0), (0.9, 19.0)])
def test_finds_how_long_the_series_remembers(memory: float, time: float) -> None:
    found = autocorrelation_time(with_memory(np.random.default_rng(1), 100_000, memory))
    assert found == pytest.approx(time, rel=0.1)


def test_values_without_memory_are_units_of_their_own() -> None:
    assert block_length(np.random.default_rng(2).standard_normal(5_000)) == 1


def test_blocks_hold_the_error_that_counting_values_breaks() -> None:
    rng = np.random.default_rng(3)
    series = [with_memory(rng, 1_000, 0.6) for _ in range(250)]
    by_block = shares([series_evidence(one, 0.0, alpha=0.05) for one in series])
    by_value = shares([seed_evidence(one[:60].tolist(), 0.0, alpha=0.05) for one in series])
    assert max(by_block[Decision.PASS], by_block[Decision.FAIL]) < 0.05 + 2 * math.sqrt(0.05 * 0.95 / 250)
    assert by_value[Decision.PASS] + by_value[Decision.FAIL] > 0.2


@pytest.mark.parametrize(("shift", "way"), [(0.0, Decision.PASS), (1.0, Decision.FAIL)])
def test_decides_a_clear_shift(shift: float, way: Decision) -> None:
    found = series_evidence(with_memory(np.random.default_rng(4), 2_000, 0.6) + shift, 0.5, alpha=0.05)
    assert found is not None
    assert (found.decision(), found.unit) == (way, "block")
    assert found.n >= 8


@pytest.mark.parametrize("series", [[], [1.0] * 7, [0.0] * 20 + [math.nan], [[0.0] * 9]])
def test_says_nothing_of_what_is_too_short_or_not_finite(series: list[float]) -> None:
    assert series_evidence(series, 0.1, alpha=0.05) is None


def test_says_nothing_of_a_series_too_short_for_its_memory() -> None:
    assert series_evidence(with_memory(np.random.default_rng(5), 200, 0.95), 0.1, alpha=0.05) is None


def test_a_constant_series_decides() -> None:
    found = series_evidence([0.0] * 30, 0.1, alpha=0.05)
    assert found is not None
    assert found.decision() is Decision.PASS


@pytest.mark.parametrize("scale", [5e-324, 1e300, 1e308])
def test_neither_vanishes_nor_overflows(scale: float) -> None:
    values = [scale, -scale] * 20
    assert autocorrelation_time(values) >= 1
    found = series_evidence(values, 0.0, alpha=0.05, length=1)
    assert found is None or found.decision() is Decision.OPEN


def test_leaves_out_the_oldest_values_that_fill_no_block() -> None:
    found = series_evidence([99.0] + [1.0] * 40, 0.0, alpha=0.05, length=5)
    assert found is not None
    assert (found.n, found.estimate) == (8, 1.0)


def test_refuses_blocks_of_nothing() -> None:
    with pytest.raises(ValueError, match="block"):
        series_evidence([1.0] * 30, 0.0, alpha=0.05, length=0)


def latencies(rng: np.random.Generator, n: int, slow: float = 0.0) -> np.ndarray:
    """Log-normal milliseconds; a share of them is 20 times as slow."""
    return np.asarray(rng.lognormal(3, 0.5, n) * np.where(rng.random(n) < slow, 20, 1))


def test_sees_a_tail_that_the_mean_of_the_ranks_does_not() -> None:
    rng = np.random.default_rng(6)
    judge = partial(tail_evidence, ratio=1.5, alpha=0.05)
    found = shares([judge(latencies(rng, 600), latencies(rng, 600, 0.1)) for _ in range(40)])
    assert found[Decision.FAIL] > 0.95


def test_calls_no_tail_worse_that_is_not() -> None:
    rng = np.random.default_rng(7)
    found = shares(
        [
            tail_evidence(latencies(rng, 300), latencies(rng, 300), ratio=1.0, alpha=0.05, quantile=0.9)
            for _ in range(300)
        ]
    )
    assert found[Decision.FAIL] < 0.05 + 2 * math.sqrt(0.05 * 0.95 / 300)


def test_judges_against_the_steady_state_where_it_is_known() -> None:
    rng = np.random.default_rng(8)
    before = latencies(rng, 500)
    found = tail_evidence(latencies(rng, 90), latencies(rng, 90, 0.3), ratio=1.0, alpha=0.05, baseline=before)
    assert found is not None
    assert (found.decision(), found.unit, found.n) == (Decision.FAIL, "row", 90)


def test_lost_values_count_as_beyond_where_they_are_infinite() -> None:
    found = tail_evidence([1.0] * 60, [math.inf] * 60, ratio=2.0, alpha=0.05, quantile=0.9)
    assert found is not None
    assert found.decision() is Decision.FAIL


@pytest.mark.parametrize(
    ("control", "treatment", "baseline"),
    [
        ([], [], None),
        ([1.0] * 50, [1.0] * 50, None),
        ([1.0] * 50, [1.0] * 50, [1.0] * 50),
        ([1.0, math.nan] * 100, [1.0] * 200, None),
        ([1.0] * 200, [math.nan] * 200, None),
        ([], [1.0], [1.0] * 200),
    ],
    ids=["empty", "no past", "short baseline", "control nan", "treatment nan", "no control"],
)
def test_says_nothing_without_a_tail_to_compare(
    control: list[float], treatment: list[float], baseline: list[float] | None
) -> None:
    assert tail_evidence(control, treatment, ratio=1.5, alpha=0.05, baseline=baseline) is None


@pytest.mark.parametrize(("ratio", "quantile"), [(0.5, 0.9), (math.nan, 0.9), (1.0, 1.0), (1.0, 0.0)])
def test_refuses_what_is_no_tail(ratio: float, quantile: float) -> None:
    with pytest.raises(ValueError, match="ratio"):
        tail_evidence([1.0] * 99, [1.0] * 99, ratio=ratio, alpha=0.05, quantile=quantile)


def test_dependent_exceedances_go_by_block() -> None:
    rng = np.random.default_rng(9)
    found = tail_evidence(
        with_memory(rng, 4_000, 0.9), with_memory(rng, 4_000, 0.9) + 3, ratio=1.0, alpha=0.05, quantile=0.9
    )
    assert found is not None
    assert (found.decision(), found.unit) == (Decision.FAIL, "block")
