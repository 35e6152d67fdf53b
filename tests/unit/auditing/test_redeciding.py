"""The independent judge and the product's come to the same answers, and an edited record to another one."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chaos_tasks.auditing import redeciding
from chaos_tasks.auditing.redeciding import Redone, redecide
from chaos_tasks.judging.facts import RunFacts, Stop
from chaos_tasks.judging.judge import judge
from chaos_tasks.model.experiment import Analysis, Check, Design, Exactly, NonInferiority, Range, Step, Unit, When
from chaos_tasks.model.handle import Phase
from chaos_tasks.model.record import Recovery
from chaos_tasks.model.trial import PairObservation, TrialStatus
from chaos_tasks.model.verdict import Reason
from tests.unit.auditing.records import row_of, rows_of
from tests.unit.judging import test_degenerate, test_judge
from tests.unit.judging.cases import AUC, FLIP, T0, facts, handle, paired, plan
from tests.unit.judging.test_same_verdict import evidence as of_every_kind
from tests.unit.reports.gallery import gallery
from tests.unit.reports.nights import two_nights

NOW = T0 + timedelta(hours=1)
REVERTED = [handle(Phase.REVERTED)]


def redone(rows: list[redeciding.Row]) -> Redone:
    (found,) = redecide(rows)
    return found


def again(the_plan: Any, trials: Any, observations: Any, handles: Any, given_facts: Any, pairs: Any = ()) -> Redone:
    """Both judges on one run; ``differences`` is what they do not agree on."""
    verdict = judge(the_plan, trials, observations, handles, given_facts, NOW, pairs=pairs)
    return redone(rows_of(the_plan, trials, observations, handles, given_facts, verdict, pairs))


# --- agreement -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("log", [gallery, two_nights])
def test_agrees_on_every_run_of_the_galleries(log: Any) -> None:
    found = list(redecide(row_of(one) for one in log()))
    assert len(found) >= 11
    assert [(one.run_id, one.differences, one.not_shown) for one in found if one.differences or one.not_shown] == []


@pytest.mark.parametrize("design", Design)
@pytest.mark.parametrize("name", test_degenerate.CASES)
def test_agrees_at_the_edge(name: str, design: Design) -> None:
    case = test_degenerate.CASES[name]
    trials, observations = paired(case.control, case.treatment, case.status)
    if case.error:
        observations = [one.model_copy(update={"error": case.error}) for one in observations]
    the_plan = plan([case.check], analysis=Analysis(seeds=4, design=design))
    found = again(the_plan, trials, observations, REVERTED, facts(), case.pairs)
    assert (found.differences, found.not_shown) == ((), "")


def test_agrees_on_a_run_with_every_kind_of_check() -> None:
    one = of_every_kind()
    found = again(one.plan, one.trials, one.observations, one.handles, one.facts, one.pairs)
    assert (found.differences, found.not_shown) == ((), "")
    assert [answer.check for answer in found.answers if answer.as_committed] == ["rows"]


FACTS = st.sampled_from(
    [
        facts(),
        facts(),
        facts(),
        facts(effective=False),
        RunFacts(),
        facts(stops=(Stop(reason=Reason.GUARD_TRIPPED),)),
        facts(failures=(Stop(reason=Reason.INTERNAL_ERROR),)),
        facts(failures=(Stop(reason=Reason.NO_RECEIPT),)),
        facts(recovery=Recovery(healthy=True, seconds=1.0)),
        facts(recovery=Recovery(healthy=True, seconds=1000.0)),
    ]
)


@settings(max_examples=150, deadline=None)
@given(
    test_judge.evidence(),
    test_judge.CHECKS,
    st.sampled_from([(test_judge.KILL,), (FLIP,), (FLIP, test_judge.KILL)]),
    st.lists(st.sampled_from([Phase.REVERTED, Phase.REVERTED, Phase.REVERTED, Phase.INJECTED]), max_size=2),
    FACTS,
    st.sampled_from(Design),
)
def test_agrees_on_any_evidence(
    given_evidence: Any,
    checks: list[Check],
    steps: tuple[Step, ...],
    phases: list[Phase],
    given_facts: Any,
    design: Any,
) -> None:
    the_plan = plan(checks, steps, analysis=Analysis(seeds=4, recovery_trials=1, design=design))
    found = again(the_plan, *given_evidence, [handle(phase) for phase in phases], given_facts)
    assert (found.differences, found.not_shown) == ((), "")


@settings(max_examples=100, deadline=None)
@given(test_degenerate.evidence(), test_degenerate.CHECKS, st.sampled_from(Design))
def test_agrees_on_readings_from_the_edge(given_evidence: Any, check: Check, design: Design) -> None:
    found = again(plan([check], analysis=Analysis(seeds=4, design=design)), *given_evidence, REVERTED, facts())
    assert (found.differences, found.not_shown) == ((), "")


PAIRED = Analysis(seeds=9)
MARGINS = {
    "auc": AUC,
    "loss": AUC.model_copy(update={"tolerance": NonInferiority(margin=0.01, better="lower")}),
    "share": AUC.model_copy(update={"tolerance": NonInferiority(margin=0.012, relative=True)}),
}


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(sorted(MARGINS)),
    st.sampled_from([0.005, 0.01, 0.05, 0.2]),
    st.sampled_from(Design),
    st.floats(-0.03, 0.05),
    st.sampled_from([0.0, 0.001, 0.004]),
    st.lists(st.tuples(st.floats(0.85, 0.95), st.floats(-2, 2)), min_size=1, max_size=9),
)
def test_agrees_on_margins_that_are_decided(
    name: str, alpha: float, design: Design, worse: float, spread: float, pairs: list[tuple[float, float]]
) -> None:
    control = [before for before, _ in pairs]
    treatment = [before - worse - spread * noise for before, noise in pairs]
    the_plan = plan([MARGINS[name]], analysis=Analysis(seeds=9, alpha=alpha, design=design))
    found = again(the_plan, *paired(control, treatment), REVERTED, facts())
    assert (found.differences, found.not_shown) == ((), "")


NUMBERS = st.sampled_from([None, -0.02, -0.001, 0.004, 0.0099, 0.0101, 0.02])


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from([Unit.ROW, Unit.BLOCK]),
    st.lists(
        st.tuples(NUMBERS, NUMBERS, st.sampled_from(["", "", "", "no row"]), st.sampled_from([0, 0, 3])), max_size=4
    ),
    st.sampled_from([TrialStatus.COMPLETED, TrialStatus.COMPLETED, TrialStatus.BLOCKED, TrialStatus.FAILED]),
)
def test_agrees_on_committed_pairs(unit: Unit, measured: list[Any], status: TrialStatus) -> None:
    check = AUC.model_copy(update={"unit": unit})
    trials, observations = paired([0.9] * 4, [0.9] * 4)
    observations = [one for one in observations if one.arm.value == "control" or status is TrialStatus.COMPLETED]
    trials[-1] = trials[-1].model_copy(update={"status": status})
    pairs = [
        PairObservation(
            check="auc",
            seed=100 + number,
            control_id=f"run-labels-control-{100 + number}",
            treatment_id=f"run-labels-treatment-{100 + number}",
            estimate=None if one is None or other is None else (one + other) / 2,
            low=None if one is None or other is None else min(one, other),
            high=None if one is None or other is None else max(one, other),
            margin=0.01,
            error=error,
            n_not_numbers=lost,
        )
        for number, (one, other, error, lost) in enumerate(measured)
    ]
    found = again(plan([check]), trials, observations, REVERTED, facts(), pairs)
    assert (found.differences, found.not_shown) == ((), "")


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from([Exactly(value=True), Range(min=0.5), Range(max=0.5), Range(min=0.2, max=0.8)]),
    st.sampled_from(When),
    st.sampled_from([None, 0.3, 0.5, 0.9]),
    st.lists(st.sampled_from([True, True, 0.6, 0.5, 1, None]), max_size=6),
)
def test_agrees_on_yes_or_no(tolerance: Any, when: When, reliability: float | None, values: list[Any]) -> None:
    check = Check(name="auc", probe="x", tolerance=tolerance, when=when, reliability=reliability)
    the_plan = plan([check], analysis=Analysis(seeds=6, recovery_trials=1))
    trials, observations = paired(values, values)
    found = again(the_plan, trials, observations, REVERTED, facts())
    assert (found.differences, found.not_shown) == ((), "")


# --- its own numbers -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("t", "freedom", "tail"), [(2.919986, 2, 0.05), (6.313752, 1, 0.05), (1.943180, 6, 0.05), (2.763769, 10, 0.01)]
)
def test_student_is_that_of_the_tables(t: float, freedom: int, tail: float) -> None:
    assert redeciding.student_tail(t, freedom) == pytest.approx(tail, rel=1e-4)


def test_a_share_is_shown_by_as_many_as_the_tables_say() -> None:
    assert redeciding.shows_share(29, 29, 0.9, 0.05)
    assert not redeciding.shows_share(28, 28, 0.9, 0.05)
    assert redeciding.shows_share(45, 46, 0.9, 0.05)
    assert not redeciding.shows_share(44, 45, 0.9, 0.05)


def test_without_an_effect_the_ratio_has_mean_one() -> None:
    """Two normal values: their ratio's angle is uniform, so the mean is a plain sum over angles."""
    import math

    angles = [math.tau * (k + 0.5) / 4000 for k in range(4000)]
    mean = math.fsum(redeciding.likelihood_ratio(2, math.cos(a) + math.sin(a), 1.0) for a in angles) / 4000
    assert mean == pytest.approx(1.0, abs=1e-9)


