"""Experiments on Celery: one machine injects, another exercises, a third may revert, and they share no folder."""

from __future__ import annotations

from chaos_tasks.lab.waiting import wait_until
from chaos_tasks.model.record import RecordKind
from chaos_tasks.model.verdict import Outcome
from squall_operators.run_ids import run_id_of
from tests.cluster.running import ClusterLab

WORKLOADS = {RecordKind.TRIAL_STARTED, RecordKind.TRIAL_ENDED}
ACTS = {RecordKind.FAULT_ARMED, RecordKind.INJECT_APPLIED, RecordKind.REVERT_VERIFIED}


def hosts(lab: ClusterLab, run_id: str, kinds: set[RecordKind]) -> set[str]:
    """Which machines wrote a run's records of these kinds."""
    return {one.record.recorder.host for one in lab.ledger.records(run_id=run_id) if one.record.kind in kinds}


def test_workload_runs_on_another_machine_than_the_fault_is_injected_and_reverted_from(lab: ClusterLab) -> None:
    with lab.only("work-2"):
        run = lab.end(lab.start("healthy"))
    run_id = run_id_of(run.dag_id, run.run_id)
    verdict = lab.verdict(run_id)
    assert verdict is not None
    assert (run.state, verdict.outcome) == ("success", Outcome.HELD)
    assert hosts(lab, run_id, ACTS) == {"control"}
    assert hosts(lab, run_id, WORKLOADS) == {"work-2"}
    assert lab.left_in(run_id) == []
    assert lab.marks() == []
    assert list((lab.project.home / "machines" / "home").iterdir()) == []  # no folder is shared


def test_machine_that_dies_under_its_workload_leaves_nothing_in(lab: ClusterLab) -> None:
    lab.project.slow.touch()
    try:
        with lab.only("work-1"):
            run = lab.start("healthy")
            lab.await_task(run, "exercise")
        wait_until(lambda: lab.host_of(run, "exercise") == "work-1", what="exercise on work-1", timeout_s=30)
    finally:
        lab.project.slow.unlink()
    lab.machines["work-1"].kill()
    run = lab.end(run)
    run_id = run_id_of(run.dag_id, run.run_id)
    assert RecordKind.REVERT_VERIFIED in lab.records(run_id)
    assert lab.left_in(run_id) == []
    assert lab.verdict(run_id) is not None
    assert lab.host_of(run, "exercise") == "work-2"
