"""What a response is worth in numbers: who noticed, when the run was back, and what that cost."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest

from chaos_tasks.judging.evidence import gather
from chaos_tasks.judging.facts import Injection, RunFacts
from chaos_tasks.judging.response import Reaction, react
from chaos_tasks.model.experiment import Guards, ProgressTrigger, Step, When
from chaos_tasks.model.handle import Receipt
from chaos_tasks.model.plan import Plan
from chaos_tasks.model.progress import Checkpointing, Setback, TrialProgress
from chaos_tasks.model.reaction import Discounted, ReactionDetail, Response, TrainingRatio
from chaos_tasks.model.trial import Arm, Firing, Launch, SignalEvent, Trial, TrialStatus
from chaos_tasks.model.verdict import CheckResult, CheckState, Reason
from tests.unit.judging.cases import FLIP, T0, facts, plan, trial

KILL = Step(name="kill", fault="process.kill", target="workload", trigger=ProgressTrigger(step=5))
PAUSE = Step(name="pause", fault="process.pause", target="workload", trigger=ProgressTrigger(step=2))
PASSED = CheckResult(check="auc", when=When.ALWAYS, state=CheckState.PASSED, reason=Reason.WITHIN_MARGIN, sentence="")
FAILED = PASSED.model_copy(update={"state": CheckState.FAILED})
KILLS = plan(steps=(KILL,))
DAY_S = 86_400.0


def at(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


def signal(name: str, seconds: float, label_delay_s: float = 0.0) -> SignalEvent:
    return SignalEvent(name=name, at=at(seconds), label_delay_s=label_delay_s)


def firing(seconds: float, n: int = 0, step: str = "kill") -> Firing:
    done = Receipt(at=at(seconds), effective=True, summary="killed")
    return Firing(step=step, handle_id=f"h/{n}", fired_at=at(seconds), injected=done, reverted=done)


def launch(start: float, end: float | None = None, code: int | None = 0, progress: float | None = None) -> Launch:
    return Launch(
        pid=1,
        started_at=at(start),
        ended_at=None if end is None else at(end),
        exit_code=code,
        first_progress_at=None if progress is None else at(progress),
    )


def setback(
    fired: float, back: float | None, caught_up: float | None, *, resumed: int | None = 40, n: int = 0
) -> Setback:
    return Setback(
        handle_id=f"h/{n}",
        fired_at=at(fired),
        held_at=at(fired),
        step_before=50,
        resumed_from=resumed,
        restarted_at=at(fired + 0.2) if resumed is not None else None,
        back_at=None if back is None else at(back),
        first_step_at=None if back is None else at(back + 1),
        caught_up_at=None if caught_up is None else at(caught_up),
        down_s=None if back is None else back - fired,
        redone_steps=10,
    )


def progress(*setbacks: Setback, **changes: Any) -> TrialProgress:
    given: dict[str, Any] = {
        "span_s": 20.0,
        "useful_s": 14.0,
        "redone_s": 1.0,
        "down_s": 2.5,
        "redone_steps": 10 * len(setbacks),
        "checkpoints": Checkpointing(count=5, interval_s=2.0, write_s=0.5),
    }
    return TrialProgress(**{**given, **changes}, setbacks=setbacks)


def treated(seed: int = 100, status: TrialStatus = TrialStatus.COMPLETED, **changes: Any) -> Trial:
    given = {"started_at": T0, "ended_at": at(60), "firings": (firing(9),)}
    return trial(Arm.TREATMENT, seed, status, **{**given, **changes})


def control(seed: int = 100, **changes: Any) -> Trial:
    return trial(Arm.CONTROL, seed, **changes)


def killed(seed: int = 100, **changes: Any) -> Trial:
    """Killed at 9 s, noticed at once, launched again at 9.2 s, back at 11.5 s, caught up at 13 s."""
    given: dict[str, Any] = {
        "launches": (launch(0, 9, -9), launch(9.2, 60)),
        "signals": (signal("exit_code", 9.1),),
        "progress": progress(setback(9, 11.5, 13)),
        "lost_steps": 10,
    }
    return treated(seed, **{**given, **changes})


def reaction(
    trials: Sequence[Trial],
    the_plan: Plan = KILLS,
    check: CheckResult = PASSED,
    given_facts: RunFacts | None = None,
) -> Reaction:
    return react(the_plan, gather(trials, []), given_facts or RunFacts(), [check])


def detail(*trials: Trial, **changes: Any) -> ReactionDetail:
    found = reaction(trials, **changes).detail
    assert found is not None
    return found


def ratio(*trials: Trial, **changes: Any) -> TrainingRatio:
    found = detail(*trials, **changes).ratio
    assert found is not None
    return found


# --- noticing -------------------------------------------------------------------------------------------------------


def test_a_trial_tells_all_that_was_heard_and_which_came_first() -> None:
    [row] = detail(treated(signals=(signal("drift", 12), signal("exit_code", 9.1)))).trials
    assert (row.noticed_by, row.response) == ("exit_code", Response.DETECTED)
    assert row.detect_s == pytest.approx(0.1)
    assert [(one.name, one.after_s) for one in row.signals] == [("exit_code", 0.1), ("drift", 3.0)]


def test_a_signal_before_the_fault_is_no_notice_and_rings_anyway() -> None:
    found = detail(treated(signals=(signal("drift", 3), signal("drift", 12))))
    assert [one.discounted for one in found.trials[0].signals] == [
        Discounted.BEFORE_THE_FAULT,
        Discounted.RINGS_ANYWAY,
    ]
    assert (found.trials[0].noticed_by, found.trials[0].response) == ("", Response.MASKED)
    assert found.signals[0].rings_anyway


def test_a_signal_that_rings_in_a_control_is_named_with_its_precision() -> None:
    trials = [control(n, signals=(signal("noise", 1),) if n == 100 else ()) for n in range(100, 104)]
    trials += [treated(n, signals=(signal("noise", 12), signal("drift", 13))) for n in range(100, 104)]
    found = detail(*trials)
    drift, noise = found.signals
    assert (drift.name, drift.precision, drift.rings_anyway) == ("drift", 1.0, False)
    assert (noise.caught.count, noise.rings_anyway) == (4, True)
    assert noise.false_alarms is not None
    assert (noise.false_alarms.count, noise.false_alarms.n) == (1, 4)
    assert noise.precision == pytest.approx(1 / 1.25)
    assert found.trials[0].noticed_by == "drift"
    assert "noise rings without a fault too" in found.sentence


def test_a_deviation_that_only_a_false_alarm_accompanied_is_silent() -> None:
    trials = [control(signals=(signal("noise", 1),)), treated(signals=(signal("noise", 12),))]
    assert reaction(trials, check=FAILED).response is Response.SILENT


def test_how_many_trials_were_noticed_comes_with_its_exact_interval() -> None:
    rows = [treated(n, signals=(signal("drift", 12),) if n < 103 else ()) for n in range(100, 104)]
    share = detail(*rows).noticed
    assert share is not None
    assert (share.count, share.n) == (3, 4)
    assert share.level == pytest.approx(0.9)
    assert 0.2 < share.low < 0.3
    assert share.high == pytest.approx(0.9873, abs=1e-3)


def test_labels_that_come_a_day_later_are_noticed_a_day_later() -> None:
    late = signal("auc_low", 12 + DAY_S, DAY_S)
    [row] = detail(treated(signals=(late,))).trials
    assert row.detect_s == pytest.approx(DAY_S + 3)
    assert row.signals[0].label_delay_s == DAY_S


def test_what_is_noticed_too_late_is_not_noticed() -> None:
    soon = plan(steps=(KILL,), guards=Guards(detect_within=timedelta(seconds=5)))
    late = signal("auc_low", 12 + DAY_S, DAY_S)
    found = reaction([treated(signals=(late,))], soon, FAILED)
    assert (found.response, found.noticed) == (Response.SILENT, 0)
    assert found.detail is not None
    assert found.detail.trials[0].signals[0].discounted is Discounted.TOO_LATE
    assert found.detail.signals[0].caught.count == 0


def test_of_two_faults_each_must_be_noticed_before_the_next() -> None:
    twice = (firing(9), firing(20, 1))
    [first_only] = detail(treated(firings=twice, signals=(signal("drift", 12),))).trials
    assert (first_only.faults, first_only.faults_noticed) == (2, 1)
    [both] = detail(treated(firings=twice, signals=(signal("drift", 12), signal("drift", 21)))).trials
    assert both.faults_noticed == 2


def test_a_refusal_of_the_gate_is_a_notice_without_being_declared_again() -> None:
    blocked = trial(Arm.TREATMENT, 100, TrialStatus.BLOCKED)
    found = reaction([blocked], plan(), given_facts=facts())
    assert (found.response, found.noticed_by) == (Response.DETECTED, "gate")


def test_a_restart_by_its_own_runtime_is_a_notice_where_nobody_watches_exit_codes() -> None:
    found = reaction([killed(signals=())])
    assert (found.response, found.noticed_by) == (Response.RECOVERED, "restart")
    assert found.detect_s == pytest.approx(0.2)


def test_data_and_process_faults_together_count_from_the_first() -> None:
    injected = facts(injections=(Injection(handle_id="h", step="flip", injected_at=at(-30)),))
    both = plan(steps=(FLIP, KILL))
    [row] = detail(treated(signals=(signal("drift", 3),)), the_plan=both, given_facts=injected).trials
    assert (row.faults, row.noticed_by, row.detect_s) == (2, "drift", 33.0)


def test_the_oracle_notices_nothing() -> None:
    assert reaction([control(), treated()], check=FAILED).noticed == 0


# --- coming back ----------------------------------------------------------------------------------------------------


def test_a_killed_run_is_back_steps_and_catches_up() -> None:
    found = detail(killed(100), killed(101, progress=progress(setback(9, 13, 15))))
    assert found.back_s is not None
    assert (found.back_s.median, found.back_s.worst, found.back_s.n) == (3.25, 4.0, 2)
    assert found.caught_up_s is not None
    assert found.caught_up_s.worst == 6.0
    assert found.restart_s is not None
    assert found.restart_s.worst == pytest.approx(0.2)
    assert found.first_step_s is not None
    assert found.first_step_s.worst == 5.0
    assert found.responses == {Response.RECOVERED: 2}


def test_of_several_faults_the_slowest_recovery_counts_and_one_without_end_leaves_none() -> None:
    twice = killed(progress=progress(setback(9, 11, 12), setback(20, 24, 26, n=1)), firings=(firing(9), firing(20, 1)))
    assert detail(twice).trials[0].caught_up_s == 6.0
    never = killed(progress=progress(setback(9, 11, 12), setback(20, None, None, n=1)), firings=twice.firings)
    assert detail(never).trials[0].caught_up_s is None


def test_a_run_restarted_twice_has_recovered() -> None:
    again = (launch(0, 9, -9), launch(9.2, 10, 1), launch(10.2, 60))
    assert detail(killed(launches=again)).trials[0].response is Response.RECOVERED


def test_a_restart_within_the_launch_is_a_recovery_too() -> None:
    within = setback(9, 11, 12).model_copy(update={"restarted_at": None})
    found = reaction([treated(launches=(launch(0, 60),), progress=progress(within))])
    assert (found.response, found.noticed_by, found.recover_s) == (Response.RECOVERED, "restart", 2.0)


def test_a_run_that_comes_back_after_the_rto_is_detected_and_not_recovered() -> None:
    hasty = plan(steps=(KILL,), guards=Guards(rto=timedelta(seconds=0.1)))
    assert reaction([killed()], hasty).response is Response.DETECTED


def test_without_visible_progress_the_launches_tell() -> None:
    found = detail(killed(progress=None, launches=(launch(0, 9, -9), launch(9.5, 60, progress=12))))
    assert (found.trials[0].restart_s, found.trials[0].back_s) == (0.5, 3.0)
    assert (found.caught_up_s, found.lost, found.ratio) == (None, None, None)


@pytest.mark.parametrize(
    ("status", "response", "word"),
    [(TrialStatus.TIMED_OUT, Response.HUNG, "1 hung"), (TrialStatus.FAILED, Response.CRASHED, "1 crashed")],
)
def test_runs_that_do_not_come_back_are_told_apart(status: TrialStatus, response: Response, word: str) -> None:
    gone = killed(101, status=status, progress=progress(setback(9, None, None, resumed=None)))
    found = reaction([killed(100), gone])
    assert found.response is response
    assert found.detail is not None
    assert found.detail.responses == {Response.RECOVERED: 1, response: 1}
    assert word in found.detail.sentence


def test_no_treatment_trial_has_no_detail() -> None:
    assert reaction([control()]).detail is None


# --- work lost, and the useful share of the time --------------------------------------------------------------------


def test_work_lost_is_what_all_treatment_trials_lost() -> None:
    lost = detail(killed(100), killed(101)).lost
    assert lost is not None
    assert (lost.steps, lost.redone_s, lost.down_s) == (20, 2.0, 5.0)
    assert (lost.gpu_s, lost.device, lost.samples) == (0, "no GPU used", None)


def test_gpu_seconds_are_counted_where_the_workload_says_cuda() -> None:
    told = progress(setback(9, 11.5, 13), device="cuda", devices=2, redone_samples=1280)
    lost = detail(killed(progress=told)).lost
    assert lost is not None
    assert (lost.gpu_s, lost.device, lost.samples) == (2 * 3.5, "cuda", 1280)


def test_the_ratio_is_measured_over_all_trials_and_compared_with_the_closed_form() -> None:
    """M = 20 s, u0 = 2.5 s, dt = 2 s, w = .5 s: (1 - 3.5 / 20) / 1.25 = .66; measured 14 / 20."""
    found = ratio(killed(100), killed(101))
    assert (found.measured, found.trials, found.failures) == (0.7, 2, 2)
    assert found.predicted == pytest.approx(0.66)
    assert found.agrees is False
    assert (found.mtbf_s, found.restart_s, found.write_s, found.period_s) == (20.0, 2.5, 0.5, 2.5)
    assert "more than 3 % apart" in found.sentence


def test_the_best_period_stands_beside_the_one_in_use() -> None:
    found = ratio(killed())
    assert found.best_period_s == pytest.approx(0.5 + (2 * 20 * 0.5 + 0.25) ** 0.5)
    assert found.young_period_s == pytest.approx(0.5 + 20**0.5)
    assert found.best_predicted is not None
    assert found.predicted is not None
    assert found.best_predicted > found.predicted
    assert "saves every 2.5 s; optimal at this failure rate: 5.0 s" in found.sentence


def test_a_run_that_never_came_back_counts_as_measured_and_leaves_nothing_to_expect() -> None:
    gone = killed(101, status=TrialStatus.FAILED, progress=progress(setback(9, None, None, resumed=None), useful_s=0.0))
    found = ratio(killed(100), gone)
    assert (found.measured, found.failures, found.never_back) == (0.35, 2, 1)
    assert (found.predicted, found.agrees) == (None, None)
    assert found.best_period_s is not None
    assert "1 of 2 runs never came back" in found.sentence


def test_measured_and_expected_that_are_near_agree() -> None:
    near = progress(setback(9, 11.5, 13), useful_s=13.3)
    assert ratio(killed(progress=near)).agrees is True


def test_a_cost_of_saving_that_does_not_show_leaves_no_best_period() -> None:
    blind = progress(setback(9, 11.5, 13), checkpoints=Checkpointing(count=5, interval_s=2.0))
    found = ratio(killed(progress=blind))
    assert (found.write_s, found.best_period_s) == (None, None)
    assert found.predicted is not None


def test_a_standstill_without_a_restart_is_measured_only() -> None:
    stalled = progress(setback(9, 11.5, 11.5, resumed=None), stalled_s=2.5, down_s=0.0, redone_s=0.0)
    paused = treated(progress=stalled, firings=(firing(9, step="pause"),))
    found = ratio(paused, the_plan=plan(steps=(PAUSE,)))
    assert (found.measured, found.predicted, found.failures) == (0.7, None, 0)


def test_failures_that_leave_no_running_time_have_no_best_period() -> None:
    down = setback(9, 60, 61)
    found = ratio(killed(progress=progress(down, span_s=50.0, useful_s=1.0)))
    assert (found.predicted, found.best_period_s) == (0.0, None)


def test_a_data_fault_has_no_ratio_of_failures() -> None:
    assert detail(killed(firings=()), the_plan=plan(), given_facts=facts()).ratio is None


def test_a_workload_that_saves_nothing_has_no_ratio() -> None:
    assert detail(killed(progress=progress(setback(9, 11, 12), checkpoints=None))).ratio is None


def test_a_sentence_says_it_all() -> None:
    assert detail(killed(100), killed(101)).sentence == (
        "Noticed in 2 of 2 trials (by exit_code, after 0.1 s at worst); back after 2.5 s; caught up after 4.0 s; "
        "20 steps (2.0 s of work) done again, 5.0 s down, no GPU used."
    )


def test_nothing_noticed_is_said() -> None:
    assert detail(treated()).sentence == "Nothing noticed in 1 trial."


def test_a_detail_survives_the_record() -> None:
    found = detail(control(), killed(100), killed(101))
    assert ReactionDetail.model_validate_json(found.canonical()) == found
