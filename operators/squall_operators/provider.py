"""What `airflow providers` shows about us."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version


def get_provider_info() -> dict[str, object]:
    """The entry point `apache_airflow_provider`."""
    try:
        versions = [version("squall")]
    except PackageNotFoundError:
        versions = []
    return {
        "package-name": "squall",
        "name": "Squall",
        "description": "Chaos experiments against machine-learning pipelines.",
        "versions": versions,
        "notifications": ["squall_operators.notifying.SquallNotifier"],
        "extra-links": ["squall_operators.links.MlflowRunLink", "squall_operators.links.ReportLink"],
    }
