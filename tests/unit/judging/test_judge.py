"""What each outcome takes, and that any evidence gives exactly one."""

from __future__ import annotations

import math
from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chaos_tasks.judging.facts import RunFacts, Stop
from chaos_tasks.judging.judge import is_decided, judge
from chaos_tasks.model.experiment import (
    Analysis,
    Check,
    Design,
    Exactly,
    KnownFinding,
    NonInferiority,
    ProgressTrigger,
    Range,
    Step,
    When,
)
from chaos_tasks.model.handle import OPEN_PHASES, Phase
from chaos_tasks.model.record import Recovery
from chaos_tasks.model.trial import Arm, Launch, Observation, Trial, TrialStatus
from chaos_tasks.model.verdict import CheckState, Outcome, Reason, Response, Verdict
from tests.unit.judging import cases
from tests.unit.judging.cases import AUC, T0, facts, firing, handle, paired, plan, read, signal, trial

GOOD = [0.900, 0.904, 0.897, 0.902]
SAME = [0.899, 0.905, 0.896, 0.903]
BAD = [0.868, 0.875, 0.866, 0.871]
NEAR = [0.893, 0.890, 0.889, 0.899]
DONE = Check(name="done", probe="workload.completed", tolerance=Exactly(value=True))
KILL = Step(name="kill", fault="process.kill", target="workload", trigger=ProgressTrigger(step=5))
REVERTED = [handle(Phase.REVERTED)]


def verdict_of(evidence: tuple[list[Trial], list[Observation]], the_plan: Any = None, **changes: Any) -> Verdict:
    given_facts = changes.pop("facts", facts())
    handles = changes.pop("handles", REVERTED)
    now = changes.pop("now", T0 + timedelta(hours=1))
    return judge(the_plan or plan(), *evidence, handles, given_facts, now)


def test_a_loss_within_the_margin_is_held_and_masked() -> None:
    verdict = verdict_of(paired(GOOD, SAME))
    assert (verdict.outcome, verdict.response) == (Outcome.HELD, Response.MASKED)
    assert verdict.checks[0].high is not None
    assert verdict.checks[0].high < 0.01
    assert not verdict.needs_action


def test_a_loss_beyond_the_margin_that_nothing_noticed_is_silent() -> None:
    verdict = verdict_of(paired(GOOD, BAD))
    assert (verdict.outcome, verdict.response) == (Outcome.DEVIATED, Response.SILENT)
    assert verdict.sentence == (
        "AUC fell by 0.031, surely more than the 0.010 allowed (about this pipeline: 4 paired runs, 95 % confidence), "
        "and nothing noticed."
    )


def test_an_interval_over_the_margin_is_inconclusive() -> None:
    verdict = verdict_of(paired(GOOD, NEAR))
    assert (verdict.outcome, verdict.reasons) == (Outcome.INCONCLUSIVE, (Reason.INTERVAL_TOO_WIDE,))
    assert verdict.response is Response.UNKNOWN


def test_one_pair_is_never_enough() -> None:
    verdict = verdict_of(paired(GOOD[:1], BAD[:1]), plan(seeds=1))
    assert (verdict.outcome, verdict.reasons) == (Outcome.INCONCLUSIVE, (Reason.TOO_FEW_TRIALS,))


def test_a_lower_is_better_metric_fails_when_it_rises() -> None:
    lower = AUC.model_copy(update={"tolerance": NonInferiority(margin=0.01, better="lower")})
    assert verdict_of(paired(BAD, GOOD), plan([lower])).outcome is Outcome.DEVIATED
    assert verdict_of(paired(GOOD, BAD), plan([lower])).outcome is Outcome.HELD


def test_a_relative_margin_is_shown_in_the_unit_of_the_metric() -> None:
    relative = AUC.model_copy(update={"tolerance": NonInferiority(margin=0.02, relative=True)})
    result = verdict_of(paired(GOOD, BAD), plan([relative])).checks[0]
    assert result.state is CheckState.FAILED
    assert result.margin == pytest.approx(0.02 * sum(GOOD) / 4)
    assert result.estimate == pytest.approx(sum(GOOD) / 4 - sum(BAD) / 4)


