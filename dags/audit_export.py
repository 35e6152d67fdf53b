"""Airflow: the DAG that writes the audit report of a period, weekly and on demand."""

from airflow.sdk import DAG, Param

from squall_operators.rendering import CONTROL, UPKEEP, at
from squall_operators.upkeep import ExportAuditOperator

PERIOD = {
    "since": Param(None, type=["null", "string"], format="date", title="From", description="Default: a week ago."),
    "until": Param(None, type=["null", "string"], format="date", title="Until (not included)"),
}

with DAG("chaos_audit_export", description="Audit report", schedule=at("0 6 * * 1"), params=PERIOD, **UPKEEP) as dag:
    ExportAuditOperator(
        task_id="export", since="{{ params.since or '' }}", until="{{ params.until or '' }}", retries=2, **CONTROL
    )
