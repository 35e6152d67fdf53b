"""What is looked at in Airflow before a trial of a DAG is planned: that a run could begin, and could end."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from http import HTTPStatus

from pydantic import JsonValue

from chaos_tasks.errors import SetupError
from chaos_tasks.model.target import AirflowDagWorkload, Target
from chaos_tasks.ports import Clients
from chaos_tasks.targets.airflow import AirflowApiError, AirflowClient, Dag, DagTask
from chaos_tasks.workloads.airflow_dag import PLACEHOLDER, fit, schema_of

WORK_POOL = "squall_work"
"""In which Squall's own tasks wait for the DAG."""

SEED = "{seed}"
TIMEOUT_S = 10.0
PARALLELISM = "AIRFLOW__CORE__PARALLELISM"


def check_dag(target: Target, workload: AirflowDagWorkload, clients: Clients) -> Dag:
    """The DAG as Airflow has it; raises SetupError with what would keep a trial from running."""
    dag, tasks, pools = look(workload, clients)
    told = reasons(workload, {**workload.conf, **target.redirected_conf}, dag, tasks, pools)
    why = next(told, None) or no_room(pools, os.environ.get(PARALLELISM, ""))
    if why is not None:
        raise SetupError(why[0], remedy=why[1])
    return dag


def look(workload: AirflowDagWorkload, clients: Clients) -> tuple[Dag, tuple[DagTask, ...], dict[str, int]]:
    """The DAG, its tasks and the pools of its Airflow; raises SetupError where they cannot be read."""
    where, dag_id = workload.connection, workload.dag_id
    client = AirflowClient.told(where.url, clients.environment(where.credentials), timeout_s=TIMEOUT_S)
    try:
        return client.dag(dag_id), client.dag_tasks(dag_id), client.pools()
    except AirflowApiError as error:
        if error.status == HTTPStatus.NOT_FOUND:
            raise SetupError(
                f"the Airflow at {where.url} has no DAG {dag_id!r}",
                remedy="mend workload.dag_id, or see that its file is parsed: `airflow dags list-import-errors`",
            ) from error
        raise SetupError(f"DAG {dag_id} cannot be looked at: {error.message}", remedy=error.remedy) from error


def reasons(
    workload: AirflowDagWorkload,
    conf: Mapping[str, JsonValue],
    dag: Dag,
    tasks: Iterable[DagTask],
    pools: Mapping[str, int],
) -> Iterator[tuple[str, str]]:
    """Each thing that would keep a trial from running, with what to do; pure."""
    name = workload.dag_id
    if dag.has_import_errors:
        yield f"the file of DAG {name} has import errors", "mend it: `airflow dags list-import-errors`"
    if dag.is_stale:
        yield f"DAG {name} is stale: its file was not parsed lately", "see that its file is there and is parsed"
    if dag.is_paused:
        yield f"DAG {name} is paused, so a run of it would wait for ever", f"unpause it: `airflow dags unpause {name}`"
    if workload.attach is not None:
        if dag.schedule in (None, "", "None"):
            yield f"DAG {name} has no schedule, so no run of it will come", "leave out `attach`, or give it a schedule"
        return
    if dag.max_active_runs is not None and dag.active_runs >= dag.max_active_runs:
        remedy = "wait until they end, raise max_active_runs, or give Squall a copy of the DAG without a schedule"
        yield f"{dag.active_runs} runs of {name} are active, and max_active_runs is {dag.max_active_runs}", remedy
    yield from _refused(name, conf, dag.params or {})
    for task in tasks:
        pool = task.pool or "default_pool"
        if pool == WORK_POOL:
            remedy = "give it another pool: there it would wait for the very task that waits for it"
            yield f"task {task.task_id} of {name} is in {WORK_POOL}, in which Squall's own tasks wait", remedy
        if pools.get(pool, 0) == 0:
            yield (
                f"task {task.task_id} of {name} is in pool {pool}, which has no slots",
                f"airflow pools set {pool} 8 x",
            )


def no_room(pools: Mapping[str, int], parallelism: str) -> tuple[str, str] | None:
    """Where Squall's own tasks run in the same Airflow: whether all of its processes could wait for a DAG; pure.

    ``parallelism``: of the executor, as far as this process's environment says it.
    """
    waiting = pools.get(WORK_POOL, 0)
    if not parallelism.isdigit() or waiting < int(parallelism):
        return None
    return (
        f"{WORK_POOL} has {waiting} slots, the executor {parallelism} processes: all may wait for a DAG that needs one",
        f"give {WORK_POOL} fewer slots, or set {PARALLELISM} to more than {waiting}",
    )


def _refused(name: str, conf: Mapping[str, JsonValue], params: Mapping[str, JsonValue]) -> Iterator[tuple[str, str]]:
    """A DAG takes any key in silence, so one that it does not know would redirect nothing.

    One without params may read the conf of its run all the same: that is not seen.
    """
    unknown = sorted(set(conf) - set(params))
    if unknown and params:
        yield (
            f"DAG {name} has no param {', '.join(unknown)}",
            f"its params are: {', '.join(sorted(params))}; mend `conf`",
        )
    for key in sorted(set(conf) & set(params)):
        kinds, allowed = schema_of(params[key])
        if allowed and conf[key] not in allowed and not _has_placeholder(conf[key]):
            yield f"param {key} of DAG {name} takes one of {allowed}, not {conf[key]!r}", "mend `conf`"
        elif kinds and not _fits(conf[key], kinds):
            yield f"param {key} of DAG {name} is of type {' or '.join(sorted(kinds))}, not {conf[key]!r}", "mend `conf`"


def _fits(value: JsonValue, kinds: frozenset[str]) -> bool:
    """Of a text with a placeholder, only what it is filled with is known: {seed} is a whole number."""
    if value == SEED and kinds & {"integer", "number"}:
        return True
    if isinstance(value, str) and not _has_placeholder(value):
        value = fit(value, kinds)
    named = {bool: {"boolean"}, int: {"integer", "number"}, float: {"number"}, str: {"string"}, type(None): {"null"}}
    return bool(kinds & named.get(type(value), {"object", "array"}))


def _has_placeholder(value: JsonValue) -> bool:
    return isinstance(value, str) and PLACEHOLDER.search(value) is not None
