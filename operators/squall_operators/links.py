"""Links from a task to what it left behind; read from XCom, so that the UI imports nothing of ours."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.sdk import BaseOperatorLink

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator
    from airflow.sdk.types import TaskInstanceKey

MLFLOW_URL = "mlflow_url"
REPORT_URL = "report_url"


def _from_xcom(ti_key: TaskInstanceKey, key: str) -> str:
    from airflow.sdk.execution_time.xcom import XCom

    value = XCom.get_value(ti_key=ti_key, key=key)
    return value if isinstance(value, str) else ""


class MlflowRunLink(BaseOperatorLink):
    """The run's page in MLflow."""

    name = "MLflow run"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """Empty until the run is published."""
        return _from_xcom(ti_key, MLFLOW_URL)


class ReportLink(BaseOperatorLink):
    """The report that a person reads first."""

    name = "Report"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """Empty until the report is written."""
        return _from_xcom(ti_key, REPORT_URL)
