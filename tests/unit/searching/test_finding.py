"""What the answers of a ramp amount to, and how it is said."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaos_tasks.model.experiment import When
from chaos_tasks.model.search import Answer, SearchRun
from chaos_tasks.model.verdict import CheckResult, CheckState, Outcome, Reason, Response, Verdict
from chaos_tasks.searching import words
from chaos_tasks.searching.asking import answer_of, more_may_help
from chaos_tasks.searching.bisect import Asked
from chaos_tasks.searching.finding import breaking_point, decisive, outcome_of

HELD, DEVIATED, REFUSED, UNDECIDED = Answer.HELD, Answer.DEVIATED, Answer.REFUSED, Answer.UNDECIDED
LEVELS = (0.1, 0.2, 0.3, 0.4)
CASES = [
    ({1: HELD, 2: DEVIATED}, Outcome.DEVIATED, "Breaks between share 0.2 and 0.3"),
    ({0: DEVIATED}, Outcome.DEVIATED, "Breaks at share 0.1 or below"),
    ({0: HELD, 1: UNDECIDED, 2: DEVIATED}, Outcome.DEVIATED, "Breaks between share 0.1 and 0.3"),
    ({3: HELD}, Outcome.HELD, "Holds up to share 0.4, the highest level"),
    ({1: HELD, 2: UNDECIDED, 3: UNDECIDED}, Outcome.INCONCLUSIVE, "Holds up to share 0.2; above, nothing is known"),
    ({1: UNDECIDED}, Outcome.INCONCLUSIVE, "No level could be decided"),
    ({}, Outcome.INCONCLUSIVE, "No level could be decided"),
    (
        {1: HELD, 2: REFUSED},
        Outcome.HELD,
        "Is harmless up to share 0.2, and is refused by the target's own gate from share 0.3 on",
    ),
    ({0: REFUSED}, Outcome.HELD, "Is refused by the target's own gate from share 0.1 on"),
    ({1: REFUSED}, Outcome.INCONCLUSIVE, "No level could be decided"),
    (
        {0: HELD, 1: DEVIATED, 2: HELD, 3: DEVIATED},
        Outcome.DEVIATED,
        "Breaks and holds again, above share 0.1, at or below 0.4",
    ),
    ({1: DEVIATED, 3: HELD}, Outcome.DEVIATED, "Breaks and holds again, from the lowest level on"),
    ({0: HELD, 1: DEVIATED, 2: REFUSED}, Outcome.DEVIATED, "Breaks between share 0.1 and 0.2"),
]


def asked(answers: dict[int, Answer]) -> list[Asked]:
    return [Asked(index, answer) for index, answer in answers.items()]


@pytest.mark.parametrize(("answers", "outcome", "said"), CASES)
def test_answers_amount_to_one_outcome_and_one_sentence(
    answers: dict[int, Answer], outcome: Outcome, said: str
) -> None:
    point = breaking_point(LEVELS, asked(answers), alpha=0.05, level_alpha=0.01)
    assert outcome_of(4, asked(answers)) is outcome
    assert words.breaks(point, "share", LEVELS[-1]) == said


@given(st.dictionaries(st.integers(0, 3), st.sampled_from(list(Answer))))
def test_a_ramp_never_holds_where_a_level_deviated_or_is_open(answers: dict[int, Answer]) -> None:
    outcome = outcome_of(4, asked(answers))
    if DEVIATED in answers.values():
        assert outcome is Outcome.DEVIATED
    if not set(answers.values()) & {HELD, REFUSED}:
        assert outcome is not Outcome.HELD
    if outcome is Outcome.HELD:
        harmless = max((index for index, answer in answers.items() if answer is HELD), default=-1)
        assert harmless == 3 or answers.get(harmless + 1) is REFUSED


@given(st.dictionaries(st.integers(0, 3), st.sampled_from(list(Answer))))
def test_what_speaks_for_a_ramp_is_of_its_own_outcome(answers: dict[int, Answer]) -> None:
    place = decisive(4, asked(answers))
    assert (place is None) == (not answers)
    if place is not None and outcome_of(4, asked(answers)) is Outcome.DEVIATED:
        assert asked(answers)[place].answer is DEVIATED
    if place is not None and outcome_of(4, asked(answers)) is Outcome.HELD:
        assert asked(answers)[place].answer in (HELD, REFUSED)


def test_a_contradiction_is_said_with_how_likely_an_error_is() -> None:
    point = breaking_point(LEVELS, asked({1: DEVIATED, 3: HELD}), alpha=0.05, level_alpha=0.01)
    runs = [SearchRun(run_id="r", asked="a", answer=HELD, outcome=Outcome.HELD, trials=4, reused=1)]
    said = words.certainty(point, runs)
    assert said.startswith("More of it does not always harm more, or one of the verdicts is wrong (at most 5 %)")
    assert said.endswith("1 run, 3 trials (1 more reused).")


def verdict(outcome: Outcome, *checks: CheckResult, reasons: tuple[Reason, ...] = ()) -> Verdict:
    return Verdict(
        run_id="r",
        experiment="e",
        outcome=outcome,
        response=Response.UNKNOWN,
        checks=checks,
        reasons=reasons,
        decided_at=datetime(2026, 1, 15, tzinfo=UTC),
    )


def check(state: CheckState, reason: Reason, **numbers: float) -> CheckResult:
    return CheckResult(check="auc", when=When.ALWAYS, state=state, reason=reason, sentence="", **numbers)


def test_what_the_gate_refused_is_no_harmless_level() -> None:
    blocked = check(CheckState.PASSED, Reason.GATE_BLOCKED)
    harmless = check(CheckState.PASSED, Reason.WITHIN_MARGIN)
    assert answer_of(verdict(Outcome.HELD, blocked)) is REFUSED
    assert answer_of(verdict(Outcome.HELD, harmless)) is HELD
    assert answer_of(verdict(Outcome.ABORTED)) is UNDECIDED


@pytest.mark.parametrize(
    ("low", "high", "estimate", "helps"),
    [
        (0.007, 0.011, 0.009, False),  # at 2 n about 0.0076 to 0.0104: still open
        (0.0095, 0.015, 0.0125, True),
        (-0.02, 0.011, -0.004, True),
        (float("-inf"), float("inf"), 0.01, True),
    ],
)
def test_more_seeds_are_worth_it_where_a_narrower_interval_would_tell(
    low: float, high: float, estimate: float, helps: bool
) -> None:
    open_check = check(CheckState.UNKNOWN, Reason.INTERVAL_TOO_WIDE, low=low, high=high, estimate=estimate, margin=0.01)
    undecided = verdict(Outcome.INCONCLUSIVE, open_check, reasons=(Reason.INTERVAL_TOO_WIDE,))
    assert more_may_help(undecided) is helps


def test_more_seeds_mend_no_broken_run() -> None:
    assert not more_may_help(verdict(Outcome.INCONCLUSIVE, reasons=(Reason.CONTROL_FAILED,)))
    assert not more_may_help(verdict(Outcome.INCONCLUSIVE))
