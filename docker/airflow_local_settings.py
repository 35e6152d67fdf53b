"""Airflow reads its cluster policy from here: control tasks go to the control queue."""

from squall_operators.routing import task_policy

__all__ = ["task_policy"]
