"""One cluster for all tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from chaos_tasks.lab import machine
from tests.cluster.running import ClusterLab, cluster_lab


@pytest.fixture(scope="package")
def lab() -> Iterator[ClusterLab]:
    """A control machine and two work machines."""
    if not machine.available():
        pytest.skip("this user may make no Linux namespaces here")
    with cluster_lab() as running:
        yield running
