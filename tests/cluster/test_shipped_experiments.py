"""The product's own experiments on Celery: one of each family of faults."""

from __future__ import annotations

import pytest

from chaos_tasks.model.handle import Phase
from squall_operators.run_ids import run_id_of
from tests.cluster.running import ACTS, WORKLOADS, ClusterLab
from tests.cluster.shipped import EXERCISED_ON, SHIPPED, Shipped


@pytest.mark.parametrize("shipped", SHIPPED, ids=lambda one: f"{one.family}-{one.name}")
def test_shipped_experiment_comes_out_as_on_one_machine_and_is_reverted(shipped: Shipped, lab: ClusterLab) -> None:
    with lab.only(EXERCISED_ON):
        run = lab.end(lab.start(shipped.name, {"seeds": shipped.seeds} if shipped.seeds else None))
    run_id = run_id_of(run.dag_id, run.run_id)
    verdict = lab.verdict(run_id)
    assert verdict is not None
    assert verdict.outcome is shipped.outcome, verdict.sentence
    assert lab.hosts(run_id, WORKLOADS) == {EXERCISED_ON}
    assert lab.hosts(run_id, ACTS) == {shipped.reverted_on}
    assert {state.phase for state in lab.ledger.handles(run_id=run_id)} == {Phase.REVERTED}
