"""Guards of a target that is a DAG: tasks are named, its watcher is no place, and a scheduled run is hit with care."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from chaos_tasks.errors import GuardTripped
from chaos_tasks.model.target import Target
from chaos_tasks.safety.guards import Rules, check_request
from tests.unit.safety.test_guards import RULES, TARGET
from tests.unit.toy_project import experiment

DAG: dict[str, Any] = {
    **TARGET,
    "reads": {},
    "workload": {
        "type": "airflow_dag",
        "dag_id": "d",
        "conf": {"out": "{out}"},
        "connection": {"url": "http://127.0.0.1:1"},
    },
}
ATTACHED: dict[str, Any] = {**DAG, "workload": {**DAG["workload"], "conf": {}, "attach": {}}}
AT_ONCE = {"at": "elapsed", "after": "0s"}
KILL = {"fault": "airflow.task_kill", "target": "task", "params": {"task_id": "train"}, "trigger": AT_ONCE}
UNDER_FAULT = {
    "name": "done",
    "probe": "workload.completed",
    "tolerance": {"type": "exactly", "value": True},
    "when": "under_fault",
}


def asked(
    target: dict[str, Any],
    step: dict[str, Any],
    rules: Rules = RULES,
    check: dict[str, Any] = UNDER_FAULT,
    seeds: int = 1,
) -> None:
    told = experiment(
        method=[{"name": "one", **step}], steady_state=[check], analysis={"seeds": seeds, "design": "fixed"}
    )
    check_request(told, Target.model_validate(target), rules)


@pytest.mark.parametrize(
    ("ask", "why"),
    [
        (lambda: asked(DAG, {**KILL, "fault": "process.kill", "target": "workload"}), "is a DAG, whose tasks run in"),
        (lambda: asked(DAG, {**KILL, "params": {}}), "params.task_id is missing"),
        (lambda: asked(TARGET, KILL, replace(RULES, on_airflow=True)), "has no task of that name"),
        (
            lambda: asked(
                ATTACHED, KILL, replace(RULES, target_environment="Production", environments=("Production",))
            ),
            "scheduled runs are real ones",
        ),
        (lambda: asked(ATTACHED, {"fault": "data.label_flip", "target": "data"}), "reads its own data"),
        (lambda: asked(ATTACHED, {**KILL, "trigger": {"at": "before"}}), "until the next scheduled run of d"),
        (lambda: asked(ATTACHED, KILL, check={**UNDER_FAULT, "when": "always"}), "in attach mode there are none"),
        (lambda: asked(ATTACHED, KILL, seeds=3), "3 seeds are asked for, and one scheduled run of d"),
    ],
)
def test_what_cannot_be_asked_of_a_dag_is_refused(ask: Callable[[], None], why: str) -> None:
    with pytest.raises(GuardTripped, match=why) as caught:
        ask()
    assert caught.value.remedy


def test_a_task_of_a_dag_may_be_killed_in_place_and_in_a_scheduled_run() -> None:
    asked(DAG, KILL)
    asked(ATTACHED, KILL)
