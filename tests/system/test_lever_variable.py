"""The Airflow Variable `squall_halt`, under the real scheduler: it stops what runs and refuses what comes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from chaos_tasks.clock import SystemClock
from chaos_tasks.errors import GuardTripped
from chaos_tasks.lab.airflow_api import DagRun
from chaos_tasks.model.record import Note, RecordKind
from chaos_tasks.model.verdict import Outcome
from chaos_tasks.safety.lever import LOG, Lever, in_ledger
from squall_operators.halting import VARIABLE
from squall_operators.run_ids import run_id_of
from tests.system.conftest import Lab


@pytest.fixture
def slow(lab: Lab) -> Iterator[Lab]:
    """Trials take ten seconds; the lever is released afterwards."""
    lab.project.slow.touch()
    yield lab
    lab.project.slow.unlink(missing_ok=True)
    lab.api.delete_variable(VARIABLE)
    Lever(lab.project.home, lab.ledger, SystemClock()).release(by="tests", everywhere=True)


def run_id(run: DagRun) -> str:
    return run_id_of(run.dag_id, run.run_id)


def test_it_stops_a_running_experiment_and_refuses_the_next_until_it_is_removed(slow: Lab) -> None:
    lab = slow
    run = lab.start("healthy")
    lab.await_task(run, "exercise")
    lab.api.set_variable(VARIABLE, "somebody is nervous")
    run = lab.end(run)
    assert run.state == "failed"
    verdict = lab.verdict(run_id(run))
    assert verdict is not None
    assert verdict.outcome is Outcome.ABORTED
    assert "somebody is nervous" in verdict.sentence
    assert lab.left_in(run_id(run)) == []
    assert lab.project.marks() == []

    lab.project.slow.unlink()
    refused = lab.end(lab.start("healthy"))
    assert refused.state == "failed"
    assert lab.verdict(run_id(refused)) is None
    assert RecordKind.RUN_REFUSED in lab.records(run_id(refused))
    with pytest.raises(GuardTripped, match="somebody is nervous"):  # a process outside of Airflow obeys too
        Lever(lab.project.home, lab.ledger, SystemClock()).check()

    lab.api.delete_variable(VARIABLE)
    assert lab.end(lab.start("healthy")).state == "success"
    assert in_ledger(lab.ledger) == ()
    kinds = (RecordKind.LEVER_PULLED, RecordKind.LEVER_RELEASED)
    told = [one.record for one in lab.ledger.records(run_id=LOG, kinds=kinds)]
    assert [one.kind for one in told] == list(kinds)
    assert all(isinstance(one.payload, Note) and VARIABLE in str(one.payload.facts["handle"]) for one in told)
