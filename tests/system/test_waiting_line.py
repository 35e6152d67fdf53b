"""Runs that want the same target wait in line without a slot, and a revert runs whoever else may not."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from chaos_tasks.lab.airflow_server import CONTROL_POOL, CONTROL_SLOTS, WORK_POOL
from chaos_tasks.lab.waiting import wait_until
from chaos_tasks.model.handle import Phase
from chaos_tasks.model.record import RecordKind
from tests.system.conftest import END_S, Lab
from tests.system.test_experiment_dags import squall_id

NOT_STARTED = (None, "scheduled")
FEW = 1
"""Slots for control tasks: fewer than there are runs in line."""


@pytest.fixture
def held(lab: Lab) -> Iterator[Lab]:
    """Trials can be made to stand still; whatever happens, they go on, and the pools have their slots again."""
    slots = lab.api.pools()
    lab.api.ensure_pool(CONTROL_POOL, FEW, "")
    yield lab
    lab.project.hold.unlink(missing_ok=True)
    for name in (WORK_POOL, CONTROL_POOL):
        lab.api.ensure_pool(name, slots[name], "")


def test_a_revert_runs_at_once_with_a_crowd_in_line_and_no_other_slot_free(held: Lab) -> None:
    lab = held
    holder, *others = lab.crowd
    assert len(others) > FEW  # waiting in their tasks, they would have taken all of them
    first = lab.start(holder)
    wait_until(lambda: bool(lab.project.marks()), what="the mark", timeout_s=END_S)
    lab.project.hold.touch()
    runs = {squall_id(run): run for run in map(lab.start, others)}
    in_line = lambda: {place.run_id for place in lab.ledger.waiting()}  # noqa: E731
    wait_until(lambda: in_line() == set(runs), what="everybody in line", timeout_s=END_S, interval_s=0.5)
    for run in runs.values():
        lab.await_task(run, "arm", "deferred")
    order = [place.run_id for place in lab.ledger.waiting()]

    for name in (WORK_POOL, CONTROL_POOL):
        lab.api.ensure_pool(name, 0, "")  # as if tasks that hang had taken every slot
    lab.project.hold.unlink()
    lab.await_task(first, "revert", "success")
    lab.await_task(first, "recovery", "success")
    (handle,) = lab.ledger.handles(run_id=squall_id(first))
    assert (handle.phase, handle.handle.epoch) == (Phase.REVERTED, 1)  # by its task: no sweep had to take it over
    assert lab.project.marks() == []
    assert lab.states(first)["judge"] in NOT_STARTED
    assert all(lab.states(run)["baseline"] in NOT_STARTED for run in runs.values())

    lab.api.ensure_pool(WORK_POOL, 2, "")
    lab.api.ensure_pool(CONTROL_POOL, CONTROL_SLOTS, "")
    ends = [lab.end(run) for run in (first, *runs.values())]
    assert [run.state for run in ends] == ["success"] * len(ends)
    taken = [stored.record.run_id for stored in lab.ledger.records(kinds=(RecordKind.LOCKS_TAKEN,))]
    assert [run_id for run_id in taken if run_id in runs] == order  # nobody was passed
    assert lab.ledger.waiting() == []
