"""A process of another host is put back by the sweeper there: the run waits for that, and not for ever."""

from __future__ import annotations

from pathlib import Path

import pytest

from chaos_tasks.errors import RevertError
from chaos_tasks.model.handle import Handle, Phase
from chaos_tasks.model.record import RecordKind
from chaos_tasks.model.verdict import Outcome
from chaos_tasks.neighbours import NEIGHBOUR_S
from chaos_tasks.safety.guards import own_beat, own_leave
from tests.unit.far_process import far_pause, swept_there
from tests.unit.toy_project import HEALTHY, ToyProject, register, request

FAR = "elsewhere"
LEASE_S = 60.0


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ToyProject:
    """A toy whose fault is in; the sweeper of another host beats."""
    made = ToyProject(tmp_path / "home")
    register(monkeypatch, made.fault)
    engine = made.engine()
    engine.arm(request())
    engine.inject("run-1")
    made.ledger.beat(own_beat(FAR))
    return made


@pytest.fixture
def far(toy: ToyProject) -> Handle:
    """A process of that host, which the same run has paused."""
    return far_pause(toy, FAR, run_id="run-1", lease_s=LEASE_S)


def sweeper_there(toy: ToyProject, handle: Handle, monkeypatch: pytest.MonkeyPatch, *, comes: bool) -> list[str]:
    """It beats as time goes, and takes what is over its lease; returns the word at home, at each look of the wait."""
    advance, words = toy.clock.advance, list[str]()

    def advanced(seconds: float) -> None:
        advance(seconds)
        words.append(toy.word())
        toy.ledger.beat(own_beat(FAR))
        state = toy.ledger.handle(handle.id)
        if comes and state is not None and state.phase is Phase.INJECTED and state.lease_until <= toy.ledger.now():
            swept_there(toy, handle)

    monkeypatch.setattr(toy.clock, "advance", advanced)
    return words


def phase_of(toy: ToyProject, handle: Handle) -> Phase:
    state = toy.ledger.handle(handle.id)
    assert state is not None
    return state.phase


def test_a_judge_whose_revert_task_was_marked_waits_for_the_sweeper_there_and_pages_nobody(
    toy: ToyProject, far: Handle, monkeypatch: pytest.MonkeyPatch
) -> None:
    words, began = sweeper_there(toy, far, monkeypatch, comes=True), toy.clock.monotonic()
    verdict = toy.engine().judge("run-1")
    assert verdict.outcome is not Outcome.UNREVERTED
    assert phase_of(toy, far) is Phase.REVERTED
    assert RecordKind.REVERT_FAILED not in toy.kinds()
    assert set(words) == {HEALTHY}  # what can be put back here is, before anybody is waited for
    assert LEASE_S <= toy.clock.monotonic() - began < LEASE_S + NEIGHBOUR_S
    assert toy.ledger.locked_runs() == frozenset()


def test_a_sweeper_that_lives_and_does_not_come_is_waited_for_no_longer_than_the_lease_and_its_own_time(
    toy: ToyProject, far: Handle, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweeper_there(toy, far, monkeypatch, comes=False)
    began = toy.clock.monotonic()
    with pytest.raises(RevertError, match="is not reverted"):
        toy.engine().revert("run-1")
    assert toy.clock.monotonic() - began == pytest.approx(LEASE_S + NEIGHBOUR_S, abs=1)
    assert phase_of(toy, far) is Phase.UNREVERTED
    assert toy.word() == HEALTHY


@pytest.mark.parametrize("why", ["silent", "ended"])
def test_where_no_sweeper_watches_nobody_is_waited_for(toy: ToyProject, far: Handle, why: str) -> None:
    if why == "silent":
        toy.clock.advance(NEIGHBOUR_S + 1)
    else:
        toy.ledger.beat(own_leave(FAR))
    began = toy.clock.monotonic()
    assert toy.engine().judge("run-1").outcome is Outcome.UNREVERTED
    assert toy.clock.monotonic() == began
    assert phase_of(toy, far) is Phase.UNREVERTED
