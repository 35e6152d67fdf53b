"""The ledger is a SQLite file on the host whose wall clock is set while a fault is in: its leases go by that clock."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import cast

import pytest

from chaos_tasks.ledger import DatabaseLedger
from chaos_tasks.ledger.sqlite import SqliteDatabase
from chaos_tasks.model.handle import Phase
from chaos_tasks.model.spec import TrialSpec
from chaos_tasks.model.trial import Arm
from chaos_tasks.model.verdict import Outcome
from chaos_tasks.runs import Run
from chaos_tasks.safety.guards import SWEEPER, own_beat
from chaos_tasks.targets.process import host
from chaos_tasks.testing.memory_ledger import MemoryLedger
from tests.unit.test_jumping_clock import SettableClock
from tests.unit.toy_project import HEALTHY, HURT, ToyProject, register, request

DAY = timedelta(days=1)
LEASE_S = 60  # of the toy experiment
UNIX_EPOCH_JULIAN = 2_440_587.5  # days


class OfThisHost(SqliteDatabase):
    """Asks the clock of a test wherever SQLite would ask the host's."""

    def __init__(self, url: str, clock: SettableClock) -> None:
        super().__init__(url)
        self._host = clock

    def connect(self) -> sqlite3.Connection:
        """With a function of that name before SQLite's own."""
        connection = super().connect()
        connection.create_function("julianday", 1, self._julianday)
        return connection

    def _julianday(self, _now: str) -> float:
        return self._host.now().timestamp() / 86_400 + UNIX_EPOCH_JULIAN


@pytest.fixture
def clock() -> SettableClock:
    return SettableClock()


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clock: SettableClock) -> Iterator[ToyProject]:
    made = ToyProject(tmp_path / "home", clock=clock)
    register(monkeypatch, made.fault)
    with closing(DatabaseLedger(OfThisHost(f"sqlite:///{tmp_path}/ledger.db", clock))) as ledger:
        made.ledger = cast(MemoryLedger, ledger)
        watch(made)
        yield made


def watch(toy: ToyProject) -> None:
    """A sweeper beats."""
    for name in (SWEEPER, own_beat(host())):
        toy.ledger.beat(name)


def under_fault(toy: ToyProject, clock: SettableClock, jump: timedelta) -> list[str]:
    """Set the clock in the first treatment, and sweep; returns what is swept."""
    swept: list[str] = []

    def during(spec: TrialSpec) -> None:
        if spec.arm is Arm.TREATMENT and not clock.jumped:
            assert toy.word() == HURT
            clock.jumped = jump
            swept.extend(one.handle_id for one in toy.sweeper().sweep())

    toy.during = during
    return swept


def test_set_forward_it_ends_the_lease_of_a_living_run_which_is_swept_and_aborted(
    toy: ToyProject, clock: SettableClock
) -> None:
    swept = under_fault(toy, clock, DAY)
    verdict = toy.engine().run(request())
    assert len(swept) == 1
    assert verdict.outcome is Outcome.ABORTED
    assert [state.phase for state in toy.ledger.handles(run_id="run-1")] == [Phase.REVERTED]
    assert toy.word() == HEALTHY
    watch(toy)
    assert toy.engine().run(request("run-2")).outcome is Outcome.HELD, "the target is free"


def test_set_back_it_costs_a_living_run_nothing(toy: ToyProject, clock: SettableClock) -> None:
    swept = under_fault(toy, clock, -DAY)
    verdict = toy.engine().run(request())
    assert (verdict.outcome, swept) == (Outcome.HELD, [])
    assert [state.phase for state in toy.ledger.handles(run_id="run-1")] == [Phase.REVERTED]
    recovery = Run(toy.ledger, "run-1").recovery()
    assert recovery is not None
    assert recovery.healthy
    assert toy.word() == HEALTHY


def killed_and_set_back(toy: ToyProject, clock: SettableClock, before: Callable[[], object] = lambda: None) -> None:
    """Its processes end between two tasks; nobody renews, and nobody reverts.  ``before`` comes before the jump."""
    engine = toy.engine()
    engine.arm(request())
    engine.inject("run-1")
    before()
    clock.jumped = -DAY


def test_set_back_it_keeps_the_fault_of_a_killed_run_in_no_longer_than_its_lease_where_a_sweeper_watched(
    toy: ToyProject, clock: SettableClock
) -> None:
    sweeper = toy.sweeper()
    killed_and_set_back(toy, clock, lambda: sweeper.sweep(watching=True))
    clock.advance(LEASE_S - 1)
    assert sweeper.sweep(watching=True) == ()
    assert toy.word() == HURT
    clock.advance(3)
    assert len(sweeper.sweep(watching=True)) == 1
    assert toy.word() == HEALTHY
    (state,) = toy.ledger.handles(run_id="run-1")
    assert state.phase is Phase.REVERTED
    assert toy.engine().judge("run-1").outcome is Outcome.INCONCLUSIVE
    assert toy.engine().run(request("run-2")).outcome is Outcome.HELD, "the target is free"


def test_set_back_it_keeps_no_lease_from_being_renewed_under_the_eyes_of_a_sweeper(
    toy: ToyProject, clock: SettableClock
) -> None:
    sweeper = toy.sweeper()
    killed_and_set_back(toy, clock, lambda: sweeper.sweep(watching=True))
    for _ in range(5):
        clock.advance(LEASE_S / 2)
        toy.ledger.renew("run-1", lease_s=LEASE_S)
        assert sweeper.sweep(watching=True) == ()
    assert toy.word() == HURT


def test_set_back_before_any_sweeper_watched_it_keeps_the_fault_of_a_killed_run_in_for_the_jump_and_the_lease(
    toy: ToyProject, clock: SettableClock
) -> None:
    killed_and_set_back(toy, clock)
    clock.advance(DAY.total_seconds())
    assert toy.sweeper().sweep() == ()
    assert toy.word() == HURT
    clock.advance(LEASE_S + 1)
    assert len(toy.sweeper().sweep()) == 1
    assert toy.word() == HEALTHY


def test_set_back_it_keeps_no_person_from_taking_the_fault_of_a_killed_run_out(
    toy: ToyProject, clock: SettableClock
) -> None:
    killed_and_set_back(toy, clock)
    assert toy.sweeper().sweep() == ()
    assert len(toy.sweeper().everything(by="person")) == 1  # `squall revert --all`
    assert toy.word() == HEALTHY
