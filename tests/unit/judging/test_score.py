"""The resilience score: what is missing never raises it, silence is the worst, and age and change count."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaos_tasks.judging.score import CHANGED, HALF_LIFE, Attempt, Cause, Score, score
from chaos_tasks.model.verdict import Outcome, Response
from tests.unit.judging.cases import T0

KINDS = ("cloud.deny_access", "data.label_flip", "data.missing_values", "process.kill")
NOW = T0 + timedelta(days=30)
MISSING = (None, Outcome.INCONCLUSIVE, Outcome.ABORTED)


def attempt(
    number: int = 0,
    outcome: Outcome | None = Outcome.HELD,
    response: Response = Response.MASKED,
    kinds: Sequence[str] = ("data.label_flip",),
    days_ago: float = 0,
    **changes: Any,
) -> Attempt:
    """A run of an experiment on the present pipeline."""
    told = {"run_id": f"r{number}", "experiment": f"x{number % 3}", "target": "flights", "version": "now"}
    at = NOW - timedelta(days=days_ago)
    return Attempt(**{**told, **changes}, kinds=tuple(kinds), at=at, outcome=outcome, response=response)


def scored(*attempts: Attempt, kinds: Sequence[str] = KINDS, now: datetime = NOW, version: str = "now") -> Score:
    """The score of these runs."""
    return score("flights", attempts, kinds, version, now)


@st.composite
def histories(draw: st.DrawFn) -> list[Attempt]:
    """Up to ten runs of any outcome, age and version."""
    return [
        attempt(
            number,
            draw(st.sampled_from([*Outcome, None])),
            draw(st.sampled_from(list(Response))),
            draw(st.sets(st.sampled_from(KINDS), min_size=1, max_size=2)),
            draw(st.floats(-1, 200)),
            version=draw(st.sampled_from(["now", "before", ""])),
        )
        for number in range(draw(st.integers(1, 10)))
    ]


@given(histories(), st.data())
def test_an_answer_that_goes_missing_never_raises_the_score(history: list[Attempt], data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(history) - 1))
    outcome = data.draw(st.sampled_from(MISSING))
    gone = [one.model_copy(update={"outcome": outcome}) if n == index else one for n, one in enumerate(history)]
    assert scored(*gone).value <= scored(*history).value + 1e-12
    assert scored(*gone).coverage <= scored(*history).coverage
    # Nothing may be left of the run but that it was planned.
    forgotten = [one.model_copy(update={"version": ""}) if n == index else one for n, one in enumerate(gone)]
    assert scored(*forgotten).value <= scored(*history).value + 1e-12


@given(histories())
def test_a_held_answer_that_is_deleted_never_raises_the_score(history: list[Attempt]) -> None:
    whole = scored(*history).value
    for index, one in enumerate(history):
        if one.outcome is Outcome.HELD:
            assert scored(*history[:index], *history[index + 1 :]).value <= whole + 1e-12


@given(histories(), st.floats(0, 400))
def test_time_that_passes_never_raises_the_score(history: list[Attempt], days: float) -> None:
    later = NOW + timedelta(days=days)
    assert scored(*history, now=later).value <= scored(*history).value + 1e-12
    assert scored(*history, now=later).coverage <= scored(*history).coverage


@given(histories())
def test_kinds_that_nobody_tests_never_raise_the_score(history: list[Attempt]) -> None:
    assert scored(*history, kinds=[*KINDS, "stream.drop"]).value <= scored(*history).value


@given(histories())
def test_silence_is_never_worth_more_than_an_alarm(history: list[Attempt]) -> None:
    loud, silent = (
        [one.model_copy(update={"outcome": Outcome.DEVIATED, "response": response}) for one in history]
        for response in (Response.DETECTED, Response.SILENT)
    )
    assert scored(*silent).value <= scored(*loud).value
    assert scored(*silent).value == 0


@given(histories())
def test_the_parts_add_up(history: list[Attempt]) -> None:
    found = scored(*history)
    assert found.low <= found.value <= found.high
    assert found.value + sum(pull.lost for pull in found.pulls) == pytest.approx(1)
    weighted = sum(part.value * part.kinds for part in found.families) / found.kinds
    assert weighted == pytest.approx(found.value)
    assert scored(*reversed(history)) == found


def test_a_deviation_that_was_noticed_lies_between_held_and_silent() -> None:
    held, noticed, silent = (
        scored(attempt(outcome=outcome, response=response), kinds=["data.label_flip"]).value
        for outcome, response in (
            (Outcome.HELD, Response.MASKED),
            (Outcome.DEVIATED, Response.DETECTED),
            (Outcome.DEVIATED, Response.SILENT),
        )
    )
    assert (held, noticed, silent) == (1.0, 0.5, 0.0)


def test_a_half_life_and_a_changed_pipeline_each_leave_a_half() -> None:
    kinds = ["data.label_flip"]
    assert scored(attempt(), kinds=kinds, now=NOW + HALF_LIFE).value == pytest.approx(0.5)
    changed = scored(attempt(), kinds=kinds, version="next")
    assert changed.value == CHANGED
    assert (changed.coverage, changed.fresh) == (0.0, 0)
    assert {pull.cause for pull in changed.pulls} == {Cause.CHANGED}
    old = scored(attempt(), kinds=kinds, now=NOW + 2 * HALF_LIFE)
    assert [(pull.cause, pull.sentence) for pull in old.pulls] == [(Cause.STALE, "the last answer is 28 d old")]


def test_a_fix_shows_within_days_and_an_old_deviation_is_not_forgotten_at_once() -> None:
    before = [attempt(n, Outcome.DEVIATED, Response.SILENT, days_ago=30 - n, version="before") for n in range(20)]
    after = [attempt(20 + n, days_ago=10 - n) for n in range(8)]
    nights = [scored(*before, *after[:n], kinds=["data.label_flip"], now=after[n - 1].at).value for n in range(1, 9)]
    assert nights == sorted(nights)
    assert 0.2 < nights[0] < 0.5 < nights[2] < 0.8 < nights[7] < 0.9


def test_the_worst_comes_first_and_says_what_to_look_at() -> None:
    found = scored(
        attempt(0, Outcome.DEVIATED, Response.SILENT),
        attempt(1, Outcome.UNREVERTED, Response.UNKNOWN, kinds=["process.kill"]),
        attempt(2, None, kinds=["data.missing_values"], experiment="late"),
    )
    assert [(pull.cause, pull.kind) for pull in found.pulls] == [
        (Cause.UNREVERTED, "process.kill"),
        (Cause.SILENT, "data.label_flip"),
        (Cause.NO_ANSWER, "data.missing_values"),
        (Cause.UNTESTED, "cloud.deny_access"),
    ]
    assert found.pulls[1].sentence == "x0 deviated and nothing noticed"
    assert found.pulls[2].sentence == "1 of 1 planned runs gave no answer: late"


def test_the_interval_is_wide_while_little_is_known_and_its_top_holds_what_is_missing() -> None:
    kinds = ["data.label_flip"]
    once, often = scored(attempt(), kinds=kinds), scored(*(attempt(n, days_ago=n / 9) for n in range(9)), kinds=kinds)
    assert once.value == often.value == 1
    assert once.low < often.low < 1
    half = scored(attempt(), kinds=[*kinds, "stream.drop"])
    assert (half.value, half.high) == (0.5, 1.0)
    failed = scored(*(attempt(n, Outcome.DEVIATED, Response.SILENT, days_ago=n / 9) for n in range(9)), kinds=kinds)
    assert failed.high < 0.5


def test_degenerate_histories_have_sensible_scores() -> None:
    nothing = scored()
    assert (nothing.value, nothing.low, nothing.high, nothing.coverage) == (0, 0, 1, 0)
    no_kinds = scored(attempt(), kinds=[])
    assert (no_kinds.value, no_kinds.high, no_kinds.kinds, no_kinds.pulls) == (0, 1, 0, ())
    assert scored(attempt(target="others"), attempt(1, kinds=["gone.kind"])) == nothing
    future = scored(attempt(days_ago=-3), kinds=["data.label_flip"])
    assert (future.value, future.fresh) == (1, 1)
    assert scored(*(attempt(n, None) for n in range(3))).value == 0
    far = scored(attempt(0, days_ago=9000), attempt(1, Outcome.DEVIATED, Response.SILENT), kinds=["data.label_flip"])
    assert far.value == pytest.approx(0)
