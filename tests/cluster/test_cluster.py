"""Experiments on Celery: one machine injects, another exercises, a third may revert, and they share no folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chaos_tasks.lab import identities
from chaos_tasks.lab.airflow_api import DagRun
from chaos_tasks.lab.waiting import wait_until
from chaos_tasks.model.record import RecordKind
from chaos_tasks.model.verdict import Outcome
from chaos_tasks.tracking.publisher import EXPERIMENT
from squall_operators.run_ids import run_id_of
from tests.cluster.running import ACTS, WORKLOADS, ClusterLab

if TYPE_CHECKING:
    from mlflow.entities import Run


def logged(lab: ClusterLab, run_id: str) -> Run:
    """What MLflow's server has of a judged run."""
    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=lab.state.mlflow_ui_url)
    experiment = client.get_experiment_by_name(EXPERIMENT)
    assert experiment is not None
    condition = f"tags.`squall.run_id` = '{run_id}' and tags.`squall.kind` = 'experiment'"
    (found,) = client.search_runs([experiment.experiment_id], condition)
    return found


def test_workload_runs_on_another_machine_than_the_fault_is_injected_and_reverted_from(
    lab: ClusterLab, apart: DagRun
) -> None:
    run_id = run_id_of(apart.dag_id, apart.run_id)
    verdict = lab.verdict(run_id)
    assert verdict is not None
    assert (apart.state, verdict.outcome) == ("success", Outcome.HELD)
    assert lab.hosts(run_id, {RecordKind.FAULT_ARMED, *ACTS}) == {"control"}
    assert lab.hosts(run_id, WORKLOADS) == {"work-2"}
    assert lab.left_in(run_id) == []
    assert lab.marks() == []
    assert list((lab.project.home / "machines" / "home").rglob(f"*{run_id}*")) == []  # no folder is shared


def test_artifacts_of_a_judged_run_are_in_the_bucket_of_mlflow_and_in_no_folder_of_the_lab(
    lab: ClusterLab, apart: DagRun
) -> None:
    judged = logged(lab, run_id_of(apart.dag_id, apart.run_id))
    kept = {
        key.rpartition("/")[2]
        for key in lab.objects(identities.MLFLOW_BUCKET)
        if f"/{judged.info.run_id}/artifacts/" in key
    }
    assert {"plan.json", "verdict.json", "ledger.jsonl", "checks.html"} <= kept
    assert judged.info.artifact_uri.startswith("mlflow-artifacts:")
    assert [path for path in lab.project.home.rglob("*") if path.name in (judged.info.run_id, "checks.html")] == []


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
