"""Attach mode under a real Airflow: the next scheduled run of a staging DAG is hit, and judged by those before it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from chaos_tasks.lab.airflow_api import DagRun
from chaos_tasks.lab.waiting import wait_until
from chaos_tasks.model.reaction import Response
from chaos_tasks.model.trial import Arm
from chaos_tasks.model.verdict import Outcome
from tests.system.conftest import Lab
from tests.system.stranger_target import HISTORY, MONITOR_DAG, MONITOR_KEY, MONITOR_KILLED
from tests.system.test_airflow_dag import assert_reverted, squall_run, trials


@pytest.fixture(scope="module")
def history(lab: Lab) -> Iterator[None]:
    """Airflow makes up for the minutes since the DAG's start, as for any DAG that catches up."""
    lab.api.set_paused(MONITOR_DAG, False)
    try:
        wait_until(
            lambda: sum(run.state == "success" for run in lab.api.runs(MONITOR_DAG)) >= HISTORY,
            what=f"{HISTORY} runs of {MONITOR_DAG}", timeout_s=400, interval_s=1.0,
        )  # fmt: skip
        yield
    finally:
        lab.api.set_paused(MONITOR_DAG, True)


def hit_by(lab: Lab, run_id: str) -> DagRun:
    """The one scheduled run that bears the note of this run of ours."""
    (trial,) = trials(lab, run_id, Arm.TREATMENT)
    noted = [run for run in lab.api.runs(MONITOR_DAG) if (run.note or "").startswith("squall:")]
    return next(run for run in noted if run.start_date and run.start_date >= trial.started_at)


def test_a_key_taken_during_a_scheduled_run_shows_against_its_history(lab: Lab, history: None) -> None:
    run_id, verdict = squall_run(lab, MONITOR_KEY)
    assert (verdict.outcome, verdict.response) == (Outcome.DEVIATED, Response.SILENT)
    (trial,) = trials(lab, run_id, Arm.TREATMENT)
    assert len(trial.history) >= HISTORY - 2
    assert trial.metrics["accuracy"] < min(past.metrics["accuracy"] for past in trial.history)
    run = hit_by(lab, run_id)
    assert (run.run_type, run.state) == ("scheduled", "success")
    assert not [one for one in lab.api.runs(MONITOR_DAG) if one.run_type != "scheduled"]  # none is extra
    assert_reverted(lab, run_id)


def test_a_task_killed_in_a_scheduled_run_is_tried_again_and_all_is_as_ever(lab: Lab, history: None) -> None:
    run_id, verdict = squall_run(lab, MONITOR_KILLED)
    assert (verdict.outcome, verdict.response) == (Outcome.HELD, Response.RECOVERED)
    (trial,) = trials(lab, run_id, Arm.TREATMENT)
    hit = hit_by(lab, run_id)
    tasks = {task.task_id: task for task in lab.api.task_instances(MONITOR_DAG, hit.run_id)}
    assert (tasks["collect"].try_number, tasks["score"].try_number, hit.state) == (2, 1, "success")
    assert hit.run_id not in {past.run_id for past in trial.history}
    assert_reverted(lab, run_id)