# --- what an edit does -----------------------------------------------------------------------------------------------


def silent_loss() -> list[redeciding.Row]:
    trials, observations = paired(test_judge.GOOD, test_judge.BAD)
    verdict = judge(plan(), trials, observations, REVERTED, facts(), NOW)
    return rows_of(plan(), trials, observations, REVERTED, facts(), verdict)


def edited(rows: list[redeciding.Row], kind: str, old: str, new: str) -> list[redeciding.Row]:
    """The records with one text of one kind of payload replaced, wherever it stands."""

    def one(row: redeciding.Row) -> redeciding.Row:
        text = json.dumps(row.payload)
        if row.kind != kind or old not in text:
            return row
        return redeciding.Row(
            row.seq, row.kind, row.run_id, row.occurred_at, json.loads(text.replace(old, new)), row.outcome
        )

    return [one(row) for row in rows]


@pytest.mark.parametrize(
    ("kind", "old", "new", "says"),
    [
        ("trial.ended", '"value": 0.868', '"value": 0.901', "the log says deviated, its records say inconclusive"),
        ("inject.applied", '"effective": true', '"effective": false', "its records say inconclusive"),
        ("experiment.registered", '"margin": 0.01', '"margin": 0.1', "its records say held"),
        ("experiment.registered", '"alpha": 0.05', '"alpha": 0.00001', "its records say inconclusive"),
        ("evaluate.verdict", '"outcome": "deviated"', '"outcome": "held"', "header and payload of the verdict"),
        ("evaluate.verdict", '"state": "failed"', '"state": "passed"', "check auc: the log says passed"),
        ("evaluate.verdict", '"response": "silent"', '"response": "detected"', "response: the log says detected"),
    ],
)
def test_an_edit_changes_the_answer_and_is_named(kind: str, old: str, new: str, says: str) -> None:
    before, after = redone(silent_loss()), redone(edited(silent_loss(), kind, old, new))
    assert before.differences == ()
    assert any(says in text for text in after.differences), after


