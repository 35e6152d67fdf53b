"""One cluster for all tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from chaos_tasks.lab import machine
from chaos_tasks.lab.airflow_api import DagRun
from tests.cluster.running import ClusterLab, cluster_lab


@pytest.fixture(scope="package")
def lab() -> Iterator[ClusterLab]:
    """A control machine and two work machines, with the product's own experiments."""
    if not machine.available():
        pytest.skip("this user may make no Linux namespaces here")
    with cluster_lab(with_shipped=True) as running:
        yield running


@pytest.fixture(scope="package")
def apart(lab: ClusterLab) -> DagRun:
    """A run that has ended, whose workload was on another machine than its fault was injected and reverted from."""
    with lab.only("work-2"):
        return lab.end(lab.start("healthy"))
