"""A process in another container of this host is put back by the sweeper there, and is in until then."""

from __future__ import annotations

from pathlib import Path

import pytest

from chaos_tasks.model.handle import Phase
from chaos_tasks.targets import process
from chaos_tasks.targets.process import ProcessIdentity, host, pid_namespace
from tests.unit.far_process import far_pause
from tests.unit.toy_project import ToyProject

LEASE_S = 60.0


@pytest.fixture
def toy(tmp_path: Path) -> ToyProject:
    """A toy with a paused process that has ended by now, in a table of processes beside this one."""
    made = ToyProject(tmp_path / "home")
    there = ProcessIdentity.mine().model_copy(update={"pid_namespace": pid_namespace() + 1, "pid": 2**22 + 1})
    far_pause(made, host(), run_id="far", lease_s=LEASE_S, there=there)
    return made


def phase(toy: ToyProject) -> Phase:
    (state,) = toy.ledger.handles()
    return state.phase


def test_a_sweeper_says_once_that_it_does_not_see_it_and_leaves_it_to_the_one_there(
    toy: ToyProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    toy.clock.advance(LEASE_S + 1)
    (swept,) = toy.sweeper().sweep()
    assert "another table of processes" in swept.summary
    toy.clock.advance(10 * LEASE_S)
    assert toy.sweeper().sweep() == ()
    assert phase(toy) is Phase.UNREVERTED
    with monkeypatch.context() as there:
        there.setattr(process, "pid_namespace", lambda: pid_namespace() + 1)
        (swept,) = toy.sweeper().sweep()
    assert swept.reverted


def test_a_container_that_was_started_anew_knows_that_what_ran_in_it_has_ended(
    toy: ToyProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    began = process._start_time
    later = ProcessIdentity.mine().start_time + 1
    monkeypatch.setattr(process, "_start_time", lambda pid: later if pid == process.FIRST_PID else began(pid))
    toy.clock.advance(LEASE_S + 1)
    (swept,) = toy.sweeper().sweep()
    assert swept.reverted


def test_where_the_first_process_cannot_be_looked_at_nothing_is_taken_for_ended(
    toy: ToyProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where /proc is mounted with `hidepid` and the sweeper is not root."""
    began = process._start_time
    monkeypatch.setattr(process, "_start_time", lambda pid: None if pid == process.FIRST_PID else began(pid))
    toy.clock.advance(LEASE_S + 1)
    (swept,) = toy.sweeper().sweep()
    assert not swept.reverted