def test_a_deviation_that_was_turned_into_held_is_found() -> None:
    rows = silent_loss()
    last = rows[-1]
    rows[-1] = redeciding.Row(last.seq, last.kind, last.run_id, last.occurred_at, last.payload, "held")
    found = redone(edited(rows, "evaluate.verdict", '"outcome": "deviated"', '"outcome": "held"'))
    assert (found.committed, found.outcome) == ("held", "deviated")


def test_a_fault_that_was_never_put_back_is_unreverted() -> None:
    found = redone([row for row in silent_loss() if row.kind != "revert.verified"])
    assert found.outcome == "unreverted"


@pytest.mark.parametrize("kind", ["experiment.registered", "trial.ended", "inject.applied"])
def test_an_erased_payload_is_not_shown_and_never_a_pass(kind: str) -> None:
    rows = [
        redeciding.Row(
            row.seq, row.kind, row.run_id, row.occurred_at, None if row.kind == kind else row.payload, row.outcome
        )
        for row in silent_loss()
    ]
    found = redone(rows)
    assert f"cannot be read: {kind}" in found.not_shown
    assert not found.outcome


def test_a_version_that_is_not_known_is_not_shown() -> None:
    found = redone(edited(silent_loss(), "experiment.registered", '"version": 1', '"version": 2'))
    assert "version 2" in found.not_shown
    odd = redone(edited(silent_loss(), "experiment.registered", '"non_inferiority"', '"superiority"'))
    assert "not known here" in odd.not_shown


def test_rows_measured_against_another_margin_are_held_to_the_registered_one() -> None:
    rows = AUC.model_copy(update={"unit": Unit.ROW})
    pair = test_degenerate.pair(estimate=0.03, low=0.02, high=0.04, margin=0.05, n_rows=1000)
    trials, observations = paired([0.9] * 2, [0.9] * 2)
    found = again(plan([rows]), trials, observations, REVERTED, facts(), (pair,))
    assert (found.committed, found.outcome) == ("held", "deviated")
