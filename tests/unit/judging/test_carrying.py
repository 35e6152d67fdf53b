"""Which undecided runs of earlier nights a run goes on from."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from chaos_tasks.judging.carrying import Earlier, carried_over
from chaos_tasks.judging.judge import judge
from chaos_tasks.model.experiment import Analysis
from chaos_tasks.model.plan import Plan
from chaos_tasks.model.verdict import Outcome, Reason
from tests.unit.judging.cases import T0, facts, paired, plan

TONIGHT = 10


def night(number: int, *, nights: int = 3, **changes: Any) -> Plan:
    """The run of one night, with three seeds of its own."""
    seeds = tuple(range(1000 * number, 1000 * number + 3))
    made = plan(analysis=Analysis(nights=nights)).model_copy(
        update={"run_id": f"night-{number}", "seeds": seeds, "planned_at": T0 + timedelta(days=number)}
    )
    return made.model_copy(update=changes)


def ended(one: Plan, outcome: Outcome = Outcome.INCONCLUSIVE, *reasons: Reason) -> Earlier:
    trials, observations = paired([0.8] * 2, [0.8] * 2)
    verdict = judge(one, trials, observations, [], facts(), one.planned_at)
    told = reasons or (Reason.INTERVAL_TOO_WIDE,)
    return Earlier(one, verdict.model_copy(update={"outcome": outcome, "reasons": told}))


def test_undecided_nights_are_carried_over_oldest_first() -> None:
    earlier = [ended(night(number)) for number in (9, 8)]
    assert carried_over(night(TONIGHT), earlier) == ("night-8", "night-9")


def test_no_more_nights_than_asked_for() -> None:
    earlier = [ended(night(number)) for number in (5, 7, 9)]
    assert carried_over(night(TONIGHT), earlier) == ("night-7", "night-9")
    assert carried_over(night(TONIGHT, nights=1), earlier) == ()


def test_two_runs_of_one_night_count_as_one_night() -> None:
    second = night(9, run_id="night-9-2", seeds=(1, 2, 3), planned_at=T0 + timedelta(days=9, hours=1))
    earlier = [ended(night(8)), ended(night(9)), ended(second)]
    assert carried_over(night(TONIGHT), earlier) == ("night-8", "night-9", "night-9-2")


@pytest.mark.parametrize("decided", [Outcome.HELD, Outcome.DEVIATED])
def test_a_decision_begins_a_new_question(decided: Outcome) -> None:
    earlier = [ended(night(7)), ended(night(8), decided), ended(night(9))]
    assert carried_over(night(TONIGHT), earlier) == ("night-9",)


@pytest.mark.parametrize(
    "reasons",
    [(Reason.CONTROL_FAILED,), (Reason.INTERVAL_TOO_WIDE, Reason.TRIALS_VOID), (Reason.NO_RECEIPT,)],
)
def test_a_run_with_which_something_was_wrong_is_not_counted(reasons: tuple[Reason, ...]) -> None:
    earlier = [ended(night(8)), ended(night(9), Outcome.INCONCLUSIVE, *reasons)]
    assert carried_over(night(TONIGHT), earlier) == ("night-8",)


@pytest.mark.parametrize("outcome", [Outcome.ABORTED, Outcome.UNREVERTED])
def test_a_run_that_was_stopped_is_not_counted(outcome: Outcome) -> None:
    assert carried_over(night(TONIGHT), [ended(night(9), outcome)]) == ()


def test_the_same_key_again_adds_nothing() -> None:
    again = night(9, run_id="again", planned_at=T0 + timedelta(days=9, hours=3))
    assert carried_over(again, [ended(night(9))]) == ()
    assert carried_over(night(TONIGHT), [ended(night(9)), ended(again)]) == ("again",)


@pytest.mark.parametrize(
    "other", ["experiment_digest", "target_digest", "source_commit", "data_digest", "environment", "packages"]
)
def test_another_question_or_version_is_not_counted(other: str) -> None:
    assert carried_over(night(TONIGHT), [ended(night(9, **{other: "f" * 64}))]) == ()


def test_a_later_run_is_not_counted() -> None:
    assert carried_over(night(TONIGHT), [ended(night(11))]) == ()
