"""What an operator takes from Airflow's context: who writes a record, which process this is, and what was asked for."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from pydantic import ValidationError

from chaos_tasks.errors import GuardTripped
from chaos_tasks.model.place import TaskPlace
from chaos_tasks.model.plan import Overrides, Recorder
from squall_operators.run_ids import run_id_of

if TYPE_CHECKING:
    from airflow.sdk import Context

TEMPORARY_RUN = "__airflow_temporary_run_"
CAMPAIGN = "campaign_id"
"""Key of a run's conf that the nightly DAG sets; not on the form, since no person should."""

NOT_ASKED = frozenset({CAMPAIGN, "openlineage"})
"""Keys that no person sets: ours, and the parent that OpenLineage's provider adds to the conf of a triggered run."""


def squall_run_id(context: Context) -> str:
    """The run that the current DAG run stands for."""
    ti = context["ti"]
    return run_id_of(ti.dag_id, ti.run_id, str(conf_of(context).get(CAMPAIGN) or ""))


def recorder_of(context: Context) -> Recorder:
    """Airflow's ids, host and versions, for the records that this task writes."""
    ti = context["ti"]
    return Recorder(
        dag_id=ti.dag_id,
        dag_run_id=ti.run_id,
        task_id=ti.task_id,
        map_index=-1 if ti.map_index is None else ti.map_index,
        try_number=ti.try_number,
        host=socket.gethostname(),
        squall_version=_version("squall"),
        airflow_version=_version("apache-airflow"),
    )


def task_place(context: Context) -> TaskPlace:
    """This task process, so that a fault can find it and never another one."""
    from chaos_tasks.composition import this_process

    ti = context["ti"]
    return this_process().as_task(dag_id=ti.dag_id, run_id=ti.run_id, task_id=ti.task_id, try_number=ti.try_number)


def conf_of(context: Context) -> dict[str, object]:
    """What the run was triggered with; empty for a scheduled one."""
    run = context["dag_run"]
    return dict(getattr(run, "conf", None) or {})


def overrides_of(context: Context, allowed: Iterable[str]) -> Overrides:
    """The overrides of a run's conf; raises GuardTripped for a key or value that the form does not have.

    Airflow's REST API accepts unknown keys in silence, so a misspelt one would run something else than was meant.
    """
    conf = conf_of(context)
    fields = set(allowed)
    unknown = sorted(set(conf) - fields - NOT_ASKED)
    if unknown:
        raise GuardTripped(
            f"the run's conf has unknown keys: {', '.join(unknown)}",
            remedy=f"use only {', '.join(sorted(fields)) or 'an empty conf'}",
        )
    asked = {key: value for key, value in conf.items() if key in Overrides.model_fields and value is not None}
    try:
        return Overrides.model_validate(asked)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise GuardTripped(f"the run's conf is refused: {where}: {first['msg']}", remedy="mend the value") from None


def requested_by(context: Context) -> str:
    """Who asked for the run: `schedule`, `campaign`, or `user:NAME`."""
    run = context["dag_run"]
    if conf_of(context).get(CAMPAIGN):
        return "campaign"
    kind = str(getattr(run.run_type, "value", run.run_type))
    if kind == "scheduled":
        return "schedule"
    return f"user:{run.triggering_user_name or 'unknown'}"


def refuse_unreal_runs(context: Context) -> None:
    """Raise GuardTripped for runs without a scheduler behind them: nobody would run their teardown."""
    run = context["dag_run"]
    if str(getattr(run.run_type, "value", run.run_type)) == "backfill":
        raise GuardTripped(
            f"{run.dag_id} was started as a backfill", remedy="trigger it instead; a chaos experiment has no past dates"
        )
    if run.run_id.startswith(TEMPORARY_RUN) or sys.argv[1:3] == ["tasks", "test"]:
        raise GuardTripped(
            f"{run.dag_id} was started by `airflow tasks test`, which runs no teardown",
            remedy="trigger the DAG, or use `squall run FILE` without Airflow",
        )


def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return ""
