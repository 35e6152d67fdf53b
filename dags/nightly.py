"""Airflow: the DAG of the night.  Runs every nightly experiment in a DAG run of its own, then says what came out."""

from airflow.sdk import DAG

from squall_operators.campaign import WAITING, PlanCampaignOperator, RunExperimentOperator, SummariseCampaignOperator
from squall_operators.folder import settings_near
from squall_operators.rendering import CONTROL, UPKEEP, at

with DAG("chaos_nightly", description="All nightly experiments", schedule=at("0 2 * * *"), **UPKEEP) as dag:
    plan = PlanCampaignOperator(task_id="plan", retries=2, **CONTROL)
    run = RunExperimentOperator.partial(
        task_id="run",
        pool=CONTROL["pool"],
        max_active_tis_per_dagrun=settings_near(__file__).max_parallel_experiments,  # counts deferred ones too
        map_index_template="{{ task.trigger_dag_id }}",
        **WAITING,
    ).expand_kwargs(plan.output)
    run >> SummariseCampaignOperator(
        task_id="summarise",
        campaign_id="{{ ti.xcom_pull(task_ids='plan', key='campaign_id') }}",
        trigger_rule="all_done",
        retries=2,
        **CONTROL,
    )
