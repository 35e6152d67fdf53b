"""A stranger's DAG as a target, in place, under a real Airflow: data, task and cloud faults, each undone."""

from __future__ import annotations

import os
import subprocess
import sys

import psutil

from chaos_tasks.lab.waiting import wait_until
from chaos_tasks.model.handle import OPEN_PHASES, Phase
from chaos_tasks.model.reaction import Response
from chaos_tasks.model.trial import Arm, Trial, TrialStatus
from chaos_tasks.model.verdict import Outcome, Verdict
from chaos_tasks.runs import Run
from squall_operators.run_ids import run_id_of
from tests.system.conftest import Lab
from tests.system.stranger_target import DAG_ID, KILLED, LABELS, LOCKED_OUT


def trials(lab: Lab, run_id: str, arm: Arm) -> list[Trial]:
    """Of one arm, in order."""
    return [end.trial for end in Run(lab.ledger, run_id).ended_trials(arm)]


def squall(lab: Lab, *words: str) -> subprocess.CompletedProcess[str]:
    """A command as anybody types it."""
    done = subprocess.run(
        command(*words), env=environment(lab), capture_output=True, text=True, timeout=240, check=False
    )
    print(done.stdout[-3000:], done.stderr[-3000:])  # noqa: T201 - shown when the test fails
    return done


def command(*words: str) -> list[str]:
    """`squall`, from this interpreter."""
    return [sys.executable, "-m", "chaos_tasks.cli", *words]


def environment(lab: Lab) -> dict[str, str]:
    """What the command is told."""
    return {**os.environ, "SQUALL_CONFIG": str(lab.project.config), "SQUALL_HOME": str(lab.project.home)}


def file_of(lab: Lab, experiment: str) -> str:
    """Path of an experiment."""
    return str(lab.project.dags / "experiments" / f"{experiment}.yaml")


def squall_run(lab: Lab, experiment: str) -> tuple[str, Verdict]:
    """`squall run`: the DAG runs in its Airflow all the same."""
    before = {one.record.run_id for one in lab.ledger.records()}
    squall(lab, "run", file_of(lab, experiment))
    run_id = next(one.record.run_id for one in lab.ledger.records() if one.record.run_id not in before)
    verdict = lab.verdict(run_id)
    assert verdict is not None
    return run_id, verdict


def assert_reverted(lab: Lab, run_id: str) -> None:
    """Every handle."""
    states = lab.ledger.handles(run_id=run_id)
    assert states
    assert {state.phase for state in states} == {Phase.REVERTED}


def assert_undone(lab: Lab, run_id: str) -> None:
    """Every handle is reverted, and every DAG run of ours has ended."""
    assert_reverted(lab, run_id)
    assert all(run.finished for run in lab.api.runs(DAG_ID))


def test_flipped_labels_of_a_dag_in_place(lab: Lab) -> None:
    run = lab.end(lab.start(LABELS))
    run_id = run_id_of(run.dag_id, run.run_id)
    verdict = lab.verdict(run_id)
    assert verdict is not None
    assert (verdict.outcome, verdict.response) == (Outcome.DEVIATED, Response.SILENT)
    controls, treated = trials(lab, run_id, Arm.CONTROL), trials(lab, run_id, Arm.TREATMENT)
    assert [trial.status for trial in (*controls, *treated)] == [TrialStatus.COMPLETED] * 2
    assert min(trial.metrics["accuracy"] for trial in controls) > 0.8
    assert max(trial.metrics["accuracy"] for trial in treated) < 0.5
    ours = [one for one in lab.api.runs(DAG_ID) if run_id in one.run_id]
    assert [one.state for one in ours] == ["success"] * 2
    assert_undone(lab, run_id)


def test_killed_task_of_a_dag_is_tried_again_and_the_model_is_as_good(lab: Lab) -> None:
    run_id, verdict = squall_run(lab, KILLED)
    assert (verdict.outcome, verdict.response) == (Outcome.HELD, Response.RECOVERED)
    for trial in trials(lab, run_id, Arm.TREATMENT):
        (firing,) = trial.firings
        assert firing.error == ""
        assert firing.injected is not None
        assert firing.injected.effective
        assert trial.retried_at[0] > firing.injected.at
    for run in [one for one in lab.api.runs(DAG_ID) if f"{run_id}-treatment" in one.run_id]:
        tasks = {task.task_id: task for task in lab.api.task_instances(DAG_ID, run.run_id)}
        assert (tasks["train"].try_number, tasks["base_rates"].try_number) == (2, 1)
    assert_undone(lab, run_id)


def test_deactivated_key_of_a_dag_ends_it_red_and_it_is_well_again_afterwards(lab: Lab) -> None:
    run_id, verdict = squall_run(lab, LOCKED_OUT)
    assert verdict.outcome is Outcome.DEVIATED
    treated = trials(lab, run_id, Arm.TREATMENT)
    assert {trial.status for trial in treated} == {TrialStatus.FAILED}
    heard = {signal.name for trial in treated for signal in trial.signals}
    assert heard == {"run_failed", "task_failed", "loans_base_rates_failed"}
    assert [trial.status for trial in trials(lab, run_id, Arm.RECOVERY)] == [TrialStatus.COMPLETED]
    assert verdict.response is Response.RECOVERED
    assert_undone(lab, run_id)


def training(lab: Lab, known: set[str]) -> list[tuple[str, int]]:
    """Runs of treatment trials whose task `train` runs now, with its pid."""
    runs = [run.run_id for run in lab.api.runs(DAG_ID) if "-treatment-" in run.run_id and run.run_id not in known]
    tasks = [(run, task) for run in runs for task in lab.api.task_instances(DAG_ID, run)]
    return [(run, task.pid) for run, task in tasks if (task.task_id, task.state) == ("train", "running") and task.pid]


def test_a_dag_run_ends_with_its_trial_when_all_of_ours_was_killed(lab: Lab) -> None:
    known = {run.run_id for run in lab.api.runs(DAG_ID)}
    with subprocess.Popen(command("run", file_of(lab, LABELS)), env=environment(lab)) as ours:
        wait_until(lambda: bool(training(lab, known)), what="a treatment that trains", timeout_s=180, interval_s=0.1)
        ((run_id, pid),) = training(lab, known)
        for process in [psutil.Process(ours.pid), *psutil.Process(ours.pid).children(recursive=True)]:
            process.kill()
    (state,) = [one for one in lab.ledger.handles(phases=OPEN_PHASES) if one.handle.step == "flip"]
    assert squall(lab, "revert", state.handle.id).returncode == 0
    assert lab.api.run(DAG_ID, run_id).state == "failed"
    # Dead when the revert returns; that Airflow's worker has also reaped it comes when it comes.
    wait_until(lambda: not psutil.pid_exists(pid), what="the end of the task's process", timeout_s=10, interval_s=0.1)
    assert_undone(lab, state.handle.run_id)


def test_verdicts_on_a_dag_are_decided_the_same_by_the_independent_judge(lab: Lab) -> None:
    """After those above: tries of a task count as restarts there too."""
    assert squall(lab, "audit", "verify", "--no-views", "--require", "re-performance").returncode == 0
