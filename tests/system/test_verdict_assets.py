"""A DAG that waits for a verdict starts after a good one, knows whose it is, and hears of no other."""

from __future__ import annotations

import pytest

from chaos_tasks.lab.airflow_api import DagRun, TaskState
from chaos_tasks.lab.waiting import wait_until
from chaos_tasks.model.record import RecordKind
from squall_operators.run_ids import run_id_of
from tests.system.conftest import END_S, Lab

WAITS = "promote_tiny"


@pytest.fixture(autouse=True)
def _parsed(lab: Lab) -> None:
    wait_until(lambda: WAITS in lab.api.dag_ids(), what="the DAG that waits", timeout_s=90)


def test_a_promotion_starts_after_a_verdict_that_held_and_knows_the_run(lab: Lab) -> None:
    run = lab.end(lab.start("healthy"))
    assert run.state == "success"
    run_id = run_id_of(run.dag_id, run.run_id)
    promoted = lab.end(_started_by(lab, run_id))
    assert promoted.state == "success"
    assert lab.api.xcom(WAITS, promoted.run_id, "promote") == run_id
    (event,) = [one for one in lab.api.asset_events(run.dag_id) if one.source_run_id == run.run_id]
    (record,) = lab.ledger.records(run_id=run_id, kinds=[RecordKind.EVALUATE_VERDICT])
    assert (event.name, event.source_task_id) == ("squall://verdict/tiny/healthy", "verdict")
    assert event.extra is not None
    told = {key: event.extra[key] for key in ("outcome", "as_written", "record_seq", "record_sha256")}
    assert told == {
        "outcome": "held", "as_written": True, "record_seq": record.seq, "record_sha256": record.leaf_sha256
    }  # fmt: skip


def test_nothing_is_told_of_a_run_that_did_not_hold_nor_when_its_task_is_marked(lab: Lab) -> None:
    run = lab.end(lab.start("inject-fails"))
    assert lab.states(run)["verdict"] == "failed"
    lab.api.set_task_state(run.dag_id, run.run_id, "verdict", TaskState.SUCCESS)
    assert lab.states(run)["verdict"] == "success"
    assert lab.api.asset_events(run.dag_id) == ()


def test_nothing_is_told_of_a_run_that_asked_something_else_than_the_file_says(lab: Lab) -> None:
    run = lab.end(lab.start("healthy", {"intensity": 0.05}))
    assert run.state == "success"
    assert [one for one in lab.api.asset_events(run.dag_id) if one.source_run_id == run.run_id] == []


def test_a_verdict_that_is_told_again_names_the_same_run(lab: Lab) -> None:
    run = lab.end(lab.start("healthy"))
    lab.api.clear(run.dag_id, run.run_id, ["verdict"], downstream=False)
    lab.end(run)
    told = [one for one in lab.api.asset_events(run.dag_id) if one.source_run_id == run.run_id]
    assert len(told) == 2
    assert told[0].extra == told[1].extra


def _started_by(lab: Lab, run_id: str) -> DagRun:
    """The run of the waiting DAG that this verdict has started."""
    wait_until(lambda: bool(lab.api.runs(WAITS)), what=f"a run of {WAITS}", timeout_s=END_S)

    def found() -> DagRun | None:
        ended = [lab.end(one) for one in lab.api.runs(WAITS)]
        return next((one for one in ended if lab.api.xcom(WAITS, one.run_id, "promote") == run_id), None)

    wait_until(lambda: found() is not None, what=f"the promotion of {run_id}", timeout_s=END_S)
    run = found()
    assert run is not None
    return run
