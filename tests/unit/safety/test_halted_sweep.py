"""While the lever is pulled the sweeper takes out what is in, leases or not, once its run had the time to do it."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from chaos_tasks.errors import RevertError
from chaos_tasks.model.handle import Phase
from chaos_tasks.neighbours import NEIGHBOUR_S
from chaos_tasks.safety.guards import own_beat
from chaos_tasks.safety.lever import ITS_OWN_WAY_S, WHO, Lever
from tests.unit.far_process import far_pause
from tests.unit.toy_project import HEALTHY, HURT, ToyProject, register, request


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ToyProject:
    """A toy whose fault is in, under a lease of a minute, and a lever that another host has pulled."""
    project = ToyProject(tmp_path / "home")
    register(monkeypatch, project.fault)
    engine = project.engine()
    engine.arm(request())
    engine.inject("run-1")
    Lever(tmp_path / "other", project.ledger, project.clock).pull("enough", by="kim@other")
    return project


def test_first_the_run_may_do_it_itself_then_the_sweeper_does(toy: ToyProject) -> None:
    assert toy.sweeper().sweep() == ()
    assert toy.word() == HURT
    toy.clock.advance(ITS_OWN_WAY_S + 1)
    (swept,) = toy.sweeper().sweep()
    assert swept.reverted
    assert toy.word() == HEALTHY
    by = [getattr(one.record.payload, "by", "") for one in toy.ledger.records(run_id="run-1")]
    assert WHO in by


def test_what_could_not_be_reverted_is_not_tried_at_every_look(toy: ToyProject) -> None:
    toy.clock.advance(ITS_OWN_WAY_S + 1)
    toy.fault.trouble["revert"] = RevertError("stuck")
    (swept,) = toy.sweeper().sweep()
    assert not swept.reverted
    assert toy.sweeper().sweep() == ()
    assert [state.phase for state in toy.ledger.handles()] == [Phase.UNREVERTED]


def test_a_process_of_another_host_is_left_to_the_sweeper_there(toy: ToyProject) -> None:
    """From here it cannot be seen: a try would only take it away from who could let it go on, and page somebody."""
    far_pause(toy, "elsewhere", run_id="far", lease_s=600)
    toy.ledger.beat(own_beat("elsewhere"))
    toy.clock.advance(ITS_OWN_WAY_S + 1)
    assert [one.handle_id for one in toy.sweeper().sweep()] == ["run-1/write"]
    assert toy.ledger.handles(phases=[Phase.UNREVERTED]) == []
    toy.clock.advance(NEIGHBOUR_S + 1)  # it is silent by now
    assert [one.handle_id for one in toy.sweeper().sweep()] == ["far/pause"]
    assert [state.phase for state in toy.ledger.handles(run_id="far")] == [Phase.UNREVERTED]


def test_a_heartbeat_from_the_future_keeps_nobody_waiting(toy: ToyProject, monkeypatch: pytest.MonkeyPatch) -> None:
    """The database's clock was put back: it would look fresh for hours, of a host that may be dead."""
    far_pause(toy, "elsewhere", run_id="far", lease_s=600)
    toy.clock.advance(ITS_OWN_WAY_S + 1)
    tomorrow = toy.ledger.now() + timedelta(days=1)
    monkeypatch.setattr(toy.ledger, "last_beat", lambda who: tomorrow if who == own_beat("elsewhere") else None)
    assert {one.handle_id for one in toy.sweeper().sweep()} == {"run-1/write", "far/pause"}


def test_who_pulls_the_lever_leaves_it_too(toy: ToyProject) -> None:
    far_pause(toy, "elsewhere", run_id="far", lease_s=600)
    toy.ledger.beat(own_beat("elsewhere"))
    sweeper = toy.sweeper()
    assert [state.handle.id for state in sweeper.elsewhere()] == ["far/pause"]
    assert [one.handle_id for one in sweeper.halted(by="person")] == ["run-1/write"]
    assert [state.phase for state in toy.ledger.handles(run_id="far")] == [Phase.INJECTED]


def test_what_the_sweeper_there_could_not_put_back_is_tried_from_here_and_so_told(toy: ToyProject) -> None:
    """It would wait for as long as the tries are apart; whoever pulls the lever must hear of it now."""
    handle = far_pause(toy, "elsewhere", run_id="far", lease_s=600)
    toy.clock.advance(ITS_OWN_WAY_S + 1)
    assert "far/pause" in {one.handle_id for one in toy.sweeper().sweep()}
    assert [state.handle.id for state in toy.ledger.handles(phases=[Phase.UNREVERTED])] == [handle.id]
    toy.ledger.beat(own_beat("elsewhere"))
    assert toy.sweeper().elsewhere() == ()
    assert [(one.handle_id, one.reverted) for one in toy.sweeper().halted(by="person")] == [("far/pause", False)]


def test_released_in_time_nothing_is_swept(toy: ToyProject, tmp_path: Path) -> None:
    Lever(tmp_path / "other", toy.ledger, toy.clock).release(by="kim@other")
    toy.clock.advance(ITS_OWN_WAY_S + 1)
    assert toy.sweeper().sweep() == ()
    assert toy.word() == HURT
