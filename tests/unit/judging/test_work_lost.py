"""Where a run's time goes, on made-up reports whose right answer is known by construction."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaos_tasks.judging.starts import ProgressEvent, part
from chaos_tasks.judging.work_lost import account
from chaos_tasks.model.handle import Receipt
from chaos_tasks.model.progress import TrialProgress
from chaos_tasks.model.trial import Arm, Firing, Launch, Trial, TrialStatus

T0 = datetime(2026, 11, 23, 2, 0, tzinfo=UTC)
Report = tuple[float, int, str]


def at(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


def event(seconds: float, step: int, kind: str = "step", **said: Any) -> ProgressEvent:
    return ProgressEvent(T0.timestamp() + seconds, step, kind, **said)


def firing(seconds: float, until: float | None = None, *, effective: bool = True, n: int = 0) -> Firing:
    done = Receipt(at=at(seconds), effective=effective, summary="in")
    undone = Receipt(at=at(until), effective=True, summary="out") if until is not None else None
    return Firing(step="kill", handle_id=f"h/{n}", fired_at=at(seconds), injected=done, reverted=undone)


def launch(start: float, end: float, code: int = 0) -> Launch:
    return Launch(pid=1, started_at=at(start), ended_at=at(end), exit_code=code)


def trial(
    end: float,
    launches: Sequence[Launch] = (),
    firings: Sequence[Firing] = (),
    status: TrialStatus = TrialStatus.COMPLETED,
) -> Trial:
    return Trial(
        id="t",
        run_id="r",
        arm=Arm.TREATMENT,
        seed=1,
        status=status,
        started_at=T0,
        ended_at=at(end),
        wall_s=end,
        launches=tuple(launches),
        firings=tuple(firings),
    )


def trained(first: int, last: int, start: float, *, every: int = 10, save: int = 20) -> list[ProgressEvent]:
    """One start as the reference workload reports it: 0.1 s a step, saves of 0.5 s, 128 samples a step."""
    now = start
    opening = "resume" if first else "start"
    found = [event(now, first, opening, samples=first * 128), event(now, first, "start", device="cpu")]
    for step in range(first + 1, last + 1):
        now += 0.1
        if step % every == 0:
            found.append(event(now, step, samples=step * 128))
        if step % save == 0:
            now += 0.5
            found.append(event(now, step, "checkpoint", samples=step * 128))
    return found


def measured(run: Trial, *starts: list[ProgressEvent]) -> TrialProgress:
    found = account(run, [one for start in starts for one in start])
    assert found is not None
    return found


KILLED = trial(40, [launch(0, 9, -9), launch(9.2, 40)], [firing(9)])
BEFORE, AFTER = trained(0, 50, 2), trained(40, 100, 12)


def test_without_a_fault_only_saving_takes_from_the_useful_time() -> None:
    found = measured(trial(30, [launch(0, 30)]), trained(0, 100, 2))
    assert found.useful_s == pytest.approx(10)
    assert found.saving_s == pytest.approx(2.5)
    assert found.ettr == pytest.approx(10 / 12.5)
    assert found.checkpoints is not None
    assert (found.checkpoints.count, found.setbacks) == (5, ())
    assert found.checkpoints.interval_s == pytest.approx(2.0)
    assert found.checkpoints.write_s == pytest.approx(0.5)


def test_a_killed_run_loses_the_work_beyond_its_checkpoint_and_the_time_that_it_was_down() -> None:
    """Saved at step 40, 5.0 s after its first report at 2 s; killed at 9 s, back at 12 s."""
    found = measured(KILLED, BEFORE, AFTER)
    assert found.redone_steps == 10
    assert found.redone_samples == 1280
    assert found.redone_s == pytest.approx(9 - 2 - 5.0)
    assert found.down_s == pytest.approx(3)
    assert found.useful_s == pytest.approx(10)
    assert found.saving_s == pytest.approx(2.5)
    assert found.span_s == pytest.approx(found.useful_s + found.saving_s + found.redone_s + found.down_s)


def test_a_setback_tells_when_the_run_was_back_stepped_and_caught_up() -> None:
    [setback] = measured(KILLED, BEFORE, AFTER).setbacks
    assert (setback.step_before, setback.resumed_from) == (50, 40)
    assert setback.restart_s == pytest.approx(0.2)
    assert setback.back_s == pytest.approx(3)
    assert setback.first_step_s == pytest.approx(4)
    assert setback.caught_up_s == pytest.approx(3 + 2)
    assert setback.redone_steps == 10
    assert setback.down_s == pytest.approx(3)


def test_the_order_of_reports_does_not_matter() -> None:
    assert measured(KILLED, AFTER, BEFORE) == measured(KILLED, BEFORE, AFTER)


def test_two_faults_are_two_setbacks_with_their_own_losses() -> None:
    third = trained(80, 100, 22)
    run = trial(60, [launch(0, 9, -9), launch(9.2, 19.5, -9), launch(20, 60)], [firing(9), firing(19.5, n=1)])
    found = measured(run, BEFORE, trained(40, 90, 12), third)
    assert [one.redone_steps for one in found.setbacks] == [10, 10]
    assert [one.resumed_from for one in found.setbacks] == [40, 80]
    assert found.setbacks[0].caught_up_s == pytest.approx(5)
    assert found.redone_steps == 20


def test_a_second_fault_before_the_run_is_back_shares_its_restart_and_is_charged_nothing() -> None:
    run = trial(40, [launch(0, 9, -9), launch(9.2, 10, -9), launch(10.5, 40)], [firing(9), firing(10, n=1)])
    found = measured(run, BEFORE, AFTER)
    first, second = found.setbacks
    assert first.back_s == pytest.approx(3)
    assert second.back_s == pytest.approx(2)
    assert (first.redone_steps, second.redone_steps) == (10, 0)
    assert found.redone_steps == 10


def test_a_pause_is_standstill_without_a_restart() -> None:
    reports = [event(step * 0.1 + (3 if step > 50 else 0), step) for step in range(1, 101)]
    found = measured(trial(20, [launch(0, 20)], [firing(5.02, 8.02)]), reports)
    assert found.stalled_s == pytest.approx(3)
    assert found.useful_s == pytest.approx(9.9)
    assert found.ettr == pytest.approx(9.9 / 12.9)
    [setback] = found.setbacks
    assert (setback.resumed_from, setback.restarted_at, setback.redone_steps) == (None, None, 0)
    assert setback.caught_up_s == pytest.approx(3.08)


def test_a_pause_before_a_kill_is_not_charged_with_the_restart() -> None:
    reports = [event(step * 0.1 + (1 if step > 20 else 0), step) for step in range(1, 51)]
    run = trial(40, [launch(0, 6.1, -9), launch(6.3, 40)], [firing(2.02, 3.02), firing(6.1, n=1)])
    paused, killed = measured(run, reports, trained(40, 100, 12)).setbacks
    assert (paused.resumed_from, killed.resumed_from) == (None, 40)
    assert paused.caught_up_s == pytest.approx(1.08)


def test_a_run_that_never_comes_back_has_no_times_and_counts_to_its_end() -> None:
    run = trial(90, [launch(0, 9, -9)], [firing(9)], TrialStatus.FAILED)
    found = measured(run, BEFORE)
    [setback] = found.setbacks
    assert (setback.back_at, setback.caught_up_at, setback.down_s) == (None, None, None)
    assert found.span_s == pytest.approx(88)
    assert found.ettr is not None
    assert found.ettr < 0.1


def test_a_run_restarted_in_vain_tells_when_it_was_restarted_first() -> None:
    run = trial(90, [launch(0, 9, -9), launch(9.5, 12, 1), launch(12.1, 15, 1)], [firing(9)], TrialStatus.FAILED)
    [setback] = measured(run, BEFORE).setbacks
    assert setback.restart_s == pytest.approx(0.5)
    assert (setback.resumed_from, setback.back_at) == (None, None)


def test_a_hang_counts_to_the_end_of_the_trial() -> None:
    run = trial(90, [launch(0, 90)], [firing(7)], TrialStatus.TIMED_OUT)
    assert measured(run, BEFORE).span_s == pytest.approx(88)


def test_no_progress_is_no_account() -> None:
    assert account(KILLED, []) is None


def test_one_report_alone_has_no_ratio() -> None:
    found = measured(trial(5), [event(1, 0, "start")])
    assert (found.span_s, found.ettr, found.checkpoints) == (0, None, None)


def test_a_run_killed_before_its_first_report_lost_none_that_shows() -> None:
    found = measured(trial(40, [launch(0, 1, -9), launch(1.2, 40)], [firing(1)]), trained(0, 100, 4))
    [setback] = found.setbacks
    assert (found.redone_steps, setback.step_before) == (0, None)
    assert setback.back_s == pytest.approx(3)


def test_a_restart_within_a_launch_is_seen_by_its_opening() -> None:
    """An elastic launcher starts its ranks anew; the process that we started lives on."""
    [setback] = measured(trial(40, [launch(0, 40)], [firing(9)]), BEFORE, AFTER).setbacks
    assert (setback.resumed_from, setback.restarted_at, setback.redone_steps) == (40, None, 10)


def test_steps_alone_tell_a_restart_by_falling_back() -> None:
    reports = [event(step * 0.1, step) for step in range(1, 18)]
    again = [event(3 + step * 0.1, step) for step in range(16, 31)]
    found = measured(trial(20, [launch(0, 20)], [firing(1.75)]), reports, again)
    assert found.redone_steps == 2
    assert found.setbacks[0].caught_up_s == pytest.approx(4.8 - 1.75)


def test_a_checkpoint_beyond_the_last_report_loses_no_step() -> None:
    """Reported every ten steps and saved, unreported, at step 45."""
    resumed = [event(12, 45, "resume"), *(event(12 + 0.1 * n, 45 + n) for n in range(5, 56, 10))]
    reports = [event(2, 0, "start"), *(event(2 + 0.1 * step, step) for step in range(10, 41, 10))]
    found = measured(trial(40, [launch(0, 7, -9), launch(7.2, 40)], [firing(7)]), reports, resumed)
    assert found.redone_steps == 0
    assert found.useful_s == pytest.approx(4 + 0.5 + 5.5)
    assert found.redone_s == pytest.approx(0.5)


def test_a_torn_checkpoint_costs_the_one_before_too() -> None:
    found = measured(KILLED, BEFORE, trained(20, 100, 12))
    assert found.redone_steps == 30
    assert found.useful_s == pytest.approx(10)


def test_a_save_in_the_midst_of_steps_costs_what_the_pace_does_not_explain() -> None:
    reports = [event(0, 0, "start"), event(1, 10), event(2, 20), event(2.9, 25, "checkpoint"), event(3.4, 30)]
    found = measured(trial(10, [launch(0, 10)]), reports)
    assert found.saving_s == pytest.approx(0.4)
    assert found.useful_s == pytest.approx(3.0)


def test_what_the_workload_says_about_a_save_counts() -> None:
    reports = [event(0, 0, "start"), event(1, 10), event(1.5, 10, "checkpoint", write_s=0.2), event(2.5, 20)]
    checkpoints = measured(trial(10, [launch(0, 10)]), reports).checkpoints
    assert checkpoints is not None
    assert checkpoints.write_s == pytest.approx(0.2)


def test_a_run_killed_in_its_evaluation_has_caught_up_when_it_is_at_the_end_again() -> None:
    run = trial(60, [launch(0, 16, -9), launch(16.2, 60)], [firing(16)])
    end = [event(19, 100, "resume"), event(19, 100, "start"), event(20, 100, "end")]
    [setback] = measured(run, trained(0, 100, 2), end).setbacks
    assert setback.redone_steps == 0
    assert setback.caught_up_s == pytest.approx(3)


def test_gpu_seconds_are_devices_times_what_was_lost() -> None:
    told = [event(12, 40, "start", device="cuda", devices=8)]
    found = measured(KILLED, BEFORE, AFTER, told)
    assert found.lost_gpu_s == pytest.approx(8 * (2 + 3))
    assert measured(KILLED, BEFORE, AFTER).lost_gpu_s == 0


def test_a_fault_without_an_effective_receipt_is_no_setback() -> None:
    run = trial(30, [launch(0, 30)], [firing(5, effective=False)])
    assert measured(run, trained(0, 100, 2)).setbacks == ()


def test_reports_dated_outside_the_trial_are_passed_over() -> None:
    strange = [event(-3600, 5), event(1e9, 7)]
    assert measured(KILLED, BEFORE, AFTER, strange) == measured(KILLED, BEFORE, AFTER)


def test_an_account_survives_the_record() -> None:
    found = measured(KILLED, BEFORE, AFTER)
    assert TrialProgress.model_validate_json(found.canonical()) == found


@given(
    st.lists(
        st.tuples(
            st.floats(0, 100), st.integers(0, 50), st.sampled_from(["step", "start", "resume", "checkpoint", "end"])
        ),
        max_size=30,
    ),
    st.lists(st.tuples(st.floats(0, 100), st.floats(0, 30)), max_size=3),
    st.sampled_from(TrialStatus),
)
def test_any_reports_give_shares_of_the_time_that_add_up_to_at_most_all_of_it(
    reports: list[Report], hits: list[tuple[float, float]], status: TrialStatus
) -> None:
    run = trial(100, [launch(0, 100)], [firing(a, a + b, n=n) for n, (a, b) in enumerate(hits)], status)
    found = account(run, [event(*report) for report in reports])
    if found is None:
        assert not reports
        return
    spent = found.useful_s + found.redone_s + found.saving_s + found.stalled_s + found.down_s
    assert spent <= found.span_s + 1e-3
    assert found.ettr is None or 0 <= found.ettr <= 1
    assert len(found.setbacks) == len(hits)
    assert sum(one.redone_steps for one in found.setbacks) <= found.redone_steps
    assert all(math.isfinite(amount) for amount in (found.span_s, found.useful_s, found.redone_s))


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(1, 20)), min_size=1, max_size=5))
def test_steps_redone_are_steps_made_more_than_once(stretches: list[tuple[int, int]]) -> None:
    """Each start goes on from some step not beyond what was reached, and makes some more."""
    done: list[int] = []
    reports: list[ProgressEvent] = []
    now, reached = 0.0, 0
    for back, more in stretches:
        base = max(0, reached - back)
        reports.append(event(now, base, "resume"))
        for step in range(base + 1, base + more + 1):
            now += 0.1
            reports.append(event(now, step))
            done.append(step)
        reached = base + more
        now += 1
    assert measured(trial(200, [launch(0, 200)]), reports).redone_steps == len(done) - len(set(range(1, reached + 1)))


def test_parts_are_never_empty() -> None:
    assert part([], []) == []
