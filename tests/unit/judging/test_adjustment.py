"""A night's answers among all its questions: chance is named as such, what was seen stays, and nothing counts twice."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaos_tasks.judging.adjustment import adjust
from chaos_tasks.judging.dossier import Dossier, read_dossier
from chaos_tasks.model.adjustment import Adjusted, Carried, Memory, Standing
from chaos_tasks.model.experiment import Check, Exactly, NonInferiority, Unit, When
from chaos_tasks.model.record import Record, RecordKind
from chaos_tasks.model.verdict import CheckResult, CheckState, Outcome, Reason, Response, Verdict
from tests.unit.judging.cases import T0, log_of, plan

ALPHA = 0.05
DONE = Check(name="done", probe="workload.completed", tolerance=Exactly(value=True), when=When.UNDER_FAULT)
FAILED, PASSED, UNKNOWN = CheckState.FAILED, CheckState.PASSED, CheckState.UNKNOWN


def margin(name: str = "auc", unit: Unit = Unit.SEED) -> Check:
    """A margin check."""
    return Check(name=name, probe="model.metric", tolerance=NonInferiority(margin=0.01), unit=unit)


def result(
    check: Check, state: CheckState, e: float | None = None, seeds: Sequence[int] = (), **more: Any
) -> CheckResult:
    """How a check came out, with its e-value for fail."""
    reason = {FAILED: Reason.BEYOND_MARGIN, PASSED: Reason.WITHIN_MARGIN, UNKNOWN: Reason.INTERVAL_TOO_WIDE}[state]
    told = {"reason": reason, "sentence": "", "log_e_fail": None if e is None else math.log(e), "seeds": tuple(seeds)}
    return CheckResult(check=check.name, when=check.when, state=state, unit=check.unit.value, **{**told, **more})


def run(
    name: str,
    pairs: Sequence[tuple[Check, CheckResult | None]],
    outcome: Outcome | None = Outcome.DEVIATED,
    reasons: Sequence[Reason] = (),
    **changes: Any,
) -> Dossier:
    """A run with these answers; without an outcome it has no verdict.  ``changes`` are fields of the plan."""
    made = plan([check for check, _ in pairs], name=name).model_copy(update=changes)
    verdict = outcome and Verdict(
        run_id=made.run_id,
        experiment=name,
        outcome=outcome,
        response=Response.SILENT,
        checks=tuple(answer for _, answer in pairs if answer is not None),
        reasons=tuple(reasons),
        decided_at=T0,
    )
    dossier = read_dossier(log_of(made, [], [], verdict or None))
    assert dossier is not None
    return dossier


def margin_run(name: str, e: float, seeds: Sequence[int] = (1, 2), **changes: Any) -> Dossier:
    """A run of one margin check with this e-value; it deviated where that alone is enough."""
    failed = e >= 1 / ALPHA
    check = margin(unit=changes.pop("unit", Unit.SEED))
    answer = result(check, FAILED if failed else UNKNOWN, e, seeds)
    return run(name, [(check, answer)], Outcome.DEVIATED if failed else Outcome.INCONCLUSIVE, **changes)


def quiet(count: int) -> list[Dossier]:
    """Runs that say nothing."""
    return [margin_run(f"quiet-{number}", 0.5) for number in range(count)]


def standings(adjusted: Adjusted) -> dict[str, Standing]:
    """By experiment."""
    return {one.experiment: one.standing for one in adjusted.experiments}


def carried(adjusted: Adjusted, name: str = "x") -> Carried:
    """What is handed on about an experiment."""
    return next(one for one in adjusted.after.experiments if one.experiment == name)


def over(nights: Sequence[Sequence[Dossier]]) -> list[Adjusted]:
    """Nights one after the other."""
    memory, found = Memory(), []
    for night in nights:
        found.append(adjust(night, memory, alpha=ALPHA))
        memory = found[-1].after
    return found


def test_the_only_question_stands_and_one_of_many_may_be_chance() -> None:
    assert standings(adjust([margin_run("x", 25)], Memory(), alpha=ALPHA)) == {"x": Standing.STANDS}
    crowd = adjust([margin_run("x", 25), *quiet(9)], Memory(), alpha=ALPHA)
    assert standings(crowd)["x"] is Standing.ALONE
    assert crowd.questions == 10
    assert standings(adjust([margin_run("x", 2500), *quiet(9)], Memory(), alpha=ALPHA))["x"] is Standing.STANDS


def test_what_a_trial_did_is_never_adjusted_away() -> None:
    seen = run("seen", [(DONE, result(DONE, FAILED, reason=Reason.OUT_OF_TOLERANCE))])
    nan = run("nan", [(margin(), result(margin(), FAILED, reason=Reason.RETURNED_NAN))])
    adjusted = adjust([seen, nan, *quiet(50)], Memory(), alpha=ALPHA)
    assert standings(adjusted)["seen"] is standings(adjusted)["nan"] is Standing.OBSERVED
    assert adjusted.questions == 51  # a yes-or-no check is no question of inference


def test_a_failure_without_an_e_value_cannot_stand_by_inference() -> None:
    fixed = run("fixed", [(margin(), result(margin(), FAILED))])
    assert standings(adjust([fixed], Memory(), alpha=ALPHA)) == {"fixed": Standing.ALONE}


def test_a_planned_run_without_a_verdict_counts_among_the_questions() -> None:
    lost = [run(f"lost-{number}", [(margin(), None)], outcome=None) for number in range(9)]
    adjusted = adjust([margin_run("x", 25), *lost], Memory(), alpha=ALPHA)
    assert adjusted.questions == 10
    assert standings(adjusted)["x"] is Standing.ALONE
    assert {one.state for one in adjusted.checks if one.experiment != "x"} == {None}


def test_only_a_check_that_failed_can_stand() -> None:
    """Beside overwhelming evidence the bar is below 1/alpha; a check that is open does not become a failure by it."""
    strong, weak = margin("strong"), margin("weak")
    night = [run("x", [(strong, result(strong, FAILED, 1e9, (1, 2))), (weak, result(weak, UNKNOWN, 15, (1, 2)))])]
    checks = {one.check: one.standing for one in adjust(night, Memory(), alpha=ALPHA).checks}
    assert checks == {"strong": Standing.STANDS, "weak": Standing.NOT_FAILED}


def test_numbers_that_are_not_of_the_fault_are_no_evidence() -> None:
    check = margin()
    answer = [(check, result(check, FAILED, 1e9, (1, 2)))]
    for reason in (Reason.NO_RECEIPT, Reason.TRIGGER_NOT_FIRED, Reason.CONTROL_FAILED):
        adjusted = adjust([run("x", answer, Outcome.INCONCLUSIVE, [reason])], Memory(), alpha=ALPHA)
        assert adjusted.experiments[0].log_e_nights == 0
        assert carried(adjusted).checks == ()


def test_evidence_too_weak_for_one_night_is_confirmed_over_several() -> None:
    nights = [[margin_run("x", 12, (10 * night, 10 * night + 1)), *quiet(5)] for night in range(6)]
    found = over(nights)
    assert standings(found[0])["x"] is Standing.NOT_FAILED
    assert standings(found[-1])["x"] is Standing.CONFIRMED
    assert found[-1].experiments[-1].confirmed_by == "2026-11-23"
    assert found[-1].after.procedure.rejected == 1  # once, however many nights it goes on


def test_a_night_that_held_opens_a_confirmed_finding_again() -> None:
    held = run("x", [(margin(), result(margin(), PASSED, 1e-6, (9, 10)))], Outcome.HELD)
    found = over([[margin_run("x", 1e9)], [held]])
    assert carried(found[0]).confirmed_by
    assert (carried(found[1]).confirmed_by, standings(found[1])["x"]) == ("", Standing.NOT_FAILED)


def test_the_same_seeds_are_not_counted_twice() -> None:
    once, again = over([[margin_run("x", 18, (1, 2, 3))], [margin_run("x", 18, (1, 2, 3))]])
    assert carried(again).log_e == carried(once).log_e == pytest.approx(math.log(18))


def test_evidence_taken_over_by_the_verdict_counts_by_its_growth() -> None:
    """Night two judges the pairs of both nights: 18 became 36, so the night itself brought 2."""
    taken_over = over([[margin_run("x", 18, (1, 2))], [margin_run("x", 36, (1, 2, 3, 4))]])[-1]
    apart = over([[margin_run("x", 18, (1, 2))], [margin_run("x", 2, (3, 4))]])[-1]
    assert carried(taken_over).log_e == pytest.approx(carried(apart).log_e)


def test_rows_of_the_sealed_set_do_not_add_up_over_nights() -> None:
    """They are the same rows every night."""
    nights = [[margin_run("x", 12, (10 * night,), unit=Unit.ROW)] for night in range(8)]
    assert {carried(one).log_e for one in over(nights)} == {0.0}
    assert [one.experiments[0].log_e_nights for one in over(nights)] == pytest.approx([math.log(12)] * 8)


@pytest.mark.parametrize(
    ("changes", "kept"),
    [
        ({}, True),
        ({"source_commit": "f" * 40, "data_digest": "f" * 64}, True),  # new data
        ({"source_commit": "f" * 40}, False),  # new code
        ({"target_digest": "f" * 64}, False),
    ],
)
def test_another_question_starts_anew_and_new_data_do_not(changes: dict[str, str], kept: bool) -> None:
    second = margin_run("x", 2, (3, 4), **changes)
    last = over([[margin_run("x", 12, (1, 2))], [second]])[-1]
    assert (carried(last).log_e > math.log(2) + 1) is kept


def test_an_owner_is_no_part_of_the_question() -> None:
    first, second = margin_run("x", 12, (1, 2)), margin_run("x", 2, (3, 4))
    assert second.plan is not None
    handed_over = second.plan.experiment.model_copy(update={"owner": "others"})
    other = margin_run("x", 2, (3, 4), experiment=handed_over)
    assert over([[first], [other]])[-1].after == over([[first], [second]])[-1].after


def test_an_experiment_that_did_not_run_keeps_its_evidence() -> None:
    found = over([[margin_run("x", 12)], quiet(2), [margin_run("x", 12, (5, 6))]])
    assert carried(found[1]) == carried(found[0])
    assert carried(found[2]).log_e > math.log(100)


def test_the_memory_goes_through_a_record() -> None:
    adjusted = over([[margin_run("x", math.inf), *quiet(3)]])[-1]
    record = Record(kind=RecordKind.CAMPAIGN_ADJUSTED, idem_key="k", occurred_at=T0, run_id="night", payload=adjusted)
    read = Record.model_validate_json(record.model_dump_json())
    assert read.payload == adjusted
    assert isinstance(read.payload, Adjusted)
    second = [margin_run("x", 3, (7, 8))]
    assert adjust(second, read.payload.after, alpha=ALPHA) == adjust(second, adjusted.after, alpha=ALPHA)


@given(st.lists(st.floats(0.01, 1e6), min_size=1, max_size=8), st.randoms())
def test_the_order_of_the_runs_does_not_matter(e_values: list[float], random: Any) -> None:
    night = [margin_run(f"x-{number}", e) for number, e in enumerate(e_values)]
    mixed = list(night)
    random.shuffle(mixed)
    assert adjust(mixed, Memory(), alpha=ALPHA) == adjust(night, Memory(), alpha=ALPHA)


@pytest.mark.parametrize("e", [0.0, math.inf])
def test_degenerate_evidence_has_a_sensible_answer(e: float) -> None:
    check = margin()
    log_e = math.log(e) if e else -math.inf
    answer = result(check, FAILED if e else UNKNOWN, None, (1, 2), log_e_fail=log_e)
    adjusted = adjust([run("x", [(check, answer)])], Memory(), alpha=ALPHA)
    assert standings(adjusted)["x"] is (Standing.STANDS if e else Standing.NOT_FAILED)
    assert math.isfinite(carried(adjusted).log_e)
    assert adjust([], Memory(), alpha=ALPHA).experiments == ()
    nothing = run("x", [(check, result(check, UNKNOWN, None, (1,), log_e_fail=math.nan))], Outcome.INCONCLUSIVE)
    assert adjust([nothing], Memory(), alpha=ALPHA).experiments[0].log_e_tonight == 0


def test_a_run_that_was_refused_asked_nothing() -> None:
    refused = read_dossier([one for one in log_of(plan(), [], [], None) if one.record.kind is RecordKind.FAULT_ARMED])
    assert refused is not None
    assert refused.plan is None
    assert adjust([refused], Memory(), alpha=ALPHA).experiments == ()
