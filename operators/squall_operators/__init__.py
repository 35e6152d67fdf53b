"""Squall on Apache Airflow: operators, DAG rendering, links and plugin; thin, and nothing of the domain."""
