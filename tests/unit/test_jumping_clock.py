"""The host's wall clock jumps while a fault is in: it dates records, and decides no lease, no limit and no verdict."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import pytest

from chaos_tasks.errors import GuardTripped
from chaos_tasks.model.handle import Phase
from chaos_tasks.model.limits import BlastLimits
from chaos_tasks.model.spec import TrialSpec
from chaos_tasks.model.trial import Arm
from chaos_tasks.model.verdict import Outcome
from chaos_tasks.runs import Run
from chaos_tasks.safety.guards import SWEEPER
from chaos_tasks.safety.lasting import within
from chaos_tasks.safety.limits import Night, minutes_in
from chaos_tasks.testing.clock import FakeClock
from chaos_tasks.testing.memory_ledger import MemoryLedger
from tests.unit.toy_project import HEALTHY, ToyProject, register, request

JUMPS = [timedelta(hours=1), timedelta(hours=-1)]


class SettableClock(FakeClock):
    """A host's: somebody may set its wall clock, and its monotonic one goes on as before."""

    jumped = timedelta(0)

    def now(self) -> datetime:
        """With what it was set by."""
        return super().now() + self.jumped


class ServersClock:
    """That of the database, which nobody sets."""

    def __init__(self, host: SettableClock) -> None:
        self._host = host

    def now(self) -> datetime:
        """Without what the host's was set by."""
        return self._host.now() - self._host.jumped

    def monotonic(self) -> float:
        """The same."""
        return self._host.monotonic()

    def sleep(self, seconds: float) -> None:
        """The same."""
        self._host.sleep(seconds)


@pytest.fixture
def clock() -> SettableClock:
    """That of the host."""
    return SettableClock()


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clock: SettableClock) -> ToyProject:
    """Its ledger is on another host."""
    made = ToyProject(tmp_path / "home", clock=clock)
    made.ledger = MemoryLedger(ServersClock(clock))
    made.ledger.beat(SWEEPER)
    register(monkeypatch, made.fault)
    return made


@pytest.mark.parametrize("jump", [timedelta(days=1), timedelta(days=-1), timedelta(hours=5)], ids=str)
def test_a_wall_clock_that_jumps_under_the_fault_costs_nothing(
    toy: ToyProject, clock: SettableClock, jump: timedelta
) -> None:
    swept: list[object] = []

    def during(spec: TrialSpec) -> None:
        if spec.arm is Arm.TREATMENT:
            clock.jumped = jump
            swept.extend(toy.sweeper().sweep())

    toy.during = during
    verdict = toy.engine().run(request())
    assert (verdict.outcome, swept) == (Outcome.HELD, [])
    assert [state.phase for state in toy.ledger.handles(run_id="run-1")] == [Phase.REVERTED]
    assert toy.word() == HEALTHY
    assert {end.trial.wall_s for end in Run(toy.ledger, "run-1").ended_trials()} == {1.0}
    recovery = Run(toy.ledger, "run-1").recovery()
    assert recovery is not None
    assert recovery.healthy
    assert toy.engine().run(request("run-2")).outcome is Outcome.HELD  # and the target is free


@pytest.mark.parametrize("jump", JUMPS, ids=str)
def test_a_run_is_ended_once_its_longest_is_over_by_the_ledgers_clock(
    toy: ToyProject, clock: SettableClock, jump: timedelta
) -> None:
    engine = toy.engine()
    plan = engine.arm(request(guards={"longest": "10m"}))
    clock.jumped = jump  # set while the controls train
    engine.inject("run-1")
    clock.advance(9 * 60)
    within(plan, toy.ledger)
    clock.jumped = -jump
    within(plan, toy.ledger)
    clock.advance(2 * 60)
    with pytest.raises(GuardTripped, match="longest = 10m"):
        within(plan, toy.ledger)


@pytest.mark.parametrize("jump", JUMPS, ids=str)
def test_minutes_of_the_night_are_counted_by_the_ledgers_clock(
    toy: ToyProject, clock: SettableClock, jump: timedelta
) -> None:
    engine = toy.engine()
    engine.arm(request())
    engine.inject("run-1")
    clock.jumped = jump
    clock.advance(600)
    engine.revert("run-1")
    assert minutes_in(toy.ledger, Night.of(BlastLimits(), toy.ledger.now())) == pytest.approx(10)
