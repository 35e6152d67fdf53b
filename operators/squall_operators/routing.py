"""Airflow's cluster policy: control tasks and reverts go to queues of their own, so that neither waits for a workload.

A pool limits how many tasks run; only a queue with a worker of its own makes sure that one of them finds a process.
"""

from __future__ import annotations

from typing import Any

CONTROL_QUEUE = "squall_control"
QUEUES = {"squall_control": CONTROL_QUEUE, "squall_revert": "squall_revert"}
"""By pool."""


def task_policy(task: Any) -> None:
    """Called for each task of each DAG when it is parsed."""
    queue = CONTROL_QUEUE if getattr(task, "from_control", False) else QUEUES.get(task.pool)
    if queue is None:
        return
    if getattr(task, "is_mapped", False):
        task.partial_kwargs["queue"] = queue
    else:
        task.queue = queue
