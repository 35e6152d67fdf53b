"""The Airflow plugin; imported by every Airflow process, so it imports next to nothing."""

from __future__ import annotations

from airflow.plugins_manager import AirflowPlugin

from squall_operators.links import MlflowRunLink, ReportLink


class SquallPlugin(AirflowPlugin):
    """Makes our links known to the UI."""

    name = "squall"
    operator_extra_links = [MlflowRunLink(), ReportLink()]  # noqa: RUF012  Airflow's own attribute, a list
