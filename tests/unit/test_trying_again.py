"""What a sweep could not undo it tries again, less and less often; a person's try, and the own host's, come at once."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from chaos_tasks.errors import RevertError
from chaos_tasks.model.handle import Phase
from chaos_tasks.model.plan import Recorder
from chaos_tasks.model.record import RecordKind
from chaos_tasks.notifying import notices
from chaos_tasks.targets.process import host
from tests.unit.far_process import far_pause
from tests.unit.toy_project import HEALTHY, ToyProject, register, request

ID = "run-1/write"


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ToyProject:
    """A fault is in, its run is dead, and its undo fails."""
    project = ToyProject(tmp_path / "home")
    register(monkeypatch, project.fault)
    project.engine().arm(request())
    project.engine().inject("run-1")
    project.fault.trouble["revert"] = RevertError("the server is away")
    project.clock.advance(61)
    return project


def minutes_of_tries(toy: ToyProject, minutes: int) -> list[int]:
    """When a sweeper that is started anew each minute has tried."""
    return [minute for minute in range(minutes) if (toy.sweeper().sweep(), toy.clock.advance(60))[0]]


def test_tries_grow_apart_up_to_an_hour_whoever_sweeps(toy: ToyProject) -> None:
    tries = minutes_of_tries(toy, 300)
    gaps = [later - earlier for earlier, later in pairwise(tries)]
    assert gaps == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert toy.kinds().count(RecordKind.REVERT_INTENT) == len(tries)


def test_a_person_tries_at_once_and_the_notice_says_when_the_sweep_does(toy: ToyProject) -> None:
    minutes_of_tries(toy, 20)
    state = toy.ledger.handle(ID)
    assert state is not None
    assert state.lease_until > toy.clock.now()
    text = notices.unreverted(toy.ledger, state, at=toy.clock.now()).text
    assert f"by the sweep, from {state.lease_until:%Y-%m-%d %H:%M:%S} UTC on" in text
    toy.fault.trouble.clear()
    assert toy.sweeper().sweep() == ()
    assert toy.sweeper().one(ID, by="person").reverted
    assert toy.word() == HEALTHY


def test_a_host_that_comes_back_tries_at_once_what_others_could_not(
    toy: ToyProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its processes were out of reach for hours, and are seen only here."""
    toy.fault.trouble.clear()
    toy.sweeper().sweep()
    far_pause(toy, host(), run_id="far", lease_s=600)
    toy.clock.advance(601)
    with monkeypatch.context() as there:
        for module in ("sweeping", "faults.process.places"):
            there.setattr(f"chaos_tasks.{module}.host", lambda: "elsewhere")
        for _ in range(30):
            replace(toy.sweeper(), recorder=Recorder(host="elsewhere")).sweep()
            toy.clock.advance(60)
    (state,) = toy.ledger.handles(phases=[Phase.UNREVERTED])
    assert state.lease_until > toy.clock.now()
    here = replace(toy.sweeper(), recorder=Recorder(host=host()))
    assert [one.handle_id for one in here.sweep()] == ["far/pause"]
    assert here.sweep() == ()  # by its own word now
