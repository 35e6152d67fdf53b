"""Experiments under the real scheduler: whatever happens to a task, nothing is left in and the records say so."""

from __future__ import annotations

from pathlib import Path

import pytest

from chaos_tasks.lab.airflow_api import AirflowApiError, DagRun, TaskState
from chaos_tasks.model.record import RecordKind
from chaos_tasks.model.trial import Arm
from chaos_tasks.model.verdict import Outcome
from chaos_tasks.runs import Run
from chaos_tasks.searching.log import require_ended
from squall_operators.run_ids import run_id_of
from tests.system.conftest import Lab

REVERTED = RecordKind.REVERT_VERIFIED


def squall_id(run: DagRun) -> str:
    """The run that a DAG run stands for."""
    return run_id_of(run.dag_id, run.run_id)


def assert_nothing_left_in(lab: Lab, run: DagRun) -> None:
    """No open handle in the ledger, no mark in any clone."""
    assert lab.left_in(squall_id(run)) == []
    assert lab.project.marks() == []


def test_healthy_experiment_succeeds_and_is_recorded(lab: Lab) -> None:
    run = lab.end(lab.start("healthy"))
    assert set(lab.states(run).values()) == {"success"}
    assert run.state == "success"
    verdict = lab.verdict(squall_id(run))
    assert verdict is not None
    assert verdict.outcome is Outcome.HELD
    kinds = lab.records(squall_id(run))
    assert kinds.index(RecordKind.INJECT_INTENT) < kinds.index(RecordKind.INJECT_APPLIED) < kinds.index(REVERTED)
    assert_nothing_left_in(lab, run)


def test_failed_inject_is_reverted_and_is_no_success(lab: Lab) -> None:
    run = lab.end(lab.start("inject-fails"))
    states = lab.states(run)
    assert (states["inject"], states["exercise"], states["revert"]) == ("failed", "upstream_failed", "success")
    assert states["verdict"] == "failed"
    assert run.state == "failed"
    assert REVERTED in lab.records(squall_id(run))
    assert_nothing_left_in(lab, run)


def test_inject_killed_half_way_is_reverted(lab: Lab) -> None:
    run = lab.start("inject-stays")
    process = lab.await_task(run, "inject")
    assert process is not None
    _await_mark(lab)
    process.kill()
    run = lab.end(run)
    states = lab.states(run)
    assert (states["inject"], states["revert"], run.state) == ("failed", "success", "failed")
    assert REVERTED in lab.records(squall_id(run))
    assert_nothing_left_in(lab, run)


def test_inject_marked_success_by_a_person_never_passes_as_held(lab: Lab) -> None:
    run = lab.start("inject-stays")
    lab.await_task(run, "inject")
    _await_mark(lab)
    lab.api.set_task_state(run.dag_id, run.run_id, "inject", TaskState.SUCCESS)
    run = lab.end(run)
    assert run.state == "failed"
    verdict = lab.verdict(squall_id(run))
    assert verdict is None or verdict.outcome is not Outcome.HELD
    assert_nothing_left_in(lab, run)


def test_cleared_exercise_runs_under_the_fault_again(lab: Lab) -> None:
    lab.project.slow.touch()
    try:
        run = lab.start("healthy")
        lab.await_task(run, "exercise")
    finally:
        lab.project.slow.unlink()
    lab.api.clear(run.dag_id, run.run_id, ["exercise"], downstream=True)
    run = lab.end(run)
    assert_nothing_left_in(lab, run)
    verdict = lab.verdict(squall_id(run))
    assert verdict is not None
    assert verdict.outcome in (Outcome.HELD, Outcome.INCONCLUSIVE)
    assert lab.states(run)["revert"] == "success"


def test_killed_exercise_resumes_where_it_was(lab: Lab) -> None:
    lab.project.slow.touch()
    try:
        run = lab.start("healthy")
        process = lab.await_task(run, "exercise")
        assert process is not None
    finally:
        lab.project.slow.unlink()
    process.kill()
    run = lab.end(run)
    assert run.state == "success"
    exercise = next(one for one in lab.api.task_instances(run.dag_id, run.run_id) if one.task_id == "exercise")
    assert exercise.try_number == 2
    assert len(Run(lab.ledger, squall_id(run)).ended_trials(Arm.TREATMENT)) >= 2
    assert_nothing_left_in(lab, run)


def test_task_kill_fault_hits_the_task_and_airflow_retries_it(lab: Lab) -> None:
    run = lab.end(lab.start("task-killed"))
    exercise = next(one for one in lab.api.task_instances(run.dag_id, run.run_id) if one.task_id == "exercise")
    assert exercise.try_number >= 2
    assert exercise.state == "success"
    assert lab.left_in(squall_id(run)) == []
    assert lab.verdict(squall_id(run)) is not None


