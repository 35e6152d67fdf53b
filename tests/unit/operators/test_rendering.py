"""The shape of an experiment's DAG: what makes it safe on Airflow."""

from __future__ import annotations

import json
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest
from airflow.sdk import DAG
from airflow.serialization.serialized_objects import DagSerialization

from chaos_tasks.loading import load_experiment
from chaos_tasks.model.experiment import Experiment
from squall_operators.approval import ChaosApprovalOperator
from squall_operators.rendering import CONTROL_POOL, REVERT_POOL, WORK_POOL, Approvers, as_template, render
from tests.unit.operators.conftest import Squall

ORDER = ["arm", "baseline", "inject", "exercise", "revert", "recovery", "judge", "publish", "verdict"]


@pytest.fixture
def dag(project: Squall) -> DAG:
    """The DAG of a simple experiment."""
    return render(load_experiment(project.write("label-flip")))


def test_nine_tasks_in_order(dag: DAG) -> None:
    assert dag.dag_id == "chaos_label-flip"
    assert sorted(dag.task_ids) == sorted(ORDER)
    for before, after in pairwise(ORDER):
        assert after in dag.get_task(before).downstream_task_ids


def test_revert_is_the_teardown_of_arm_and_of_inject(dag: DAG) -> None:
    revert = dag.get_task("revert")
    assert revert.is_teardown
    assert revert.on_failure_fail_dagrun
    assert {task.task_id for task in dag.tasks if task.is_setup} == {"arm", "inject"}
    assert {"arm", "inject"} <= revert.upstream_task_ids


def test_verdict_is_the_only_leaf(dag: DAG) -> None:
    assert [task.task_id for task in dag.leaves] == ["verdict"]


def test_judge_publish_and_verdict_run_whatever_came_before(dag: DAG) -> None:
    assert {dag.get_task(task_id).trigger_rule for task_id in ("judge", "publish", "verdict")} == {"all_done"}


def test_no_setting_that_would_skip_or_delay_the_teardown(dag: DAG) -> None:
    assert dag.dagrun_timeout is None
    assert dag.max_active_runs == 1
    assert dag.catchup is False
    assert dag.is_paused_upon_creation is False
    assert not dag.fail_fast


def test_revert_goes_first_and_is_tried_often(dag: DAG) -> None:
    revert = dag.get_task("revert")
    assert revert.priority_weight == 1000
    assert revert.weight_rule == "absolute"
    assert revert.retries == 5
    assert revert.retry_exponential_backoff


def test_killed_exercise_is_retried_but_a_failed_inject_is_not(dag: DAG) -> None:
    assert dag.get_task("exercise").retries >= 1
    assert dag.get_task("inject").retries == 0


def test_only_trials_and_what_they_follow_use_the_work_pool(dag: DAG) -> None:
    pools = {task.task_id: task.pool for task in dag.tasks}
    assert {task_id for task_id, pool in pools.items() if pool == WORK_POOL} == {"baseline", "inject", "exercise"}
    assert {task_id for task_id, pool in pools.items() if pool == REVERT_POOL} == {"revert", "recovery"}
    assert {pool for pool in pools.values() if pool not in (WORK_POOL, REVERT_POOL)} == {CONTROL_POOL}


def test_a_fault_goes_in_only_where_nobody_under_fault_waits_for_the_lane(dag: DAG) -> None:
    weights = {task_id: dag.get_task(task_id).priority_weight for task_id in ("baseline", "inject", "exercise")}
    assert weights["exercise"] > weights["inject"] > weights["baseline"]
    assert {dag.get_task(task_id).weight_rule for task_id in weights} == {"absolute"}


def test_recovery_trials_need_a_lane_and_go_before_baselines(project: Squall) -> None:
    path = project.write("label-flip")
    path.write_text(path.read_text() + "analysis: {recovery_trials: 1}\n")
    tasks = render(load_experiment(path)).task_dict
    assert tasks["recovery"].pool == WORK_POOL
    assert tasks["recovery"].priority_weight > tasks["baseline"].priority_weight


def test_experiment_without_schedule_waits_for_the_night(dag: DAG) -> None:
    assert dag.schedule is None


def test_rendering_is_deterministic(project: Squall) -> None:
    loaded = load_experiment(project.write("label-flip"))
    first, second = (json.dumps(DagSerialization.to_dict(render(loaded)), sort_keys=True) for _ in range(2))
    assert first == second


def test_serialised_dag_carries_the_experiment_as_a_value(project: Squall) -> None:
    loaded = load_experiment(project.write("label-flip"))
    serialised = json.dumps(DagSerialization.to_dict(render(loaded)))
    assert str(loaded.path.parent) not in serialised
    assert loaded.sha256 in serialised
    assert "Training copes with a little" in serialised


def test_experiment_text_is_no_template(project: Squall) -> None:
    """A hypothesis may talk about `{{ x }}`; Jinja must hand it on as it is."""
    from jinja2 import Environment

    loaded = load_experiment(project.write("label-flip"))
    rendered = Environment(autoescape=False).from_string(as_template(loaded.experiment)).render()
    assert Experiment.model_validate_json(rendered) == loaded.experiment


def test_form_asks_for_what_may_be_overridden(dag: DAG) -> None:
    assert sorted(dag.params) == ["base_seed", "intensity", "outside_window", "seeds"]
    assert set(dag.params.dump().values()) == {None}
    schema = dag.params.get_param("intensity").schema
    assert (schema["minimum"], schema["maximum"]) == (0, 0.5)
    assert "section" not in schema


def test_documentation_shows_hypothesis_and_file(dag: DAG) -> None:
    assert "Training copes" in dag.doc_md
    assert "fault: test.touch" in dag.doc_md


def test_an_approval_comes_before_anything_is_armed_or_locked_and_silence_ends_it(project: Squall) -> None:
    asked = render(load_experiment(project.write("label-flip")), Approvers(("ana", "otto"), timedelta(hours=2)))
    assert sorted(asked.task_ids) == sorted(["approve", *ORDER])
    approve = asked.get_task("approve")
    assert approve.downstream_task_ids == {"arm"}
    assert approve.upstream_task_ids == set()
    assert approve.assigned_users == [{"id": "ana", "name": "ana"}, {"id": "otto", "name": "otto"}]
    assert approve.response_timeout == timedelta(hours=2)
    assert (approve.defaults, approve.execution_timeout) == (None, None)
    assert not approve.is_setup
    assert json.dumps(DagSerialization.to_dict(asked))


@pytest.mark.parametrize(
    "wrong", [{"people": ()}, {"response_timeout": timedelta(0)}, {"defaults": "Approve"}, {"assigned_users": []}]
)
def test_an_approval_that_anybody_or_nobody_could_give_is_refused_when_the_dag_is_parsed(wrong: dict[str, Any]) -> None:
    told: dict[str, Any] = {"task_id": "a", "experiment": "{}", "people": ("ana",), "response_timeout": timedelta(1)}
    with pytest.raises(ValueError, match=r"anybody|must end|not for callers"):
        ChaosApprovalOperator(**{**told, **wrong})
