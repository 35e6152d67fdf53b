"""A cheap rung says `deviated` or nothing, until the whole workload was seen to agree with it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaos_tasks.judging.ladder import (
    AGREEMENT,
    WHOLE,
    Comparison,
    climb,
    compared,
    is_audited,
    may_say,
    on_rung,
    part_of,
    read_comparisons,
    trust_of,
)
from chaos_tasks.model.experiment import Analysis, Check, Exactly, When
from chaos_tasks.model.plan import Plan, RungTrust
from chaos_tasks.model.record import Note, RecordKind
from chaos_tasks.model.trial import Arm
from chaos_tasks.model.verdict import CheckResult, CheckState, Outcome, Reason
from tests.unit.judging.cases import AUC, plan, read, stored, trial

LADDER = plan(analysis=Analysis(ladder=("quarter", "half")))
DONE = Check(name="done", probe="workload.completed", tolerance=Exactly(value=True))
ENOUGH = 29  # .95 ** -1 successes without a failure: 0.05 ** (1 / 29) is the first above .9


def laddered(*trusts: RungTrust) -> Plan:
    return LADDER.model_copy(update={"rungs": trusts or (RungTrust(rung="quarter"), RungTrust(rung="half"))})


def told(**outcomes: Outcome) -> Callable[[str], Outcome | None]:
    return lambda rung: outcomes.get(rung or "whole")


def agreements(n: int, *, disagreeing: int = 0, rung: str = "quarter", digest: str = "t" * 64) -> list[Comparison]:
    return [
        Comparison(
            target="flights",
            target_digest=digest,
            rung=rung,
            experiment_digest="e" * 64,
            seeds=(number,),
            rung_outcome=Outcome.HELD,
            whole_outcome=Outcome.DEVIATED if number < disagreeing else Outcome.HELD,
        )
        for number in range(n)
    ]


def test_the_first_rung_that_deviates_answers() -> None:
    answer = told(quarter=Outcome.INCONCLUSIVE, half=Outcome.DEVIATED, whole=Outcome.HELD)
    assert climb(laddered(), answer) == "half"


@pytest.mark.parametrize("outcome", [Outcome.HELD, Outcome.INCONCLUSIVE, Outcome.ABORTED, Outcome.UNREVERTED])
def test_a_rung_whose_agreement_is_not_measured_says_nothing_else(outcome: Outcome) -> None:
    assert climb(laddered(), told(quarter=outcome, half=outcome)) == WHOLE


def test_a_rung_that_was_not_asked_is_passed_over() -> None:
    assert climb(laddered(), told(half=Outcome.DEVIATED)) == "half"


def test_a_trusted_rung_may_say_held() -> None:
    trusted = laddered(RungTrust(rung="quarter", may_hold=True))
    assert climb(trusted, told(quarter=Outcome.HELD)) == "quarter"
    assert climb(trusted, told(quarter=Outcome.INCONCLUSIVE)) == WHOLE


@given(st.sampled_from(Outcome))
def test_an_audited_run_goes_all_the_way(outcome: Outcome) -> None:
    assert not may_say(RungTrust(rung="quarter", may_hold=True, audited=True), outcome)


def test_about_one_run_in_ten_is_audited() -> None:
    assert 60 < sum(is_audited(f"night-{number}.labels") for number in range(1000)) < 140


def test_held_is_allowed_once_the_lower_bound_reaches_the_agreement() -> None:
    (before, _), (after, _) = (trust_of(LADDER, agreements(n)) for n in (ENOUGH - 1, ENOUGH))
    assert (before.may_hold, after.may_hold) == (False, True)
    assert before.low < AGREEMENT <= after.low == pytest.approx(0.05 ** (1 / ENOUGH))


def test_one_disagreement_costs_trust() -> None:
    trust = trust_of(LADDER, agreements(ENOUGH, disagreeing=1))[0]
    assert (trust.compared, trust.agreed, trust.may_hold) == (ENOUGH, ENOUGH - 1, False)


@given(st.integers(0, 60), st.integers(0, 60))
def test_trust_never_comes_from_less_than_the_exact_bound(n: int, disagreeing: int) -> None:
    trust = trust_of(LADDER, agreements(n, disagreeing=min(n, disagreeing)))[0]
    assert trust.may_hold == (trust.low >= AGREEMENT)
    assert trust.low <= (trust.agreed / trust.compared if n else 0)


def test_nothing_compared_is_no_trust() -> None:
    assert [(one.rung, one.may_hold) for one in trust_of(LADDER, [])] == [("quarter", False), ("half", False)]


def test_other_rungs_and_other_targets_say_nothing_about_a_rung() -> None:
    others = [*agreements(ENOUGH, rung="half"), *agreements(ENOUGH, digest="0" * 64)]
    quarter, half = trust_of(LADDER, others)
    assert (quarter.compared, half.may_hold) == (0, True)


def test_the_same_seeds_again_are_no_new_comparison() -> None:
    assert trust_of(LADDER, agreements(1) * ENOUGH)[0].compared == 1


def test_what_the_whole_workload_could_not_tell_is_no_agreement() -> None:
    unclear = [one.model_copy(update={"whole_outcome": Outcome.INCONCLUSIVE}) for one in agreements(ENOUGH)]
    assert trust_of(LADDER, unclear)[0].agreed == 0


def test_a_rung_that_deviated_is_no_word_about_its_held() -> None:
    deviated = [one.model_copy(update={"rung_outcome": Outcome.DEVIATED}) for one in agreements(ENOUGH)]
    assert trust_of(LADDER, deviated)[0].compared == 0


def test_what_both_said_is_recorded_and_read_back() -> None:
    found = compared(laddered(), told(quarter=Outcome.HELD, whole=Outcome.DEVIATED))
    assert [(one.rung, one.rung_outcome, one.whole_outcome) for one in found] == [
        ("quarter", Outcome.HELD, Outcome.DEVIATED)
    ]
    note = Note(text="the rung quarter held, the whole deviated", facts=found[0].facts())
    odd = stored(LADDER, 2, RecordKind.RUNG_COMPARED, Note(text="odd", facts={"rung": 1}))
    elsewhere = stored(LADDER, 3, RecordKind.RUN_PUBLISHED, note)
    log = [stored(LADDER, 1, RecordKind.RUNG_COMPARED, note), odd, elsewhere]
    assert read_comparisons(log) == list(found)


@pytest.mark.parametrize("whole", [None, Outcome.ABORTED, Outcome.UNREVERTED])
def test_nothing_is_compared_where_the_whole_workload_says_nothing(whole: Outcome | None) -> None:
    answers = {"quarter": Outcome.HELD} | ({"whole": whole} if whole else {})
    assert compared(laddered(), told(**answers)) == ()


def test_a_part_holds_what_belongs_to_its_rung() -> None:
    cheap, whole = trial(Arm.CONTROL, 1, id="cheap", rung="quarter"), trial(Arm.CONTROL, 1, id="whole")
    readings = [read(cheap, 0.7), read(whole, 0.8)]
    part = part_of("quarter", [cheap, whole], readings, [])
    assert (part.trials, part.observations) == ((cheap,), (readings[0],))
    assert part_of(WHOLE, [cheap, whole], readings, []).trials == (whole,)


def result(state: CheckState) -> CheckResult:
    return CheckResult(
        check="x", when=When.ALWAYS, state=state, reason=Reason.OUT_OF_TOLERANCE, sentence="x was 0.6.", estimand="mean"
    )


def test_a_fixed_bound_that_a_cheap_rung_misses_is_no_deviation() -> None:
    under_fault = DONE.model_copy(update={"when": When.UNDER_FAULT})
    unsure = on_rung(under_fault, result(CheckState.FAILED), "half")
    assert (unsure.state, unsure.reason) == (CheckState.UNKNOWN, Reason.CHEAP_RUNG)
    assert "half" in unsure.sentence
    for compared_with_control in (AUC, DONE):
        assert on_rung(compared_with_control, result(CheckState.FAILED), "half").state is CheckState.FAILED
    assert on_rung(under_fault, result(CheckState.PASSED), "half").state is CheckState.PASSED


def test_each_result_names_its_rung() -> None:
    assert on_rung(AUC, result(CheckState.FAILED), "half").estimand == "mean, on the rung half"
