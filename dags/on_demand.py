"""Airflow: the DAG that runs one experiment now.  Choose it in the form; its verdict is this run's verdict."""

from airflow.sdk import DAG

from squall_operators.campaign import WAITING, RunExperimentOperator
from squall_operators.folder import experiment_names
from squall_operators.forms import on_demand_form
from squall_operators.on_demand import ChooseExperimentOperator
from squall_operators.rendering import CONTROL, UPKEEP
from squall_operators.steps import VerdictOperator

form = on_demand_form(experiment_names(__file__))

with DAG("chaos_on_demand", description="One experiment, now", schedule=None, params=form, **UPKEEP) as dag:
    choose = ChooseExperimentOperator(task_id="choose", form_fields=sorted(form), multiple_outputs=True, **CONTROL)
    run = RunExperimentOperator(
        task_id="run",
        trigger_dag_id="{{ ti.xcom_pull(task_ids='choose')['dag_id'] }}",
        trigger_run_id="{{ ti.xcom_pull(task_ids='choose')['dag_run_id'] }}",
        conf=choose.output["conf"],  # type: ignore[index]  # Airflow types a PlainXComArg as its base
        pool=CONTROL["pool"],
        **WAITING,
    )
    (
        choose
        >> run
        >> VerdictOperator(
            task_id="verdict",
            run_id="{{ (ti.xcom_pull(task_ids='choose') or {}).get('run_id', '') }}",
            trigger_rule="all_done",
            **CONTROL,
        )
    )
