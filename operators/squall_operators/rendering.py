"""An experiment becomes a DAG: always the same nine tasks, with `revert` as the teardown of both `arm` and `inject`.

Where somebody may have to agree first, there is a tenth before them.
A ramp becomes four: one that asks all levels, and three that end it whatever became of the first.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, CronTriggerTimetable, TriggerRule
from airflow.sdk.definitions.param import ParamsDict

from chaos_tasks.loading import LoadedExperiment
from chaos_tasks.model.experiment import Experiment
from squall_operators.approval import ChaosApprovalOperator
from squall_operators.assets import verdict_alias
from squall_operators.forms import form_of
from squall_operators.ramping import CloseRampOperator, PublishRampOperator, RampOperator
from squall_operators.run_ids import dag_id_of
from squall_operators.steps import (
    ArmFaultOperator,
    ExerciseWorkloadOperator,
    InjectFaultOperator,
    JudgeExperimentOperator,
    MeasureRecoveryOperator,
    PublishRunOperator,
    RevertFaultOperator,
    TrainBaselineOperator,
    VerdictOperator,
)

WORK_POOL = "squall_work"
CONTROL_POOL = "squall_control"
REVERT_POOL = "squall_revert"
"""What puts something back, and nothing else: however many others wait, hang or run, a revert finds a slot."""

CONTROL_LIMIT = timedelta(hours=1)
PAUSE = timedelta(seconds=2)

CONTROL: Mapping[str, Any] = {"pool": CONTROL_POOL, "execution_timeout": CONTROL_LIMIT}
REVERT: Mapping[str, Any] = {
    "pool": REVERT_POOL,
    "execution_timeout": CONTROL_LIMIT,
    "priority_weight": 1000,
    "weight_rule": "absolute",
}
AT_LAST: Mapping[str, Any] = {"retries": 5, "retry_exponential_backoff": True, "max_retry_delay": timedelta(seconds=30)}
"""A revert is tried again for some minutes, then the sweeper goes on trying."""

WORK: Mapping[str, Any] = {"pool": WORK_POOL, "weight_rule": "absolute"}
UNDER_FAULT: Mapping[str, Any] = {**WORK, "priority_weight": 100}
"""Before any other: a fault that is in, or a target that is locked, shall not wait for a lane."""

INTO_A_LANE: Mapping[str, Any] = {**WORK, "priority_weight": 50, "execution_timeout": CONTROL_LIMIT}
"""A fault goes in only where a lane is free that nobody under fault waits for: its trials are next in that lane."""

UPKEEP: Mapping[str, Any] = {
    "catchup": False,
    "max_active_runs": 1,
    "is_paused_upon_creation": False,
    "tags": {"squall"},
    "default_args": {"owner": "squall", "retry_delay": PAUSE},
}
"""Arguments of the DAGs that are not experiments."""


@dataclass(frozen=True)
class Approvers:
    """Who may answer for an experiment, and how long they have."""

    people: tuple[str, ...]
    respond_within: timedelta


_JINJA_OPENING = re.compile(r"\{(?=[{%#])")


def at(cron: str) -> CronTriggerTimetable:
    """A schedule in UTC that begins with its next tick: an Airflow that has just started runs nothing by itself.

    Only so without a start date; with one, the tick before now is run at once, catch-up or not.
    """
    return CronTriggerTimetable(cron, timezone="UTC", run_immediately=timedelta(0))


def render(loaded: LoadedExperiment, approvers: Approvers | None = None) -> DAG:
    """One experiment as one DAG; equal files give equal DAGs.

    ``approvers``: where a second person may have to agree, and only there, the DAG has a step in which somebody does.
    """
    experiment = loaded.experiment
    form = form_of(experiment)
    with DAG(
        dag_id=dag_id_of(experiment.name),
        description=experiment.hypothesis,
        doc_md=documentation(loaded),
        schedule=at(experiment.schedule) if experiment.schedule else None,
        catchup=False,
        max_active_runs=1,  # no dagrun_timeout: it would skip the teardown too
        is_paused_upon_creation=False,
        tags={"squall", f"risk:{experiment.risk}", f"target:{experiment.target}", *experiment.tags},
        default_args={"owner": experiment.owner, "retry_delay": PAUSE},
    ) as dag:
        _ramp_tasks(loaded, sorted(form)) if experiment.ramp else _tasks(loaded, sorted(form), approvers)
    dag.params = ParamsDict(form)  # afterwards, else each task gets a copy: a fifth of the time, and of the size
    return dag


def _tasks(loaded: LoadedExperiment, form_fields: list[str], approvers: Approvers | None) -> None:
    """The nine tasks, or ten; the two relations of the last lines are what makes an experiment safe on Airflow."""
    runs_after = loaded.experiment.analysis.recovery_trials > 0
    arm = ArmFaultOperator(
        task_id="arm",
        experiment=as_template(loaded.experiment),
        experiment_sha256=loaded.sha256,
        form_fields=form_fields,
        retries=1,
        **CONTROL,
    )
    baseline = TrainBaselineOperator(task_id="baseline", retries=1, **WORK)
    inject = InjectFaultOperator(task_id="inject", retries=0, **INTO_A_LANE)
    # Retried, so that a killed task process resumes at the first unfinished trial.
    exercise = ExerciseWorkloadOperator(task_id="exercise", retries=2, **UNDER_FAULT)
    revert = RevertFaultOperator(task_id="revert", **AT_LAST, **REVERT)
    # Without trials of its own it needs no lane and takes no time, and must not hold its locks waiting for a slot; with
    # some it runs the workload, which would keep reverts out of theirs.
    recovery = MeasureRecoveryOperator(task_id="recovery", retries=1, **(UNDER_FAULT if runs_after else REVERT))
    judge = JudgeExperimentOperator(task_id="judge", trigger_rule=TriggerRule.ALL_DONE, retries=2, **CONTROL)
    publish = PublishRunOperator(
        task_id="publish", trigger_rule=TriggerRule.ALL_DONE, retries=3, retry_exponential_backoff=True, **CONTROL
    )
    verdict = _verdict_task(loaded.experiment)

    if approvers is not None:  # before anything is locked: people take hours
        approve = ChaosApprovalOperator(
            task_id="approve",
            experiment=as_template(loaded.experiment),
            experiment_sha256=loaded.sha256,
            form_fields=form_fields,
            people=approvers.people,
            response_timeout=approvers.respond_within,
            retries=2,  # of a process that was lost; an answer is final, whatever it was
            pool=CONTROL_POOL,
        )
        approve >> arm
    arm >> baseline >> inject >> exercise >> revert >> recovery >> judge >> publish >> verdict
    # This makes setups of both.  One successful setup is enough for `revert` to run; clearing `exercise` injects again.
    revert.as_teardown(setups=[arm, inject], on_failure_fail_dagrun=True)


def _ramp_tasks(loaded: LoadedExperiment, form_fields: list[str]) -> None:
    """Each level reverts itself, and the sweeper is the net, so nothing here is a teardown."""
    ramp = RampOperator(
        task_id="ramp",
        experiment=as_template(loaded.experiment),
        experiment_sha256=loaded.sha256,
        form_fields=form_fields,
        retries=2,  # a killed task process goes on at the level that it was asking
        **WORK,
    )
    revert = CloseRampOperator(task_id="revert", trigger_rule=TriggerRule.ALL_DONE, **AT_LAST, **REVERT)
    publish = PublishRampOperator(
        task_id="publish", trigger_rule=TriggerRule.ALL_DONE, retries=3, retry_exponential_backoff=True, **CONTROL
    )
    verdict = _verdict_task(loaded.experiment)
    ramp >> revert >> publish >> verdict


def _verdict_task(experiment: Experiment) -> VerdictOperator:
    told = verdict_alias(experiment.target, experiment.name)
    return VerdictOperator(task_id="verdict", trigger_rule=TriggerRule.ALL_DONE, retries=1, outlets=[told], **CONTROL)


def as_template(experiment: Experiment) -> str:
    """The experiment as JSON that Jinja leaves alone: `{{`, `{%`, `{#` occur in strings only, and are escaped."""
    return _JINJA_OPENING.sub(r"\\u007b", experiment.model_dump_json())


def documentation(loaded: LoadedExperiment) -> str:
    """What the DAG's page says: the hypothesis, and the file word for word."""
    experiment = loaded.experiment
    return (
        f"### {experiment.name}\n\n"
        f"> {experiment.hypothesis}\n\n"
        f"Owner: {experiment.owner}. Target: {experiment.target}. Risk: {experiment.risk}.\n\n"
        f"```yaml\n{loaded.text.strip()}\n```\n"
    )
