"""Harm is three-valued, decided by pairs of trainings, and what was not decided is said to be unknown."""

from __future__ import annotations

import math

import pytest

from chaos_tasks.gates.harming import HarmRule, screen_miss
from chaos_tasks.gates.values import Harm, HarmState
from tests.unit.gates.benches import AUC

RULE = HarmRule((AUC,))


def test_three_pairs_show_a_large_harm() -> None:
    assert RULE.judge([(0.024,), (0.025,), (0.0235,)]) == (HarmState.HARMFUL, False)


def test_three_pairs_show_that_nothing_happened() -> None:
    assert RULE.judge([(0.008,), (0.0001,), (-0.0002,)])[0] is not HarmState.HARMFUL
    assert RULE.judge([(0.0045,), (0.0046,), (0.0044,), (0.0045,)]) == (HarmState.HARMLESS, False)


def test_one_pair_far_below_the_margin_is_screened_out_and_says_so() -> None:
    assert RULE.judge([(0.001,)]) == (HarmState.HARMLESS, True)
    assert RULE.judge([(0.006,)]) == (HarmState.UNKNOWN, False)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_metric_that_is_no_number_is_harm(value: float) -> None:
    assert RULE.judge([(value,)]) == (HarmState.HARMFUL, False)
    assert RULE.measured([(value,)]) == ()


def test_no_pair_says_nothing() -> None:
    assert RULE.judge([]) == (HarmState.UNKNOWN, False)
    assert RULE.measured([]) == ()


def test_exactly_the_margin_is_never_decided() -> None:
    pairs = [(0.01,)] * 6
    assert RULE.judge(pairs)[0] is HarmState.UNKNOWN
    assert not RULE.goes_on(pairs)


def test_pairs_go_on_while_harm_may_still_be_shown() -> None:
    assert RULE.goes_on([(0.02,), (0.012,), (0.03,)])
    assert not RULE.goes_on([(0.005,), (0.008,), (0.004,)])  # patience is over, the mean is below the margin
    assert not RULE.goes_on([(0.001,)])


def test_one_of_two_measures_is_enough_for_harm_and_both_are_needed_for_none() -> None:
    rule = HarmRule((AUC, Harm(metric="log_loss", margin=0.01, better="lower")))
    assert rule.judge([(0.0, 0.03), (0.0001, 0.031), (0.0, 0.0305), (0.0, 0.0302)])[0] is HarmState.HARMFUL
    assert rule.judge([(0.001, 0.006)]) == (HarmState.UNKNOWN, False)
    assert rule.judge([(0.001, 0.001)]) == (HarmState.HARMLESS, True)


def test_the_chance_that_the_screen_misses_comes_from_the_spread_within_mutants() -> None:
    wide = screen_miss(RULE, [[(0.0,), (0.02,)], [(0.03,), (0.05,)]])
    narrow = screen_miss(RULE, [[(0.02,), (0.021,)]])
    assert wide is not None
    assert narrow is not None
    assert 0 < narrow < wide < 0.5


def test_without_a_second_pair_that_chance_is_not_known() -> None:
    assert screen_miss(RULE, []) is None
    assert screen_miss(RULE, [[(0.01,)]]) is None
    assert screen_miss(RULE, [[(math.nan,), (0.0,)]]) is None
    assert screen_miss(RULE, [[(0.02,), (0.02,)]]) == 0.0
