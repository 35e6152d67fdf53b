"""The formulae of checkpointing, held against a simulation of failures and restarts."""

from __future__ import annotations

import math

import numpy as np
import pytest

from chaos_tasks.stats.ettr import availability_period, disagree, expected_ratio, young_interval

HOUR = 3600.0
DAY = 24 * HOUR

SETTINGS = {  # mtbf, restart, interval, write; published settings and a night of chaos on a CPU
    "llama 3": (2.78 * HOUR, 300.0, 1000.0, 30.0),
    "1024 GPUs": (7.9 * HOUR, 300.0, HOUR, 60.0),
    "nightly chaos": (120.0, 3.0, 6.9, 0.2),
}


def simulate(
    mtbf_s: float, restart_s: float, interval_s: float, write_s: float, *, failures: int, seed: int
) -> tuple[float, float]:
    """Useful over elapsed time with exponential failures, and its standard error; a restart itself does not fail.

    Uptime has the mean M - u0, so that a failure comes every M of elapsed time.  Work counts once its save is written.
    """
    rng = np.random.default_rng(seed)
    up = rng.exponential(mtbf_s - restart_s, failures)
    useful = np.floor(up / (interval_s + write_s)) * interval_s
    elapsed = up + restart_s
    ratio = float(useful.sum() / elapsed.sum())
    error = float(np.std(useful - ratio * elapsed) / (elapsed.mean() * math.sqrt(failures)))
    return ratio, error


@pytest.mark.parametrize("setting", SETTINGS.values(), ids=SETTINGS)
def test_the_closed_form_is_what_simulation_gives_where_saves_are_frequent(
    setting: tuple[float, float, float, float],
) -> None:
    ratio, error = simulate(*setting, failures=200_000, seed=11)
    assert expected_ratio(*setting) == pytest.approx(ratio, abs=0.002 * ratio + 4 * error)


def test_the_closed_form_errs_by_less_than_a_percent_where_saves_are_rare() -> None:
    setting = (120.0, 3.0, 30.0, 0.2)
    ratio, error = simulate(*setting, failures=200_000, seed=12)
    assert expected_ratio(*setting) == pytest.approx(ratio, abs=0.01 * ratio + 4 * error)


@pytest.mark.parametrize(("mtbf", "restart", "write"), [(120.0, 3.0, 0.2), (2.78 * HOUR, 300.0, 30.0), (900.0, 60, 4)])
def test_no_period_does_better_than_the_availability_optimal_one(mtbf: float, restart: float, write: float) -> None:
    """The same failures for every candidate, so that the comparison is free of most of the noise."""
    best = availability_period(mtbf - restart, restart, write)
    at_best, _ = simulate(mtbf, restart, best - write, write, failures=200_000, seed=13)
    for factor in (0.25, 0.5, 0.8, 1.25, 2.0, 4.0):
        other, error = simulate(mtbf, restart, best * factor - write, write, failures=200_000, seed=13)
        assert at_best > other - 2 * error - 0.002, factor


def test_the_availability_optimal_period_maximises_its_own_objective_exactly() -> None:
    up, recovery, write = 117.0, 3.0, 0.2
    best = availability_period(up, recovery, write)

    def availability(period: float) -> float:
        return (period - write) / (period * (1 + (recovery + period / 2) / up))

    assert all(availability(best) >= availability(best * factor) for factor in (0.5, 0.9, 0.99, 1.01, 1.1, 2.0))


def test_young_and_availability_agree_where_saves_and_recoveries_are_short() -> None:
    assert young_interval(30 * DAY, 1.0) == pytest.approx(availability_period(30 * DAY, 2.0, 1.0), rel=0.001)
    assert young_interval(120, 0.2) == pytest.approx(6.93, abs=0.01)


def test_no_failure_leaves_the_cost_of_saving_only() -> None:
    assert expected_ratio(math.inf, 3.0, 9.0, 1.0) == pytest.approx(0.9)


def test_failures_that_leave_no_time_give_zero_never_less() -> None:
    assert expected_ratio(2.0, 3.0, 1.0, 0.1) == 0


def test_free_saves_should_be_made_all_the_time() -> None:
    assert young_interval(100, 0) == 0
    assert availability_period(100, 5, 0) == 0


@pytest.mark.parametrize("bad", [0.0, -1.0, math.nan])
def test_impossible_times_are_refused(bad: float) -> None:
    with pytest.raises(ValueError, match="mtbf_s"):
        young_interval(bad, 1)
    with pytest.raises(ValueError, match="uptime_s"):
        availability_period(bad, 1, 1)
    with pytest.raises(ValueError, match="mtbf_s"):
        expected_ratio(bad, 1, 1, 1)
    with pytest.raises(ValueError, match="interval_s"):
        expected_ratio(10, 1, bad, 1)


@pytest.mark.parametrize("bad", [-1.0, math.nan, math.inf])
def test_impossible_costs_are_refused(bad: float) -> None:
    with pytest.raises(ValueError, match="write_s"):
        young_interval(10, bad)
    with pytest.raises(ValueError, match="recovery_s"):
        availability_period(10, bad, 1)
    with pytest.raises(ValueError, match="restart_s"):
        expected_ratio(10, bad, 1, 1)


def test_three_percent_apart_is_said() -> None:
    assert not disagree(0.90, 0.92)
    assert disagree(0.90, 0.94)
    assert disagree(0.0, 0.1)
    assert not disagree(0.0, 0.0)
    assert disagree(math.nan, 0.9)
