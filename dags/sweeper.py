"""Airflow: the DAG that reverts every fault whose lease is over, should its own run be unable to."""

from airflow.sdk import DAG

from squall_operators.rendering import REVERT, UPKEEP, at
from squall_operators.upkeep import SweepHandlesOperator

with DAG("chaos_sweeper", description="Reverts expired faults", schedule=at("*/3 * * * *"), **UPKEEP) as dag:
    SweepHandlesOperator(task_id="sweep", retries=2, **REVERT)