def test_a_relative_margin_on_a_zero_control_is_inconclusive() -> None:
    relative = AUC.model_copy(update={"tolerance": NonInferiority(margin=0.02, relative=True)})
    verdict = verdict_of(paired([0.0] * 4, [0.0] * 4), plan([relative]))
    assert verdict.outcome is Outcome.INCONCLUSIVE


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_model_that_returns_nan_is_a_measured_failure(value: float) -> None:
    verdict = verdict_of(paired(GOOD, [*SAME[:3], value]))
    assert (verdict.outcome, verdict.reasons) == (Outcome.DEVIATED, (Reason.RETURNED_NAN,))


def test_nan_survives_the_record() -> None:
    observation = read(trial(Arm.TREATMENT, 100), math.nan)
    again = Observation.model_validate_json(observation.canonical())
    assert isinstance(again.value, float)
    assert math.isnan(again.value)


def test_a_probe_that_cannot_measure_is_inconclusive_never_held() -> None:
    verdict = verdict_of(paired(GOOD, [*SAME[:3], None]))
    assert (verdict.outcome, verdict.reasons) == (Outcome.INCONCLUSIVE, (Reason.PROBE_ERROR,))


def test_a_refused_training_leaves_the_control_in_service() -> None:
    evidence = paired(GOOD, [None] * 4, TrialStatus.BLOCKED, signals=(signal("gate", 0.4),))
    verdict = verdict_of(evidence)
    assert (verdict.outcome, verdict.response) == (Outcome.HELD, Response.DETECTED)
    assert verdict.checks[0].reason is Reason.GATE_BLOCKED
    assert verdict.noticed_by == "gate"
    assert verdict.detect_s == pytest.approx(0.4)


def test_a_deviation_that_an_alarm_noticed_is_detected() -> None:
    verdict = verdict_of(paired(GOOD, BAD, signals=(signal("drift"),)))
    assert (verdict.outcome, verdict.response) == (Outcome.DEVIATED, Response.DETECTED)
    assert verdict.noticed_by == "drift"
    assert verdict.sentence.endswith("and drift noticed after 61 s.")


def test_an_alarm_that_rings_under_control_too_is_no_notice() -> None:
    trials, observations = paired(GOOD, BAD, signals=(signal("noise"),))
    ringing = [item.model_copy(update={"signals": (signal("noise", -50),)}) for item in trials]
    assert verdict_of((ringing, observations)).response is Response.SILENT


def test_a_deviation_noticed_in_some_trials_only_is_silent() -> None:
    trials, observations = paired(GOOD, BAD)
    trials[-1] = trials[-1].model_copy(update={"signals": (signal("drift"),)})
    verdict = verdict_of((trials, observations))
    assert verdict.response is Response.SILENT
    assert "in 1 of 4 trials only" in verdict.sentence


@pytest.mark.parametrize(
    ("status", "response"), [(TrialStatus.FAILED, Response.CRASHED), (TrialStatus.TIMED_OUT, Response.HUNG)]
)
def test_a_run_that_does_not_come_back_is_judged_by_its_completion_check(
    status: TrialStatus, response: Response
) -> None:
    trials, observations = paired(GOOD, [None] * 4, status)
    observations += [read(item, item.status is TrialStatus.COMPLETED, "done") for item in trials]
    verdict = verdict_of((trials, observations), plan([AUC, DONE]))
    assert (verdict.outcome, verdict.response) == (Outcome.DEVIATED, response)
    assert [check.reason for check in verdict.checks] == [Reason.TRIAL_FAILED, Reason.OUT_OF_TOLERANCE]


def test_a_crash_without_a_completion_check_is_inconclusive() -> None:
    verdict = verdict_of(paired(GOOD, [None] * 4, TrialStatus.FAILED))
    assert (verdict.outcome, verdict.reasons) == (Outcome.INCONCLUSIVE, (Reason.TRIAL_FAILED,))
    assert (verdict.response, verdict.noticed_by) == (Response.CRASHED, "exit_code")


