"""Airflow: no DAG of its own, but one import error for all experiment files that are broken.

Airflow marks every DAG of a file with an import error as stale: this keeps the error apart from the sound experiments.
"""

from squall_operators.folder import raise_for_broken_files

raise_for_broken_files(__file__)
