"""A living act that takes longer than its lease is not swept in mid-act, and one that hangs is let go."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from chaos_tasks.acts import ActParts
from chaos_tasks.errors import Fenced
from chaos_tasks.leasing import kept
from chaos_tasks.model.handle import HandleState, Phase, Receipt
from chaos_tasks.model.plan import Plan
from chaos_tasks.model.trial import Arm
from chaos_tasks.model.verdict import Outcome
from chaos_tasks.ports import Clock
from chaos_tasks.sweeping import Sweeper, Swept
from chaos_tasks.trialing import Prepared
from tests.unit.toy_project import HEALTHY, ToyProject, ToyWorkspaces, experiment, request

LEASE_S = 0.3
ONE = experiment(guards={"lease": timedelta(seconds=LEASE_S)})


def until(true: Callable[[], bool]) -> None:
    """Wait for a thread; however busy the machine is."""
    pause = threading.Event()
    for _ in range(3000):
        if true():
            return
        pause.wait(0.01)
    raise AssertionError("not within 30 s")


def outlast(toy: ToyProject, lease_s: float) -> list[Swept]:
    """Several leases go by, while another process sweeps."""
    found: list[Swept] = []
    for _ in range(5):
        (before,) = [state.lease_until for state in toy.ledger.handles(run_id="run-1")]
        toy.clock.advance(lease_s * 0.6)
        until(lambda before=before: toy.ledger.handles(run_id="run-1")[0].lease_until > before)  # type: ignore[misc]
        found += toy.sweeper().sweep()
    return found


def armed(toy: ToyProject) -> Any:
    engine = toy.engine()
    engine.arm(request().model_copy(update={"experiment": ONE}))
    engine.baseline("run-1")
    return engine


@pytest.mark.parametrize("killed", [False, True])
def test_a_run_in_one_process_keeps_its_target_while_it_opens_it_and_no_longer_than_its_lease_once_killed(
    toy: ToyProject, monkeypatch: pytest.MonkeyPatch, killed: bool
) -> None:
    """Of a run under Airflow nobody renews until it gets a lane; a command that was killed is waited for by nobody."""
    held: list[bool] = []
    if killed:  # its thread is gone too
        monkeypatch.setattr("chaos_tasks.leasing.Kept.keep", lambda self: None)

    def slow(self: ToyWorkspaces, plan: Plan) -> None:
        for _ in range(5):
            beats = len(renewed)
            toy.clock.advance(LEASE_S * 0.6)
            until(lambda beats=beats: killed or len(renewed) > beats)  # type: ignore[misc]
        held.append("run-1" in toy.ledger.locked_runs())
        raise OSError("that is all")

    renewed: list[object] = []
    renew = toy.ledger.renew
    monkeypatch.setattr(toy.ledger, "renew", lambda *told, **more: renewed.append(renew(*told, **more)))
    monkeypatch.setattr(ToyWorkspaces, "open", slow)
    with pytest.raises(OSError, match="that is all"):
        toy.engine().run(request().model_copy(update={"experiment": ONE}))
    assert held == [not killed]


def test_an_injection_that_takes_longer_than_the_lease_is_not_swept(
    toy: ToyProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, swept, act = armed(toy), list[Swept](), toy.fault.inject

    def slow(*told: Any) -> Receipt:
        swept.extend(outlast(toy, LEASE_S))
        return act(*told)

    monkeypatch.setattr(toy.fault, "inject", slow)
    engine.inject("run-1")
    engine.exercise("run-1")
    engine.revert("run-1")
    assert swept == []
    assert engine.judge("run-1").outcome is Outcome.HELD


def test_set_up_steps_that_take_longer_than_the_lease_are_not_swept(
    toy: ToyProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, swept, prepare = armed(toy), list[Swept](), ToyWorkspaces.prepare

    def slow(self: ToyWorkspaces, plan: Plan, arm: Arm, clock: Clock, stop: Callable[[], bool]) -> Prepared:
        swept.extend(outlast(toy, LEASE_S))
        return prepare(self, plan, arm, clock, stop)

    engine.inject("run-1")
    monkeypatch.setattr(ToyWorkspaces, "prepare", slow)
    engine.exercise("run-1")
    monkeypatch.setattr(ToyWorkspaces, "prepare", prepare)
    engine.revert("run-1")
    assert swept == []
    assert engine.judge("run-1").outcome is Outcome.HELD


def test_two_sweepers_do_not_take_a_long_revert_from_each_other(
    toy: ToyProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each would begin anew, and be fenced before it had proved anything: for ever."""
    engine, of_the_other, act, parts_of = armed(toy), list[Swept](), toy.fault.revert, Sweeper.parts_of
    engine.inject("run-1")

    def brief(self: Sweeper, state: HandleState) -> ActParts:
        parts = parts_of(self, state)
        return replace(parts, context=replace(parts.context, lease_s=LEASE_S))

    def slow(*told: Any) -> Receipt:
        of_the_other.extend(outlast(toy, LEASE_S))
        return act(*told)

    monkeypatch.setattr(Sweeper, "parts_of", brief)
    monkeypatch.setattr(toy.fault, "revert", slow)
    toy.clock.advance(10)
    (swept,) = toy.sweeper().sweep()
    assert (swept.reverted, of_the_other) == (True, [])
    assert toy.word() == HEALTHY
    assert toy.ledger.handles(run_id="run-1")[0].phase is Phase.REVERTED


def test_an_act_that_hangs_is_let_go_and_one_that_was_fenced_says_why() -> None:
    calls: list[int] = []
    with kept(lambda: calls.append(1), lease_s=0.03, longest_s=0.05):
        until(lambda: all(thread.name != "lease of an act" for thread in threading.enumerate()))
    assert len(calls) <= 5

    def fenced() -> None:
        raise Fenced("taken over")

    with kept(fenced, lease_s=0.03) as lease:
        until(lambda: lease.lost == "taken over")
