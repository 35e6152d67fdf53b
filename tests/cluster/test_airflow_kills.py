"""Rows of `make airflow-kills` that are played with the suite, on Celery."""

from __future__ import annotations

import pytest

from tests.airflow_kills.playing import play
from tests.airflow_kills.quick import QUICK
from tests.airflow_kills.rows import Row
from tests.airflow_kills.stacks import CeleryStack
from tests.cluster.running import ClusterLab


@pytest.mark.parametrize("row", QUICK)
def test_what_was_in_is_out_and_the_run_ends_as_promised(row: Row, lab: ClusterLab) -> None:
    assert play(CeleryStack(lab), row).wrong == ()
