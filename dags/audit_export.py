"""Airflow: the DAG that writes the evidence pack of a period, weekly and on demand."""

from airflow.sdk import DAG, Param

from squall_operators.rendering import CONTROL, UPKEEP, at
from squall_operators.upkeep import ExportAuditOperator


def text(title: str, description: str) -> Param:
    """A field that may stay empty."""
    return Param(None, type=["null", "string"], maxLength=300, title=title, description=description)


FORM = {
    "since": Param(None, type=["null", "string"], format="date", title="From", description="Default: a week ago."),
    "until": Param(None, type=["null", "string"], format="date", title="Until (not included)"),
    "targets": text("Targets", "Names, apart by commas. Empty: all."),
    "owners": text("Owners", "Names, apart by commas. Empty: all."),
    "framework": text("Framework", "Such as dora or nist-800-53. Empty: all."),
    "to": text("Copy to", "A folder, or s3://bucket/prefix."),
}

with DAG("chaos_audit_export", description="Evidence pack", schedule=at("0 6 * * 1"), params=FORM, **UPKEEP) as dag:
    ExportAuditOperator(
        task_id="export", **{name: f"{{{{ params.{name} or '' }}}}" for name in FORM}, retries=2, **CONTROL
    )