def test_survivors_alone_do_not_hold() -> None:
    trials, observations = paired(GOOD, [*SAME[:3], None])
    trials[-1] = trials[-1].model_copy(update={"status": TrialStatus.FAILED})
    assert verdict_of((trials, observations)).reasons == (Reason.TRIAL_FAILED,)


def test_a_failed_control_leaves_nothing_to_conclude() -> None:
    trials, observations = paired(GOOD, BAD)
    trials[0] = trials[0].model_copy(update={"status": TrialStatus.FAILED})
    verdict = verdict_of((trials, observations))
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert Reason.CONTROL_FAILED in verdict.reasons


@pytest.mark.parametrize("given_facts", [facts(effective=False), RunFacts()])
def test_no_effective_receipt_leaves_nothing_to_conclude(given_facts: RunFacts) -> None:
    verdict = verdict_of(paired(GOOD, BAD), facts=given_facts)
    assert (verdict.outcome, verdict.reasons[0]) == (Outcome.INCONCLUSIVE, Reason.NO_RECEIPT)
    assert verdict.response is Response.UNKNOWN


def test_a_trigger_that_did_not_fire_leaves_nothing_to_conclude() -> None:
    trials, observations = paired(GOOD, SAME, firings=(firing("kill"),))
    trials[-1] = trials[-1].model_copy(update={"firings": ()})
    verdict = verdict_of((trials, observations), plan(steps=[KILL]))
    assert (verdict.outcome, verdict.reasons[0]) == (Outcome.INCONCLUSIVE, Reason.TRIGGER_NOT_FIRED)


def test_a_restarted_run_has_recovered_and_says_how_fast() -> None:
    start = cases.INJECTED_AT + timedelta(seconds=60)
    launches = (
        Launch(pid=1, started_at=start, ended_at=start + timedelta(seconds=3), exit_code=-9, first_step=5),
        Launch(
            pid=2,
            started_at=start + timedelta(seconds=4),
            first_step=10,
            first_progress_at=start + timedelta(seconds=5),
        ),
    )
    verdict = verdict_of(paired(GOOD, SAME, firings=(firing("kill"),), launches=launches), plan(steps=[KILL]))
    assert (verdict.outcome, verdict.response) == (Outcome.HELD, Response.RECOVERED)
    assert verdict.recover_s == pytest.approx(2.0)


def test_access_given_back_and_a_healthy_recovery_trial_is_recovered() -> None:
    trials, observations = paired(GOOD, [None] * 4, TrialStatus.FAILED)
    trials.append(trial(Arm.RECOVERY, 100))
    measured = facts(recovery=Recovery(healthy=True, seconds=12.0))
    assert verdict_of((trials, observations), facts=measured).response is Response.RECOVERED
    slow = facts(recovery=Recovery(healthy=True, seconds=1200.0))
    assert verdict_of((trials, observations), facts=slow).response is Response.CRASHED


@pytest.mark.parametrize("phase", sorted(OPEN_PHASES))
def test_an_open_handle_is_unreverted_whatever_else_is_known(phase: Phase) -> None:
    verdict = verdict_of(paired(GOOD, SAME), handles=[handle(phase)])
    assert verdict.outcome is Outcome.UNREVERTED
    assert "squall revert h1" in verdict.sentence


def test_a_person_who_stops_it_aborts_it() -> None:
    stopped = facts(stops=(Stop(reason=Reason.STOPPED_BY_PERSON, text="stopped by a person"),))
    verdict = verdict_of(paired(GOOD, BAD), facts=stopped)
    assert (verdict.outcome, verdict.reasons) == (Outcome.ABORTED, (Reason.STOPPED_BY_PERSON,))


