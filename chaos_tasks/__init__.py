"""Squall's domain: faults, trials, verdicts and evidence for machine-learning pipelines.  It knows no Airflow."""

__version__ = "0.1.0"
