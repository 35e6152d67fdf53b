"""A process of another host can be neither seen nor ended: it is fenced, and waited for."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest

from chaos_tasks.model.actor import Actor
from chaos_tasks.model.handle import Handle, HandleState, Phase, Receipt
from chaos_tasks.model.plan import Plan, Recorder
from chaos_tasks.model.verdict import Outcome
from chaos_tasks.sweeping import ELSEWHERE_S
from chaos_tasks.targets.process import boot_id, host
from chaos_tasks.testing.crash import Crash
from tests.unit.toy_project import HEALTHY, HURT, ToyProject, ToyWorkspaces, register, request

LEASE_S = 60.0


def test_a_run_that_renews_between_a_sweeps_look_and_its_hand_goes_on_untouched(
    toy: ToyProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = toy.engine()
    engine.arm(request())
    engine.inject("run-1")
    toy.clock.advance(LEASE_S + 1)
    sweeper = toy.sweeper()
    ended: list[str] = []
    monkeypatch.setattr(ToyWorkspaces, "end_workloads", lambda self, plan: ended.append(plan.run_id) or 0)
    listed = toy.ledger.handles

    def slow_look(**asked: Any) -> list[HandleState]:
        found = listed(**asked)
        if asked.get("expired"):
            toy.ledger.renew("run-1", lease_s=LEASE_S)  # the run wakes just then
        return found

    monkeypatch.setattr(toy.ledger, "handles", slow_look)
    assert sweeper.sweep() == ()
    assert (toy.word(), ended) == (HURT, [])
    monkeypatch.undo()
    register(monkeypatch, toy.fault)
    engine.exercise("run-1")
    engine.revert("run-1")
    assert engine.judge("run-1").outcome is Outcome.HELD


def test_a_run_that_reverts_between_a_sweeps_look_and_its_hand_keeps_its_locks_and_its_workload(
    toy: ToyProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = toy.engine()
    engine.arm(request())
    for step in (engine.baseline, engine.inject, engine.exercise):
        step("run-1")
    toy.clock.advance(10 * LEASE_S)
    sweeper = toy.sweeper()
    ended: list[str] = []
    listed = toy.ledger.handles

    def end(self: ToyWorkspaces, plan: Plan) -> int:
        ended.append(plan.run_id)
        return 1

    def slow_look(**asked: Any) -> list[HandleState]:
        found = listed(**asked)
        if asked.get("expired"):
            engine.revert("run-1")  # its revert task wakes just then
            toy.ledger.renew("run-1", lease_s=LEASE_S)
            monkeypatch.setattr(ToyWorkspaces, "end_workloads", end)
        return found

    monkeypatch.setattr(toy.ledger, "handles", slow_look)
    assert sweeper.sweep() == ()
    assert ended == []
    assert "run-1" in toy.ledger.locked_runs()


@pytest.mark.parametrize("elsewhere", [True, False])
def test_an_exercise_of_another_host_is_waited_for_one_lease_and_no_sweep_comes_between(
    toy: ToyProject, monkeypatch: pytest.MonkeyPatch, elsewhere: bool
) -> None:
    engine = toy.engine()
    engine.arm(request())
    for step in (engine.baseline, engine.inject):
        step("run-1")
    earlier = Actor(run_id="run-1", step="exercise", host="elsewhere", boot_id="b", pid=7, start_time=1.0)
    if not elsewhere:
        earlier = earlier.model_copy(update={"host": host(), "boot_id": boot_id()})
    toy.ledger.of_another_process().enter(earlier)
    toy.ledger = toy.ledger.of_another_process()
    advance, began = toy.clock.advance, toy.clock.monotonic()
    trials: list[float] = []

    def advanced(seconds: float) -> None:
        advance(seconds)
        assert toy.sweeper().sweep() == ()

    monkeypatch.setattr(toy.clock, "advance", advanced)
    toy.during = lambda spec: trials.append(toy.clock.monotonic() - began)
    toy.engine().exercise("run-1")
    assert trials[0] >= LEASE_S if elsewhere else trials[0] < LEASE_S
    assert toy.word() == HURT
    toy.engine().revert("run-1")
    assert toy.word() == HEALTHY


@pytest.mark.parametrize(("where", "waits_s"), [("elsewhere", ELSEWHERE_S), (host(), 0.0)])
def test_a_sweep_lets_an_act_of_another_host_land_before_it_undoes(
    toy: ToyProject, monkeypatch: pytest.MonkeyPatch, where: str, waits_s: float
) -> None:
    """The process dies with its call on the way; the call arrives while the sweep waits."""
    engine = toy.engine()
    engine = replace(engine, parts=replace(engine.parts, recorder=Recorder(host=where)))
    engine.arm(request())
    engine.baseline("run-1")
    act = type(toy.fault).inject
    sent: list[tuple[Handle, object, object]] = []

    def dies(handle: Handle, params: object, ctx: object) -> Receipt:
        sent.append((handle, params, ctx))
        raise Crash("the host is gone")

    monkeypatch.setattr(toy.fault, "inject", dies, raising=False)
    with suppress(Crash):
        engine.inject("run-1")
    toy.clock.advance(LEASE_S + 1)
    advance, began = toy.clock.advance, toy.clock.monotonic()

    def lands(seconds: float) -> None:
        advance(seconds)
        act(toy.fault, *sent[0])  # type: ignore[arg-type]

    monkeypatch.setattr(toy.clock, "advance", lands)
    (swept,) = toy.sweeper().sweep()
    assert swept.reverted
    assert toy.clock.monotonic() - began == waits_s
    assert toy.word() == HEALTHY
    assert [state.phase for state in toy.ledger.handles(run_id="run-1")] == [Phase.REVERTED]
