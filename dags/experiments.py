"""Airflow: one DAG per experiment file in the experiments folder."""

from squall_operators.folder import experiment_dags

globals().update(experiment_dags(__file__))
