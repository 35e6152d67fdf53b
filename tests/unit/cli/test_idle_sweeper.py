"""The sweeper of `squall run` is started where none beats, and leaves once nothing is under way, not before."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from chaos_tasks.cli import safety, sweeper_process
from chaos_tasks.cli.attending import NEXT_BEAT_S, own_sweeper
from chaos_tasks.model.plan import Lock
from chaos_tasks.safety.guards import SWEEPER, own_beat, own_leave
from chaos_tasks.targets.process import host
from chaos_tasks.testing.clock import FakeClock
from chaos_tasks.testing.memory_ledger import MemoryLedger

LOCKS = (Lock(key="experiment:toy", exclusive=True),)
A_MINUTE_S = safety.IDLE_AFTER.total_seconds() + 1


@pytest.fixture
def squall() -> Iterator[Any]:
    """As much of Squall as says whether anything is under way."""
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    clock = FakeClock()
    yield SimpleNamespace(clock=clock, ledger=MemoryLedger(clock), settings=SimpleNamespace(sweeper_max_age_s=30.0))
    for number, handler in zip((signal.SIGTERM, signal.SIGINT), before, strict=True):
        signal.signal(number, handler)


def test_it_stays_while_a_run_holds_its_locks_though_no_fault_is_armed(squall: Any) -> None:
    stop = safety._stopper(squall, until_idle=True)
    squall.ledger.acquire("run-1", LOCKS, lease_s=10 * A_MINUTE_S)
    for _ in range(3):  # a baseline of minutes, of a fault that fires during the workload
        squall.clock.advance(A_MINUTE_S)
        assert not stop()
    squall.ledger.release("run-1")
    assert not stop()
    squall.clock.advance(A_MINUTE_S)
    assert stop()


def test_a_dead_run_does_not_keep_it_longer_than_the_lease_of_its_locks(squall: Any) -> None:
    stop = safety._stopper(squall, until_idle=True)
    squall.ledger.acquire("run-1", LOCKS, lease_s=A_MINUTE_S)
    assert not stop()
    squall.clock.advance(A_MINUTE_S + 1)
    assert stop()


def started(squall: Any, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether a command starts a sweeper of its own."""
    calls: list[object] = []
    monkeypatch.setattr(sweeper_process, "start", calls.append)
    with own_sweeper(squall):
        return bool(calls)


def test_a_beat_of_a_sweeper_that_was_killed_since_is_not_believed(
    squall: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    squall.ledger.beat(own_beat(host()))
    squall.clock.advance(1)
    assert started(squall, monkeypatch)
    assert squall.clock.monotonic() < 1 + 2 * NEXT_BEAT_S


@pytest.mark.parametrize(("says", "own"), [(own_beat(host()), False), (own_leave(host()), True)])
def test_a_sweeper_that_beats_again_is_believed_and_one_that_takes_its_leave_is_not(
    squall: Any, monkeypatch: pytest.MonkeyPatch, says: str, own: bool
) -> None:
    squall.ledger.beat(own_beat(host()))
    wait = squall.clock.sleep

    def sleep(seconds: float) -> None:
        wait(seconds)
        squall.ledger.beat(says)

    monkeypatch.setattr(squall.clock, "sleep", sleep)
    assert started(squall, monkeypatch) is own


def test_a_sweeper_of_another_host_is_none_of_this_one(squall: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    wait = squall.clock.sleep

    def sleep(seconds: float) -> None:
        wait(seconds)
        for name in (SWEEPER, own_beat("elsewhere")):
            squall.ledger.beat(name)

    sleep(0)
    monkeypatch.setattr(squall.clock, "sleep", sleep)
    assert started(squall, monkeypatch)
