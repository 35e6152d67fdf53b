"""The interval of a breaking point covers the truth, whatever is undecided, and few runs find it."""

from __future__ import annotations

import math
from collections.abc import Callable
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaos_tasks.model.search import Answer
from chaos_tasks.searching.bisect import Asked, Bracket, Question, bracket, next_question

HELD, DEVIATED, REFUSED, UNDECIDED = Answer.HELD, Answer.DEVIATED, Answer.REFUSED, Answer.UNDECIDED
Reply = Callable[[Question], Asked]


def search(count: int, runs: int, reply: Reply) -> list[Asked]:
    asked: list[Asked] = []
    while (question := next_question(count, asked, runs)) is not None:
        asked.append(reply(question))
    return asked


def truth(breaks: int, refuses: int) -> Callable[[int], Answer]:
    """Harmless below ``breaks``, refused from ``refuses`` on, harmful in between."""
    return lambda index: REFUSED if index >= refuses else DEVIATED if index >= breaks else HELD


def honest(answers: Callable[[int], Answer]) -> Reply:
    return lambda question: Asked(question.index, answers(question.index), again=question.again)


@st.composite
def ramps(draw: st.DrawFn) -> tuple[int, int, int, int]:
    count = draw(st.integers(2, 64))
    return count, draw(st.integers(0, count)), draw(st.integers(0, count)), draw(st.integers(1, 64))


@given(ramps())
def test_any_monotone_truth_is_found_with_few_runs(ramp: tuple[int, int, int, int]) -> None:
    count, breaks, refuses, _ = ramp
    asked = search(count, 64, honest(truth(breaks, refuses)))
    found = bracket(count, asked)
    assert len(asked) <= math.ceil(math.log2(count + 1))
    assert found.monotone
    assert not found.leaky
    assert not found.inside
    assert found.low == min(breaks, refuses) - 1
    assert found.high == (breaks if breaks < refuses else count)


@given(ramps(), st.data())
def test_undecided_answers_never_make_a_false_claim(ramp: tuple[int, int, int, int], data: st.DataObject) -> None:
    count, breaks, refuses, runs = ramp
    answers = truth(breaks, refuses)

    def reply(question: Question) -> Asked:
        said = answers(question.index) if data.draw(st.booleans()) else UNDECIDED
        return Asked(question.index, said, again=question.again, final=data.draw(st.booleans()))

    asked = search(count, runs, reply)
    found = bracket(count, asked)
    assert len(asked) <= runs
    assert found.low < min(breaks, refuses)
    assert found.high >= (breaks if breaks < refuses else count)
    assert found.refused >= refuses
    assert found.monotone
    assert not found.leaky


@given(ramps(), st.data())
def test_whatever_is_answered_the_search_ends_and_asks_no_question_twice(
    ramp: tuple[int, int, int, int], data: st.DataObject
) -> None:
    count, _, _, runs = ramp
    asked = search(
        count,
        runs,
        lambda question: Asked(question.index, data.draw(st.sampled_from(list(Answer))), again=question.again),
    )
    assert len(asked) <= runs
    assert all(0 <= one.index < count for one in asked)
    assert len({(one.index, one.again) for one in asked}) == len(asked)
    assert {one.index for one in asked if one.again} <= {one.index for one in asked if not one.again}


@given(st.lists(st.builds(Asked, st.integers(0, 9), st.sampled_from(list(Answer))), max_size=8), st.randoms())
def test_the_order_of_the_answers_says_nothing(asked: list[Asked], random: Random) -> None:
    mixed = list(asked)
    random.shuffle(mixed)
    assert bracket(10, asked) == bracket(10, mixed)


@given(st.lists(st.builds(Asked, st.integers(0, 9), st.sampled_from(list(Answer))), max_size=8))
def test_the_interval_covers_what_only_contradicted_answers_rule_out(asked: list[Asked]) -> None:
    """Of a held above a deviated one is wrong, and nobody knows which: neither of them narrows the interval."""
    held = {one.index for one in asked if one.answer is HELD}
    broke = {one.index for one in asked if one.answer is DEVIATED}
    sure_held = {index for index in held if all(index < other for other in broke)}
    sure_broke = {index for index in broke if all(index > other for other in held)}
    found = bracket(10, asked)
    for breaks in range(11):
        possible = all(index < breaks for index in sure_held) and all(index >= breaks for index in sure_broke)
        assert (found.low < breaks <= found.high) == possible


def test_the_first_question_is_the_middle() -> None:
    assert next_question(6, [], 5) == Question(2)
    assert next_question(2, [], 5) == Question(0)


def test_what_held_above_what_deviated_is_reported_and_widens_the_interval() -> None:
    asked = [Asked(0, HELD), Asked(2, DEVIATED), Asked(4, HELD), Asked(7, DEVIATED)]
    assert bracket(9, asked) == Bracket(low=0, high=7, refused=9, monotone=False)
    assert next_question(9, asked, 64) is None
    assert bracket(9, asked[:3]).high == 9


def test_what_the_gate_refused_below_what_came_through_is_reported_and_bounds_nothing() -> None:
    found = bracket(9, [Asked(3, REFUSED), Asked(5, DEVIATED)])
    assert found == Bracket(low=-1, high=5, refused=9, leaky=True)


def test_a_refused_level_says_nothing_about_smaller_ones() -> None:
    """The gate sees 10 % and not 2 %: a search that took `refused` for `held` would miss what slips through."""
    found = search(6, 5, honest(truth(0, 2)))
    assert bracket(6, found) == Bracket(low=-1, high=0, refused=2, monotone=True)


def test_beside_an_undecided_level_both_sides_are_asked_before_it_is_asked_again_with_more_seeds() -> None:
    asked = [Asked(2, UNDECIDED)]
    assert next_question(5, asked, 9) == Question(1)
    asked += [Asked(1, HELD)]
    assert next_question(5, asked, 9) == Question(4)
    asked += [Asked(4, DEVIATED)]
    assert next_question(5, asked, 9) == Question(3)
    asked += [Asked(3, DEVIATED)]
    assert next_question(5, asked, 9) == Question(2, again=True)
    assert next_question(5, [*asked, Asked(2, UNDECIDED, again=True)], 9) is None
    assert next_question(5, [*asked, Asked(2, DEVIATED, again=True)], 9) is None


@pytest.mark.parametrize("count", [2, 3, 64])
def test_a_target_that_cannot_be_judged_costs_every_level_at_most_once(count: int) -> None:
    asked = search(count, 200, lambda question: Asked(question.index, UNDECIDED, question.again, final=True))
    assert bracket(count, asked) == Bracket(low=-1, high=count, refused=count, monotone=True)
    assert len(asked) <= count