def test_missing_trials_rule_out_held_but_not_a_failure() -> None:
    exact = plan([DONE])
    trials, observations = paired([True] * 4, [True], check="done")
    assert verdict_of((trials, observations), exact).outcome is Outcome.INCONCLUSIVE
    trials, observations = paired([True] * 4, [False], check="done")
    assert verdict_of((trials, observations), exact).outcome is Outcome.DEVIATED


def test_a_void_trial_rules_out_held() -> None:
    trials, observations = paired(GOOD, SAME)
    trials[-1] = trials[-1].model_copy(update={"status": TrialStatus.VOID})
    assert Reason.TRIALS_VOID in verdict_of((trials, observations)).reasons


def test_a_void_trial_that_was_run_again_counts_no_more() -> None:
    trials, observations = paired(GOOD, SAME)
    void = trials[-1].model_copy(update={"id": "void", "status": TrialStatus.VOID})
    assert verdict_of(([void, *trials], observations)).outcome is Outcome.HELD


def test_the_control_must_meet_an_always_check_itself() -> None:
    speed = Check(name="speed", probe="workload.duration_s", tolerance=Range(max=20))
    verdict = verdict_of(paired([30.0] * 4, [35.0] * 4, check="speed"), plan([speed]))
    assert (verdict.outcome, verdict.reasons) == (Outcome.INCONCLUSIVE, (Reason.CONTROL_FAILED,))


def test_an_under_fault_check_asks_treatment_only() -> None:
    gate = Check(name="gate", probe="gate.refused", tolerance=Exactly(value=True), when=When.UNDER_FAULT)
    verdict = verdict_of(paired([False] * 4, [True] * 4, check="gate"), plan([gate]))
    assert verdict.outcome is Outcome.HELD
    assert "so in at least 47.3 % of such runs of this pipeline" in verdict.checks[0].sentence


def test_a_known_finding_counts_through_its_last_day() -> None:
    finding = KnownFinding(ticket="ML-7", reason="accepted", expires=date(2026, 11, 23))
    the_plan = plan(known_finding=finding)
    assert verdict_of(paired(GOOD, BAD), the_plan).known_finding == finding
    assert not verdict_of(paired(GOOD, BAD), the_plan).needs_action
    assert verdict_of(paired(GOOD, BAD), the_plan, now=T0 + timedelta(days=1)).known_finding is None
    assert verdict_of(paired(GOOD, SAME), the_plan).known_finding is None


def test_the_same_evidence_gives_the_same_verdict() -> None:
    assert verdict_of(paired(GOOD, BAD)) == verdict_of(paired(GOOD, BAD))


def test_trials_stop_at_a_failure_and_once_the_needed_pairs_are_there() -> None:
    assert is_decided(plan([DONE]), *paired([True], [False], check="done"), facts())
    assert not is_decided(plan([DONE]), *paired([True], [True], check="done"), facts())
    assert is_decided(plan([DONE]), *paired([True] * 2, [True] * 2, check="done"), facts())


def test_trials_stop_as_soon_as_the_evidence_decides_and_not_before() -> None:
    assert not is_decided(plan(), *paired(GOOD[:1], BAD[:1]), facts())
    assert is_decided(plan(), *paired(GOOD[:4], BAD[:4]), facts())
    assert not is_decided(plan(), *paired(GOOD[:2], SAME[:2]), facts())


def test_a_fixed_design_looks_at_its_margin_at_the_end_only() -> None:
    analysis = Analysis(seeds=4, design=Design.FIXED)
    assert not is_decided(plan(analysis=analysis), *paired(GOOD[:3], BAD[:3]), facts())


def test_a_crash_leaves_no_margin_to_wait_for() -> None:
    trials, observations = paired(GOOD[:2], SAME[:2])
    trials[-1] = trials[-1].model_copy(update={"status": TrialStatus.FAILED})
    observations = [one for one in observations if one.trial_id != trials[-1].id]
    assert is_decided(plan(), trials, observations, facts())


