"""A watching sweeper that is at work is taken for alive by all who ask, and one that hangs is not."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from chaos_tasks import sweeping
from chaos_tasks.errors import LedgerError
from chaos_tasks.model.handle import Receipt
from chaos_tasks.neighbours import NEIGHBOUR_S
from chaos_tasks.safety.guards import SWEEPER, check_sweeper, is_fresh, last_watch, own_beat
from chaos_tasks.sweeping import HEARTBEAT
from chaos_tasks.targets.process import host
from tests.unit.test_leasing import until
from tests.unit.toy_project import HEALTHY, KIND, ToyProject, request

LONG_S = NEIGHBOUR_S - 1
BEATS = (SWEEPER, own_beat(host()))


class Left:
    """What killed runs have left to be deleted, which is much."""

    def __init__(self, work: Callable[[], None]) -> None:
        self.work = work

    def clones(self, run_id: str, *, by: str) -> bool:
        self.work()
        return True

    def left_behind(self, *, by: str) -> tuple[str, ...]:
        self.work()
        return ()

    def trials_now_and_then(self, *, by: str) -> None:
        """None."""


def left_in(toy: ToyProject, *steps: str) -> None:
    """A run that was killed under its faults, and whose lease is over."""
    method = [{"name": step, "fault": KIND, "target": "data"} for step in steps or ("write",)]
    toy.engine().arm(request(method=method))
    toy.engine().inject("run-1")
    toy.clock.advance(4000)


def while_reverting(toy: ToyProject, monkeypatch: pytest.MonkeyPatch, work: Callable[[], None]) -> None:
    """Each undo of the toy's fault does this first."""
    act = toy.fault.revert

    def slow(*told: Any) -> Receipt:
        work()
        return act(*told)

    monkeypatch.setattr(toy.fault, "revert", slow)


def looks_alive(toy: ToyProject) -> bool:
    """To runs and nights, and to other hosts; raises GuardTripped where to the first it does not."""
    check_sweeper(toy.settings().sweeper_max_age_s, toy.ledger)
    return is_fresh(last_watch(toy.ledger, host()), toy.ledger.now(), NEIGHBOUR_S)


def long_work(toy: ToyProject, seen: list[bool]) -> None:
    """Minutes go by, with room for one beat in each half a minute."""
    for _ in range(4):
        toy.clock.advance(LONG_S)
        until(lambda: all(toy.ledger.last_beat(name) == toy.ledger.now() for name in BEATS))
        seen.append(looks_alive(toy))


def beaten() -> bool:
    """Whether a thread of this process keeps the heartbeat."""
    return any(thread.name == HEARTBEAT for thread in threading.enumerate())


def test_a_sweeper_at_an_undo_of_minutes_is_taken_for_alive(toy: ToyProject, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[bool] = []
    left_in(toy)
    monkeypatch.setattr(sweeping, "BEATEN_S", 0.03)
    while_reverting(toy, monkeypatch, lambda: long_work(toy, seen))
    assert [one.reverted for one in toy.sweeper().sweep(watching=True)] == [True]
    assert seen == [True] * 4
    assert not beaten()


def test_a_sweeper_at_many_short_undos_is_taken_for_alive(toy: ToyProject, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is over before a beat is due."""
    seen: list[bool] = []

    def short() -> None:
        toy.clock.advance(LONG_S)
        seen.append(looks_alive(toy))

    left_in(toy, "one", "two", "three")
    while_reverting(toy, monkeypatch, short)
    assert [one.reverted for one in toy.sweeper().sweep(watching=True)] == [True] * 3
    assert seen == [True] * 3
    assert looks_alive(toy)


def test_a_sweeper_that_deletes_much_is_taken_for_alive(toy: ToyProject, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[bool] = []
    left_in(toy)
    monkeypatch.setattr(sweeping, "BEATEN_S", 0.03)
    left: Any = Left(lambda: long_work(toy, seen))
    replace(toy.sweeper(), disposal=left).sweep(watching=True)
    assert seen == [True] * 8  # of the run that is over, and of those that were killed


def test_a_sweeper_whose_undo_hangs_goes_silent(toy: ToyProject, monkeypatch: pytest.MonkeyPatch) -> None:
    silent: list[bool] = []

    def hang() -> None:
        until(lambda: not beaten())
        toy.clock.advance(NEIGHBOUR_S + 1)
        silent.append(not is_fresh(last_watch(toy.ledger), toy.ledger.now(), NEIGHBOUR_S))

    left_in(toy)
    monkeypatch.setattr(sweeping, "BEATEN_S", 0.03)
    monkeypatch.setattr(sweeping, "LONGEST_S", 0.05)
    while_reverting(toy, monkeypatch, hang)
    toy.sweeper().sweep(watching=True)
    assert silent == [True]


def test_who_sweeps_once_beats_at_no_undo_either(toy: ToyProject, monkeypatch: pytest.MonkeyPatch) -> None:
    at_it: list[bool] = []
    before = [toy.ledger.last_beat(name) for name in BEATS]
    left_in(toy)
    while_reverting(toy, monkeypatch, lambda: at_it.append(beaten()))
    toy.sweeper().sweep()
    assert at_it == [False]
    assert [toy.ledger.last_beat(name) for name in BEATS] == before


def test_a_beat_that_fails_keeps_no_other_fault_in(toy: ToyProject, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(name: str) -> None:
        raise LedgerError("the table of beats is damaged")

    left_in(toy, "one", "two")
    while_reverting(toy, monkeypatch, lambda: monkeypatch.setattr(toy.ledger, "beat", away))
    assert [one.reverted for one in toy.sweeper().sweep(watching=True)] == [True, True]
    assert toy.word() == HEALTHY


def test_a_manager_of_services_hears_of_each_beat(toy: ToyProject, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else it would end a watcher in the middle of a long undo, and the next one too."""
    said: list[str] = []

    def wait() -> None:
        before = len(said)
        until(lambda: len(said) > before + 3)

    left_in(toy)
    monkeypatch.setattr(sweeping, "BEATEN_S", 0.03)
    while_reverting(toy, monkeypatch, wait)
    sweeper = replace(toy.sweeper(), alive=lambda: said.append("alive"))
    assert [one.reverted for one in sweeper.sweep(watching=True)] == [True]
