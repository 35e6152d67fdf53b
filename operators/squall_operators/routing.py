"""Airflow's cluster policy: control tasks go to the control queue, so that a revert never waits behind a workload.

A pool limits how many tasks run; only a queue with a worker of its own makes sure that one of them finds a process.
"""

from __future__ import annotations

from typing import Any

CONTROL_POOL = "squall_control"
CONTROL_QUEUE = "squall_control"


def task_policy(task: Any) -> None:
    """Called for each task of each DAG when it is parsed."""
    if task.pool != CONTROL_POOL and not getattr(task, "from_control", False):
        return
    if getattr(task, "is_mapped", False):
        task.partial_kwargs["queue"] = CONTROL_QUEUE
    else:
        task.queue = CONTROL_QUEUE