def test_a_yes_or_no_check_waits_for_the_reliability_that_it_is_to_show() -> None:
    asked = DONE.model_copy(update={"reliability": 0.5})
    eight = Analysis(seeds=8)
    few, enough = paired([True] * 4, [True] * 4, check="done"), paired([True] * 5, [True] * 5, check="done")
    assert not is_decided(plan([asked], analysis=eight), *few, facts())
    assert verdict_of(few, plan([asked], analysis=eight)).outcome is Outcome.INCONCLUSIVE
    assert is_decided(plan([asked], analysis=eight), *enough, facts())
    assert verdict_of(enough, plan([asked], analysis=eight)).outcome is Outcome.HELD


def test_what_was_not_run_is_counted_as_saved() -> None:
    verdict = verdict_of(paired(GOOD[:3], BAD[:3]), plan(seeds=8))
    assert (verdict.trials, verdict.trials_saved, verdict.trials_reused) == (6, 10, 0)


VALUES = st.one_of(st.none(), st.booleans(), st.floats(), st.integers(), st.text(max_size=5))
CHECKS = st.lists(
    st.sampled_from(
        [
            AUC,
            DONE,
            AUC.model_copy(
                update={"name": "rel", "tolerance": NonInferiority(margin=0.1, relative=True, better="lower")}
            ),
            Check(name="range", probe="x", tolerance=Range(min=0, max=1), when=When.UNDER_FAULT),
            Check(name="after", probe="x", tolerance=NonInferiority(margin=1e-9), when=When.AFTER),
        ]
    ),
    min_size=1,
    unique_by=lambda check: check.name,
)


@st.composite
def evidence(draw: st.DrawFn) -> tuple[list[Trial], list[Observation]]:
    trials, observations = [], []
    for number in range(draw(st.integers(0, 8))):
        arm, status = draw(st.sampled_from(Arm)), draw(st.sampled_from(TrialStatus))
        fired = draw(st.sampled_from([(), (firing("kill"),), (firing("kill", effective=False),)]))
        signals = draw(st.sampled_from([(), (signal("drift"),), (signal("early", -90),)]))
        launch = Launch(pid=1, started_at=T0 + timedelta(seconds=draw(st.integers(0, 300))))
        made = trial(
            arm,
            draw(st.integers(100, 103)),
            status,
            id=f"t{number}",
            firings=fired,
            signals=signals,
            launches=(launch,) * draw(st.integers(0, 3)),
        )
        trials.append(made)
        observations += [
            read(made, draw(VALUES), name)
            for name in draw(st.sets(st.sampled_from(["auc", "done", "rel", "range", "after"])))
        ]
    return trials, observations


@settings(max_examples=300, deadline=None)
@given(
    evidence(),
    CHECKS,
    st.sampled_from([(KILL,), (cases.FLIP,), (cases.FLIP, KILL)]),
    st.lists(st.sampled_from(Phase), max_size=2),
    st.sampled_from(
        [
            facts(),
            facts(effective=False),
            RunFacts(),
            facts(stops=(Stop(reason=Reason.GUARD_TRIPPED),)),
            facts(failures=(Stop(reason=Reason.INTERNAL_ERROR),)),
            facts(recovery=Recovery(healthy=True, seconds=1.0)),
        ]
    ),
)
def test_any_evidence_gives_one_verdict_that_survives_the_record(
    given_evidence: tuple[list[Trial], list[Observation]],
    checks: list[Check],
    steps: tuple[Step, ...],
    phases: list[Phase],
    given_facts: RunFacts,
) -> None:
    verdict = judge(
        plan(checks, steps, analysis={"recovery_trials": 1}),
        *given_evidence,
        [handle(phase) for phase in phases],
        given_facts,
        T0,
    )
    assert verdict.outcome in Outcome
    assert verdict.sentence
    assert Verdict.model_validate_json(verdict.canonical()) == verdict
    if any(phase in OPEN_PHASES for phase in phases):
        assert verdict.outcome is Outcome.UNREVERTED
    if verdict.outcome is Outcome.HELD:
        assert {check.state for check in verdict.checks} == {CheckState.PASSED}
    if verdict.outcome is not Outcome.HELD:
        assert verdict.reasons
