"""AUC and its change: what counting pairs says, DeLong's error, ties, and no number where a label is absent."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaos_tasks.stats.auc import DELONG, IDENTICAL, AucChange, auc, auc_blocks, auc_change, midranks
from chaos_tasks.stats.unknown import Unknown


def rows(n: int, seed: int, ties: bool = False) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    draw = np.random.default_rng(seed)
    z = draw.normal(-1, 1, n)
    labels = (draw.random(n) < 1 / (1 + np.exp(-z))).astype(int)
    control, treatment = 1 / (1 + np.exp(-z)), 1 / (1 + np.exp(-z - 0.4 * draw.normal(size=n)))
    return (labels, control.round(1), treatment.round(1)) if ties else (labels, control, treatment)


def by_pairs(labels: np.ndarray, scores: np.ndarray) -> float:
    above, below = scores[labels == 1][:, None], scores[labels == 0][None, :]
    return float(((above > below) + 0.5 * (above == below)).mean())


def change(*arguments: np.ndarray, scale: float = 1.0) -> AucChange:
    found = auc_change(*arguments, scale=scale)
    assert isinstance(found, AucChange)
    return found


@pytest.mark.parametrize("ties", [False, True])
def test_agrees_with_counting_all_pairs(ties: bool) -> None:
    labels, control, treatment = rows(500, 1, ties)
    found = change(labels, control, treatment)
    assert found.control == auc(labels, control) == pytest.approx(by_pairs(labels, control))
    assert found.worsening == pytest.approx(by_pairs(labels, control) - by_pairs(labels, treatment))


def test_the_error_is_delongs_by_its_own_formula() -> None:
    labels, control, treatment = rows(300, 2, ties=True)
    kernels = [
        (s[labels == 1][:, None] > s[labels == 0]) + 0.5 * (s[labels == 1][:, None] == s[labels == 0])
        for s in (control, treatment)
    ]
    difference = kernels[0] - kernels[1]
    wanted = difference.mean(1).var(ddof=1) / len(difference) + difference.mean(0).var(ddof=1) / difference.shape[1]
    assert change(labels, control, treatment).error == pytest.approx(math.sqrt(wanted))


def test_the_influence_of_rows_has_delongs_variance_and_mean_zero() -> None:
    labels, control, treatment = rows(4000, 3)
    found = change(labels, control, treatment)
    assert found.influence.mean() == pytest.approx(0, abs=1e-12)
    assert found.influence.std() / math.sqrt(4000) == pytest.approx(found.error, rel=0.01)


def test_covers_the_truth_as_often_as_it_says() -> None:
    truth = change(*rows(400_000, 0)).worsening
    inside = 0
    for seed in range(300):
        interval = change(*rows(800, 100 + seed)).interval(0.05)
        inside += interval.low <= truth <= interval.high
    assert inside / 300 == pytest.approx(0.9, abs=0.045)


def test_blocks_are_bounded_and_have_the_aucs_change_as_their_mean() -> None:
    labels, control, treatment = rows(400, 4)
    draws = [auc_blocks(labels, control, treatment, np.random.default_rng(seed)) for seed in range(600)]
    assert all(np.abs(draw).max() <= 1 for draw in draws)
    assert len(draws[0]) == min(labels.sum(), (1 - labels).sum())
    spread = np.std([draw.mean() for draw in draws]) / math.sqrt(600)
    assert np.mean([draw.mean() for draw in draws]) == pytest.approx(
        change(labels, control, treatment).worsening, abs=4 * spread
    )


def test_identical_ranks_have_an_interval_of_no_width_under_its_own_name() -> None:
    labels, control, _ = rows(300, 5)
    interval = change(labels, control, control**2).interval(0.05)
    assert (interval.low, interval.high, interval.method) == (0, 0, IDENTICAL)
    assert change(*rows(300, 5)).interval(0.05).method == DELONG


def test_constant_scores_are_worth_a_coin() -> None:
    labels, control, _ = rows(300, 6)
    assert auc(labels, np.full(300, 0.3)) == 0.5
    assert change(labels, control, np.full(300, 0.3)).treatment == 0.5


@pytest.mark.parametrize(
    ("labels", "scores", "reason"),
    [
        ([1, 1], [0.1, 0.2], "label 0"),
        ([0, 0], [0.1, 0.2], "label 1"),
        ([], [], "label 0 or 1"),
        ([0, 1], [0.1, math.nan], "finite"),
        ([0, 1], [0.1, math.inf], "finite"),
        ([0, 1, 1], [0.1, 0.2, 0.3], "no variance"),
    ],
)
def test_says_why_there_is_none(labels: list[int], scores: list[float], reason: str) -> None:
    values = np.array(labels), np.array(scores)
    found = auc_change(*values, values[1])
    assert isinstance(found, Unknown)
    assert reason in found.reason


def test_one_label_makes_no_block() -> None:
    assert len(auc_blocks(np.ones(5), np.arange(5.0), np.arange(5.0), np.random.default_rng(1))) == 0


@given(st.lists(st.integers(-3, 3), max_size=30))
def test_tied_values_share_their_rank(values: list[int]) -> None:
    from scipy.stats import rankdata

    assert midranks(np.array(values, dtype=float)).tolist() == rankdata(values).tolist()
