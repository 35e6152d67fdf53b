"""Narrow a place to the one that a fault acts on."""

from __future__ import annotations

from chaos_tasks.errors import FaultError
from chaos_tasks.model.place import Place, ProcessPlace, TaskPlace
from chaos_tasks.targets.process import host


def process_place(place: Place) -> ProcessPlace:
    """Raises FaultError for any other place, and for a process of another host: from here nothing is seen of it."""
    if isinstance(place, ProcessPlace):
        if place.host != host():
            raise FaultError(
                f"process {place.pid} runs on {place.host}; from {host()} it can be neither seen nor ended",
                remedy=f"run the same command on {place.host}, where its sweeper watches",
            )
        return place
    raise FaultError(f"{place.key} is no process", remedy="let the step fire during the workload, on target `workload`")


def task_place(place: Place) -> TaskPlace:
    """Raises FaultError for any other place."""
    if isinstance(place, TaskPlace):
        return place
    raise FaultError(f"{place.key} is no Airflow task", remedy="run the experiment as a DAG, with target `task`")
