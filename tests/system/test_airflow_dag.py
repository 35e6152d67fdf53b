"""A stranger's DAG as a target, in place, under a real Airflow: data, task and cloud faults, each undone."""

from __future__ import annotations

import os
import subprocess
import sys

from chaos_tasks.model.handle import Phase
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


def squall_run(lab: Lab, experiment: str) -> tuple[str, Verdict]:
    """`squall run` as anybody types it: the DAG runs in its Airflow all the same."""
    file = lab.project.dags / "experiments" / f"{experiment}.yaml"
    environment = {**os.environ, "SQUALL_CONFIG": str(lab.project.config), "SQUALL_HOME": str(lab.project.home)}
    before = {one.record.run_id for one in lab.ledger.records()}
    done = subprocess.run(
        [sys.executable, "-m", "chaos_tasks.cli", "run", str(file)],
        env=environment, capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    print(done.stdout[-3000:], done.stderr[-3000:])  # noqa: T201 - shown when the test fails
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
