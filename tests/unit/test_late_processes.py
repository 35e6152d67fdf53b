"""Processes that were taken for dead, or meet somebody at work: they change nothing, and page nobody."""

from __future__ import annotations

from contextlib import suppress

import pytest

from chaos_tasks.engine import Engine
from chaos_tasks.errors import Fenced, IdempotencyConflict
from chaos_tasks.model.actor import latest_try
from chaos_tasks.model.handle import Phase
from chaos_tasks.model.spec import TrialSpec
from chaos_tasks.model.target import Target
from chaos_tasks.model.trial import Arm
from chaos_tasks.model.verdict import Outcome
from chaos_tasks.targets.dvc import SourceVersion
from chaos_tasks.testing.crash import Crash
from tests.unit.approving.test_desk import FOUR_EYES, proposed, yes
from tests.unit.far_process import put_back
from tests.unit.task_processes import KILL, RUN, allows, of_process
from tests.unit.toy_project import HEALTHY, ToyProject, ToyWorkspaces, request, word_file


def killer(toy: ToyProject) -> Engine:
    return of_process(toy, targets=allows("process"))


def test_an_exercise_that_wakes_in_the_midst_of_recovery_fires_nothing(toy: ToyProject) -> None:
    """Its first and only try, taken for dead before it had taken the run: no later try of it is on record."""
    killer(toy).arm(request(method=[KILL], analysis={"seeds": 2, "base_seed": 1, "recovery_trials": 1}))
    for step in ("baseline", "inject", "revert"):
        getattr(killer(toy), step)(RUN)
    fired: list[int] = []

    def during(spec: TrialSpec) -> None:
        if spec.arm is Arm.TREATMENT:
            fired.append(len(spec.firings))
        if spec.arm is Arm.RECOVERY:
            with pytest.raises(Fenced, match="exercise of run run-1 comes after its recovery"):
                killer(toy).exercise(RUN)

    toy.during = during
    assert killer(toy).recovery(RUN).healthy
    assert fired == []


def test_an_arm_that_stood_in_line_elsewhere_is_the_same_try_in_another_process() -> None:
    taken = [("arm", 1), ("exercise", 1), ("exercise", 2), ("arm", 2), ("arm", 2)]
    assert latest_try(taken, "exercise") == 2
    made_anew = [*taken, ("exercise", 3), ("arm", 1)]
    assert latest_try(made_anew, "exercise") == 0


def test_a_late_try_of_approve_does_not_refuse_the_run_that_waits_for_its_person(
    toy: ToyProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve = ToyWorkspaces.resolve

    def process(number: int) -> Engine:
        return of_process(toy, try_number=number, **FOUR_EYES)

    def slow(self: ToyWorkspaces, target: Target) -> SourceVersion:
        monkeypatch.setattr(ToyWorkspaces, "resolve", resolve)
        toy.clock.advance(1)
        process(2).propose(proposed())
        toy.clock.advance(1)
        return resolve(self, target)

    monkeypatch.setattr(ToyWorkspaces, "resolve", slow)
    with pytest.raises(IdempotencyConflict):
        process(1).propose(proposed())
    process(1).approvals.answer(RUN, yes(toy))
    assert toy.engine(**FOUR_EYES).run(proposed()).outcome is Outcome.HELD


def test_a_revert_task_that_was_killed_in_mid_revert_is_finished_by_the_judge(toy: ToyProject) -> None:
    of_process(toy).arm(request())
    for step in ("baseline", "inject", "exercise"):
        getattr(of_process(toy), step)(RUN)
    toy.fault.trouble["revert"] = Crash("killed")
    with suppress(Crash):
        of_process(toy).revert(RUN)
    toy.fault.trouble.clear()
    assert [state.phase for state in toy.ledger.handles()] == [Phase.REVERTING]
    assert of_process(toy).judge(RUN).outcome is not Outcome.UNREVERTED
    assert toy.word() == HEALTHY


def test_a_run_whose_fault_a_sweep_is_at_waits_for_it_and_has_a_verdict(
    toy: ToyProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its process stood still for longer than its lease, and wakes while the sweep has the fault in its hands."""
    advance = toy.clock.advance

    def taken(spec: TrialSpec) -> None:
        if spec.arm is not Arm.TREATMENT:
            return
        advance(120)
        state = toy.ledger.take_over(f"{RUN}/write", lease_s=60)

        def advanced(seconds: float) -> None:
            monkeypatch.setattr(toy.clock, "advance", advance)
            advance(seconds)
            word_file(state.handle.place).write_text(HEALTHY)
            put_back(toy, state)

        monkeypatch.setattr(toy.clock, "advance", advanced)

    toy.during = taken
    assert toy.engine().run(request()).outcome is not Outcome.UNREVERTED
    assert [state.phase for state in toy.ledger.handles()] == [Phase.REVERTED]


def test_a_run_whose_fault_a_sweep_has_dropped_puts_it_back_itself(toy: ToyProject) -> None:
    """It had taken it over, and died: once its lease is over too, the run goes on with the undo."""

    def taken(spec: TrialSpec) -> None:
        if spec.arm is Arm.TREATMENT and toy.ledger.handles(phases=[Phase.INJECTED]):
            toy.clock.advance(120)
            toy.ledger.take_over(f"{RUN}/write", lease_s=60)

    toy.during = taken
    assert toy.engine().run(request()).outcome is Outcome.ABORTED
    assert toy.word() == HEALTHY
