"""A run judged against its history: how often a healthy one is called bad, and how often a bad one is seen."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from chaos_tasks.stats.history import WINDOW, changed, least, surprise

Series = Callable[[np.random.Generator, int], np.ndarray]
ALPHA, SIMULATIONS, LENGTH = 0.05, 800, 40


def plain(rng: np.random.Generator, n: int) -> np.ndarray:
    return rng.normal(size=n)


def heavy(rng: np.random.Generator, n: int) -> np.ndarray:
    return rng.standard_t(3, size=n)


def sinking(rng: np.random.Generator, n: int) -> np.ndarray:
    return rng.normal(size=n) - 0.1 * np.arange(n)


def wandering(rng: np.random.Generator, n: int) -> np.ndarray:
    return np.cumsum(rng.normal(size=n))


def remembering(rng: np.random.Generator, n: int) -> np.ndarray:
    values = np.zeros(n + 50)
    for at in range(1, n + 50):
        values[at] = 0.6 * values[at - 1] + rng.normal()
    return values[50:]


def called_bad(series: Series, *, worse_by: float = 0.0) -> float:
    """Share of judged histories, one more value of which is called worse at the level."""
    rng, bad, judged = np.random.default_rng(20261129), 0, 0
    for _ in range(SIMULATIONS):
        *past, value = series(rng, LENGTH + 1).tolist()
        if not changed(past):
            judged += 1
            bad += surprise(past, value - worse_by, higher_is_better=True).p <= ALPHA
    assert judged > SIMULATIONS / 2
    return bad / judged


@pytest.mark.parametrize("series", [plain, heavy, sinking, wandering, remembering])
def test_a_healthy_run_is_rarely_called_bad_whether_the_level_stays_drifts_or_wanders(series: Series) -> None:
    noise = 3 * math.sqrt(ALPHA * (1 - ALPHA) / (SIMULATIONS / 2))
    assert called_bad(series) <= ALPHA + noise


def test_a_bad_run_is_seen() -> None:
    assert called_bad(plain, worse_by=4.0) > 0.85
    assert called_bad(sinking, worse_by=4.0) > 0.85


def test_a_step_in_the_past_costs_sight_and_raises_no_false_alarm() -> None:
    def stepped(rng: np.random.Generator, n: int) -> np.ndarray:
        return np.where(np.arange(n) > 0.6 * n, -4.0, 0.0) + rng.normal(size=n)

    assert called_bad(stepped) <= ALPHA


def test_p_is_never_smaller_than_the_history_allows() -> None:
    past = [1.0, 1.1, 0.9, 1.05, 0.95] * 5
    found = surprise(past, -1000.0, higher_is_better=True)
    assert (found.n, found.p) == (len(past) - WINDOW, 1 / (len(past) - WINDOW + 1))
    assert surprise(past, math.nan, higher_is_better=True).p == found.p
    assert surprise(past, 1000.0, higher_is_better=False).p == found.p
    assert surprise(past, 1000.0, higher_is_better=True).p == 1.0


def test_how_many_earlier_runs_a_level_needs() -> None:
    assert least(0.05) == WINDOW + 19
    assert least(0.1) == WINDOW + 9


def test_a_history_whose_spread_grew_is_refused() -> None:
    rng = np.random.default_rng(3)
    past = np.concatenate([rng.normal(0, 0.01, 30), rng.normal(0, 5, 30)]).tolist()
    assert changed(past) != ""
    assert changed([0.9] * 60) == ""


@pytest.mark.parametrize("past", [[1.0] * WINDOW, [1.0, math.inf] * 20])
def test_what_predicts_nothing_is_refused(past: list[float]) -> None:
    with pytest.raises(ValueError, match="predict nothing"):
        surprise(past, 1.0, higher_is_better=True)
