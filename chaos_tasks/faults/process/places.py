"""Narrow a place to the one that a fault acts on."""

from __future__ import annotations

from chaos_tasks.errors import FaultError
from chaos_tasks.model.place import Place, ProcessPlace, TaskPlace
from chaos_tasks.targets.process import ProcessIdentity, host, pid_namespace


def process_place(place: Place) -> ProcessPlace:
    """Raises FaultError for any other place, and for a process of another host or container, which is not seen here."""
    if isinstance(place, ProcessPlace):
        _refuse_unseen(place)
        return place
    raise FaultError(f"{place.key} is no process", remedy="let the step fire during the workload, on target `workload`")


def task_place(place: Place) -> TaskPlace:
    """Raises FaultError for any other place, and for a task of another host or container, which is not seen here."""
    if isinstance(place, TaskPlace):
        _refuse_unseen(place)
        return place
    raise FaultError(f"{place.key} is no Airflow task", remedy="run the experiment as a DAG, with target `task`")


def _refuse_unseen(place: ProcessPlace | TaskPlace) -> None:
    """An empty look must not prove that nothing is in."""
    if place.host != host():
        raise FaultError(
            f"process {place.pid} runs on {place.host}; from {host()} it can be neither seen nor ended",
            remedy=f"run the same command on {place.host}, where its sweeper watches",
        )
    if ProcessIdentity.of_place(place).is_beside():
        raise FaultError(
            f"process {place.pid} runs on {place.host} in another table of processes (pid namespace "
            f"{place.pid_namespace}); from this one ({pid_namespace()}) it can be neither seen nor ended",
            remedy="run the same command in the container that started it, or let both share one table of processes",
        )