def test_killed_ramp_goes_on_at_its_level(lab: Lab) -> None:
    lab.project.slow.touch()
    try:
        run = lab.start("stepped")
        process = lab.await_task(run, "ramp")
        assert process is not None
        _await_mark(lab)
    finally:
        lab.project.slow.unlink()
    process.kill()
    run = lab.end(run)
    assert set(lab.states(run).values()) == {"success"}
    ramp = next(one for one in lab.api.task_instances(run.dag_id, run.run_id) if one.task_id == "ramp")
    assert ramp.try_number == 2
    verdict = lab.verdict(squall_id(run))
    assert verdict is not None
    assert (verdict.outcome, verdict.sentence[:36]) == (Outcome.HELD, "Holds up to share 0.2, the highest l")
    ended = require_ended(lab.ledger, squall_id(run))
    assert all(lab.left_in(one.run_id) == [] for one in ended.runs)
    assert_nothing_left_in(lab, run)


def test_conf_outside_the_form_is_refused(lab: Lab) -> None:
    run = lab.end(lab.start("healthy", {"sedes": 3}))
    states = lab.states(run)
    assert (states["arm"], states["inject"], states["revert"]) == ("failed", "upstream_failed", "upstream_failed")
    assert (states["judge"], states["verdict"], run.state) == ("skipped", "failed", "failed")
    assert RecordKind.EXPERIMENT_REGISTERED not in lab.records(squall_id(run))
    arm = next(one for one in lab.api.task_instances(run.dag_id, run.run_id) if one.task_id == "arm")
    assert arm.try_number == 1


def test_conf_out_of_range_is_refused_by_the_api(lab: Lab) -> None:
    with pytest.raises(AirflowApiError, match="400"):
        lab.start("healthy", {"seeds": 0})


def test_second_run_of_an_experiment_waits_for_the_first(lab: Lab) -> None:
    runs = [lab.start("healthy"), lab.start("healthy")]
    first, second = (lab.end(run) for run in runs)
    assert (first.state, second.state) == ("success", "success")
    assert first.end_date is not None
    assert second.start_date is not None
    assert first.end_date <= second.start_date
    assert squall_id(first) != squall_id(second)


def test_on_demand_runs_the_chosen_experiment_and_has_its_verdict(lab: Lab) -> None:
    run = lab.api.trigger("chaos_on_demand", {"experiment": "healthy", "intensity": 0.2, "seeds": 1})
    run = lab.end(run)
    assert run.state == "success"
    chosen = lab.api.xcom("chaos_on_demand", run.run_id, "choose")
    assert isinstance(chosen, dict)
    plan = Run(lab.ledger, str(chosen["run_id"])).plan()
    assert plan.overrides.intensity == 0.2
    assert len(plan.seeds) == 1


def test_night_runs_every_experiment_although_one_fails(lab: Lab) -> None:
    run = lab.end(lab.api.trigger("chaos_nightly"))
    campaign = str(lab.api.xcom("chaos_nightly", run.run_id, "plan", "campaign_id"))
    children = [one for one in lab.api.task_instances("chaos_nightly", run.run_id) if one.task_id == "run"]
    assert sorted(str(child.state) for child in children) == ["failed", "success"]
    held, failed = lab.verdict(f"{campaign}.healthy"), lab.verdict(f"{campaign}.inject-fails")
    assert held is not None
    assert held.outcome is Outcome.HELD
    assert failed is not None
    assert failed.outcome is not Outcome.HELD
    assert lab.project.marks() == []
    assert lab.states(run)["summarise"] == "success"
    assert Path(str(lab.api.xcom("chaos_nightly", run.run_id, "summarise"))).is_file()


def test_audit_export_writes_the_report_of_a_period(lab: Lab) -> None:
    run = lab.end(lab.api.trigger("chaos_audit_export", {"since": "2026-01-01"}))
    assert run.state == "success"
    assert list(Path(str(lab.api.xcom(run.dag_id, run.run_id, "export"))).iterdir())


def test_broken_file_shows_as_an_import_error_while_the_others_run(lab: Lab) -> None:
    from chaos_tasks.lab.waiting import wait_until

    broken = lab.project.dags / "experiments" / "broken.yaml"
    broken.write_text("name: broken\n")
    try:
        wait_until(lambda: bool(lab.api.import_failures()), what="an import error", timeout_s=90)
        (failure,) = lab.api.import_failures()
        assert "broken.yaml" in failure.stack_trace
        assert "chaos_healthy" in lab.api.dag_ids()
    finally:
        broken.unlink()
    wait_until(lambda: not lab.api.import_failures(), what="the import error to go", timeout_s=90)


def _await_mark(lab: Lab) -> None:
    from chaos_tasks.lab.waiting import wait_until

    wait_until(lambda: bool(lab.project.marks()), what="the mark", timeout_s=30)
