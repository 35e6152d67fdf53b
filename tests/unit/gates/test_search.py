"""The search finds the smallest corruption that harms and passes, and trains no more than it must."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaos_tasks.gates.harming import HarmRule
from chaos_tasks.gates.search import RATIO, Search, next_between
from chaos_tasks.gates.values import HarmState, Mutant, Passing
from tests.unit.gates.benches import AUC, FakeBench, family


def search(bench: FakeBench, budget: int = 500) -> Search:
    return Search(bench, HarmRule((AUC,)), np.random.default_rng(0), budget)


def test_the_smallest_escape_is_within_a_factor_of_where_harm_begins() -> None:
    bench = FakeBench(refused_from=0.7, slope=0.05)  # harm begins at 0.2
    one = search(bench)
    (harmful,) = one.screen([family()])
    escape = one.smallest(harmful)
    assert escape is not None
    assert 0.2 < escape.mutant.intensity <= 0.2 * RATIO * 1.3
    assert escape.not_shown_below <= 0.2 < escape.mutant.intensity
    assert escape.passes_up_to < 0.7 <= (escape.refused_from or 0)


def test_an_escape_was_itself_shown_to_pass_and_to_harm() -> None:
    one = search(FakeBench(refused_from=0.7, slope=0.05, noise=0.001))
    escape = one.smallest(one.screen([family()])[0])
    assert escape is not None
    assert [tried.escaped for tried in one.tried.values() if tried.mutant == escape.mutant] == [True]


def test_a_gate_that_refuses_before_it_hurts_has_no_escape() -> None:
    one = search(FakeBench(refused_from=0.1, slope=0.05))
    assert one.smallest(one.screen([family()])[0]) is None
    assert any(tried.killed for tried in one.tried.values())
    assert not any(tried.escaped for tried in one.tried.values())


def test_an_equivalent_mutant_costs_no_training() -> None:
    bench = FakeBench(equivalent=frozenset({"year"}))
    assert search(bench).screen([family("year")]) == []
    assert bench.trained == []


def test_what_harms_at_no_intensity_costs_one_training() -> None:
    bench = FakeBench(slope=0.001)
    assert search(bench).screen([family()]) == []
    assert len(bench.trained) == 1


def test_harm_is_measured_on_what_the_gate_refused_too() -> None:
    one = search(FakeBench(refused_from=0.01, slope=0.1))
    one.screen([family()])
    assert [tried.harm for tried in one.tried.values()] == [HarmState.HARMFUL]


def test_where_the_top_is_impossible_the_largest_that_passes_is_asked() -> None:
    bench = FakeBench(invalid_from=0.5, slope=0.1)
    one = search(bench)
    (harmful,) = one.screen([family()])
    assert one.smallest(harmful) is not None
    assert all(mutant.intensity < 0.5 for mutant, _ in bench.trained)


def test_a_crash_of_the_workload_is_noticed_and_no_escape() -> None:
    one = search(FakeBench(crashes_from=0.0))
    assert one.screen([family()]) == []
    assert not any(tried.escaped for tried in one.tried.values())


def test_below_a_crash_there_may_still_be_an_escape() -> None:
    one = search(FakeBench(crashes_from=0.6, slope=0.1))
    (harmful,) = one.screen([family()])
    escape = one.smallest(harmful)
    assert escape is not None
    assert escape.mutant.intensity < 0.6


def test_a_model_that_returns_nan_is_harmful() -> None:
    one = search(FakeBench(worse=lambda mutant: math.nan))
    assert [tried.harm for tried in (one.screen([family()]), *one.tried.values())[1:]] == [HarmState.HARMFUL]


def test_no_training_is_started_beyond_the_budget() -> None:
    bench = FakeBench(slope=0.05, noise=0.01)
    one = search(bench, budget=7)
    every = [family(str(number)) for number in range(20)]
    one.screen(every)
    one.sample(every, every, 50)
    assert len(bench.trained) <= 7
    assert one.unsearched > 0


def test_a_mutant_is_never_asked_twice() -> None:
    bench = FakeBench(refused_from=0.7, slope=0.05)
    one = search(bench)
    one.smallest(one.screen([family()])[0])
    asked = [mutant.content_sha256 for mutant in bench.asked]
    assert len(asked) == len(set(asked))


def test_the_same_seed_tries_the_same_mutants() -> None:
    def tried() -> list[str]:
        one = search(FakeBench(refused_from=0.7, slope=0.05, noise=0.002))
        harmful = one.screen([family("a"), family("b")])
        one.sample(harmful, [family("a"), family("b")], 10)
        return list(one.tried)

    assert tried() == tried()


def test_the_sample_is_of_the_harmful_strata_alone() -> None:
    bench = FakeBench(worse=lambda mutant: 0.1 if mutant.family.columns == ("bad",) else 0.0)
    one = search(bench)
    found = one.screen([family("bad"), family("good")])
    sampled = one.sample(found, [family("bad"), family("good")], 20)
    assert {tried.mutant.family.columns for tried in sampled} == {("bad",)}


def test_an_escape_met_by_chance_is_reported_like_one_that_was_searched() -> None:
    one = search(FakeBench(refused_from=0.7, slope=0.05))
    found = one.screen([family()])
    sampled = one.sample(found, [family()], 20)  # no search for the smallest: its budget may be spent
    smallest = min(tried.mutant.intensity for tried in sampled if tried.escaped)
    (escape,) = one.met_by_chance([])
    assert escape.mutant.intensity == smallest
    assert one.met_by_chance([escape]) == []


def test_no_harmful_stratum_no_sample() -> None:
    assert search(FakeBench()).sample([], [family()], 5) == []


def test_whole_intensities_are_asked_whole() -> None:
    bench = FakeBench(slope=0.01, refused_from=4)
    one = search(bench)
    versions = family(floor=1.0, top=7.0, whole=True)
    harmful = one.screen([versions])
    escape = one.smallest(harmful[0])
    assert escape is not None
    assert escape.mutant.intensity == 2.0
    assert all(mutant.intensity.is_integer() for mutant in bench.asked)


def test_a_kind_without_intensity_is_asked_once() -> None:
    bench = FakeBench(slope=0.1)
    one = search(bench)
    escape = one.smallest(one.screen([family(graded=False)])[0])
    assert escape is not None
    assert len(bench.asked) == 1


@given(st.floats(0.02, 1.0), st.booleans())
def test_bisection_ends_with_the_border_inside_a_narrow_bracket(border: float, whole: bool) -> None:
    one = family(floor=1.0 if whole else 0.02, top=40.0 if whole else 1.0, whole=whole)
    limit = border * one.top
    low, high = 0.0, one.top
    for _ in range(30):
        at = next_between(one, low, high)
        if at is None:
            break
        assert max(low, one.floor) <= at < high or at == one.floor
        low, high = (at, high) if at < limit else (low, at)
    assert next_between(one, low, high) is None
    assert low < limit <= high or high == one.floor
    if low:
        assert high / low <= RATIO or (whole and high - low <= 1)


@pytest.mark.parametrize("passing", [Passing.INVALID, Passing.EQUIVALENT])
def test_nobody_trains_on_what_cannot_or_need_not_be_trained_on(passing: Passing) -> None:
    bench = FakeBench(invalid_from=0.0) if passing is Passing.INVALID else FakeBench(equivalent=frozenset({"late"}))
    tried = search(bench).decide(Mutant(family=family(), intensity=0.5, seed=1), "search")
    assert tried.passing is passing
    assert bench.trained == []
