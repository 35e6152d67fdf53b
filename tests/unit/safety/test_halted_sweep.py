"""While the lever is pulled the sweeper takes out what is in, leases or not, once its run had the time to do it."""

from __future__ import annotations

from pathlib import Path

import pytest

from chaos_tasks.errors import RevertError
from chaos_tasks.model.handle import Phase
from chaos_tasks.safety.lever import ITS_OWN_WAY_S, WHO, Lever
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


def test_released_in_time_nothing_is_swept(toy: ToyProject, tmp_path: Path) -> None:
    Lever(tmp_path / "other", toy.ledger, toy.clock).release(by="kim@other")
    toy.clock.advance(ITS_OWN_WAY_S + 1)
    assert toy.sweeper().sweep() == ()
    assert toy.word() == HURT
