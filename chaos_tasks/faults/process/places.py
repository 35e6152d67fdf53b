"""Narrow a place to the one that a fault acts on."""

from __future__ import annotations

from chaos_tasks.errors import FaultError
from chaos_tasks.model.place import Place, ProcessPlace, TaskPlace


def process_place(place: Place) -> ProcessPlace:
    """Raises FaultError for any other place."""
    if isinstance(place, ProcessPlace):
        return place
    raise FaultError(f"{place.key} is no process", remedy="let the step fire during the workload, on target `workload`")


def task_place(place: Place) -> TaskPlace:
    """Raises FaultError for any other place."""
    if isinstance(place, TaskPlace):
        return place
    raise FaultError(f"{place.key} is no Airflow task", remedy="run the experiment as a DAG, with target `task`")
