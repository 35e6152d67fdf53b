"""A run that loses its ledger undoes what it has put in, all of it, and nothing else."""

from __future__ import annotations

import pytest

from chaos_tasks.engine import Engine
from chaos_tasks.errors import LedgerError, SquallError
from chaos_tasks.faults.base import FaultContext, FaultParams
from chaos_tasks.model.handle import Handle, Receipt
from chaos_tasks.model.spec import TrialSpec
from chaos_tasks.model.trial import Arm
from tests.unit.task_processes import RUN, WRITE, of_process
from tests.unit.toy_project import HEALTHY, HURT, ToyProject, request

STRANGERS = "rotated by security"


def change(toy: ToyProject) -> None:
    """Somebody else works on the place."""
    (toy.home / "runs" / RUN / "clone" / "word.csv").write_text(STRANGERS)


def lose(engine: Engine) -> None:
    engine.parts.ledger.broken = "gone"  # type: ignore[attr-defined]


def test_what_was_never_put_in_is_not_taken_out_over_somebody_elses_work(toy: ToyProject) -> None:
    def during(spec: TrialSpec) -> None:
        if spec.arm is Arm.CONTROL:
            change(toy)
            toy.ledger.broken = "gone"

    toy.during = during
    with pytest.raises(LedgerError, match="gone"):
        toy.engine().run(request())
    assert toy.fault.injections == 0
    assert toy.word() == STRANGERS


def test_nor_by_an_inject_task_that_loses_it_before_it_could_announce_anything(toy: ToyProject) -> None:
    of_process(toy).arm(request())
    engine = of_process(toy)
    toy.fault.trouble["fingerprint"] = LedgerError("gone")

    def slow_look(place: object, ctx: FaultContext) -> object:
        change(toy)
        lose(engine)
        return real(place, ctx)  # type: ignore[arg-type]

    real, toy.fault.fingerprint = toy.fault.fingerprint, slow_look  # type: ignore[method-assign,assignment]
    with pytest.raises(SquallError):
        engine.inject(RUN)
    assert toy.fault.injections == 0
    assert toy.word() == STRANGERS


def test_what_the_same_process_has_put_in_goes_out(toy: ToyProject) -> None:
    """It is listed as armed: that list was read before."""
    of_process(toy).arm(request())
    engine, act = of_process(toy), toy.fault.inject

    def dies_after(handle: Handle, params: FaultParams, ctx: FaultContext) -> Receipt:
        receipt = act(handle, params, ctx)
        lose(engine)
        return receipt

    toy.fault.inject = dies_after  # type: ignore[method-assign]
    with pytest.raises(SquallError):
        engine.inject(RUN)
    assert toy.word() == HEALTHY


def test_a_faults_own_error_in_one_undo_keeps_no_other_in(toy: ToyProject) -> None:
    steps = [{**WRITE, "name": name} for name in ("one", "two")]
    of_process(toy).arm(request(method=steps))
    of_process(toy).inject(RUN)
    assert toy.word() == HURT
    real = toy.fault.revert

    def revert(handle: Handle, params: FaultParams, ctx: FaultContext) -> Receipt:
        if handle.step == "two":
            raise RuntimeError("a driver's own")
        return real(handle, params, ctx)

    toy.fault.revert = revert  # type: ignore[method-assign]
    engine = of_process(toy)
    toy.during = lambda spec: lose(engine) if spec.arm is Arm.TREATMENT else None
    with pytest.raises(LedgerError, match=r"not undone: run-1/two: .*RuntimeError"):
        engine.exercise(RUN)
    assert toy.word() == HEALTHY
