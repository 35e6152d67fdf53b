"""End the DAG runs that a trial asked for, their tasks included: the DAG's part of fencing."""

from __future__ import annotations

import signal
from collections.abc import Callable
from http import HTTPStatus

from chaos_tasks.errors import WorkloadError
from chaos_tasks.ports import Clients, Clock
from chaos_tasks.targets.airflow import AirflowApiError, AirflowClient
from chaos_tasks.targets.process import ProcessIdentity
from chaos_tasks.workloads.dag_sight import TrySeen, process_here
from chaos_tasks.workloads.journal import Asked, Journal, Over

TASKS_END_S = 15.0
"""Airflow's worker hears of it with its next heartbeat, five seconds by default; then the process is killed."""

DIES_S = 5.0
"""A process that was sent SIGKILL may still have to give back its memory."""

LATE_S = 1.0
"""A request that was under way when its watcher was killed has arrived by then."""

ANSWER_S = 10.0
POLL_S = 0.1


def end_dag_runs(journal: Journal, make_clients: Callable[[], Clients], clock: Clock) -> int:
    """End every run that the journal knows and that is not over; returns how many still went on.

    Raises WorkloadError naming the run when Airflow did not let it be ended; the journal keeps it for the next try.
    """
    ended = 0
    for asked in journal.dag_runs_under_way():
        try:
            told = make_clients().environment(asked.dag.credentials)
            ended += _end(AirflowClient.told(asked.dag.url, told, timeout_s=ANSWER_S), asked, clock)
        except AirflowApiError as error:
            raise WorkloadError(
                f"DAG run {asked.run_id} of {asked.dag.dag_id} could not be ended: {error.message}",
                remedy="the sweeper tries it again; or mark it failed in Airflow",
            ) from error
        journal.append(Over(at=clock.now(), run_id=asked.run_id))
    return ended


def _end(client: AirflowClient, asked: Asked, clock: Clock) -> int:
    if not _is_there(client, asked):
        clock.sleep(LATE_S)
        if not _is_there(client, asked):
            return 0
    dag_id, run_id = asked.dag.dag_id, asked.run_id
    under_way = not client.run(dag_id, run_id).finished
    processes = _processes(client, dag_id, run_id)
    if under_way:
        client.set_run_state(dag_id, run_id, "failed")
        processes += [one for one in _processes(client, dag_id, run_id) if one not in processes]
    _await_end(processes, clock)
    return int(under_way)


def _is_there(client: AirflowClient, asked: Asked) -> bool:
    try:
        client.run(asked.dag.dag_id, asked.run_id)
    except AirflowApiError as error:
        if error.status == HTTPStatus.NOT_FOUND:
            return False
        raise
    return True


def _processes(client: AirflowClient, dag_id: str, run_id: str) -> list[ProcessIdentity]:
    """Of its tasks that run on this host; those elsewhere end by Airflow's own doing."""
    running = [one for one in client.task_instances(dag_id, run_id) if one.state == "running"]
    found = [process_here(TrySeen.of(one)) for one in running]
    return [one for one in found if one is not None]


def _await_end(processes: list[ProcessIdentity], clock: Clock) -> None:
    if not _gone_within(TASKS_END_S, processes, clock):
        for one in processes:
            one.send(signal.SIGKILL)
        _gone_within(DIES_S, processes, clock)


def _gone_within(seconds: float, processes: list[ProcessIdentity], clock: Clock) -> bool:
    deadline = clock.monotonic() + seconds
    while any(one.is_alive() for one in processes):
        if clock.monotonic() > deadline:
            return False
        clock.sleep(POLL_S)
    return True
