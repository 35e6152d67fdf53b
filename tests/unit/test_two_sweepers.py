"""Two sweepers share the work: what one hangs at keeps nothing else in, and no two are at the same place at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Event
from typing import Any

import pytest

from chaos_tasks.model.handle import Handle, HandleState, Phase, Receipt
from chaos_tasks.model.record import RecordKind
from chaos_tasks.testing.memory_ledger import MemoryLedger
from tests.unit.task_processes import RUN, WRITE
from tests.unit.toy_project import HEALTHY, HURT, ToyProject, request

RUNS = ("first", "second", "third")
PATIENCE_S = 30


class Hanging:
    """The undo of one run comes to this, and goes on when it may."""

    def __init__(self, toy: ToyProject, run_id: str) -> None:
        self.begun, self.may_end = Event(), Event()
        self._run_id, self._act = run_id, toy.fault.revert

    def revert(self, handle: Handle, *told: Any) -> Receipt:
        if handle.run_id == self._run_id:
            self.begun.set()
            assert self.may_end.wait(PATIENCE_S)
        return self._act(handle, *told)


@pytest.fixture
def hanging(toy: ToyProject, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hanging]:
    """Of runs that were killed under their faults the one whose undo comes first."""
    for run_id in RUNS:
        engine = toy.engine(lanes=len(RUNS), max_parallel_experiments=len(RUNS))
        engine.arm(request(run_id, name=run_id))
        engine.inject(run_id)
    toy.clock.advance(4000)
    hanging = Hanging(toy, RUNS[-1])
    monkeypatch.setattr(toy.fault, "revert", hanging.revert)
    yield hanging
    hanging.may_end.set()


def test_what_one_hangs_at_keeps_nothing_else_in(toy: ToyProject, hanging: Hanging) -> None:
    with ThreadPoolExecutor(1) as aside:
        one = aside.submit(toy.sweeper().sweep, watching=True)
        assert hanging.begun.wait(PATIENCE_S)
        swept = toy.sweeper().sweep(watching=True)
        assert [(done.run_id, done.reverted) for done in swept] == [("second", True), ("first", True)]
        assert [toy.word(run_id) for run_id in RUNS] == [HEALTHY, HEALTHY, HURT]
        assert toy.sweeper().sweep(watching=True) == (), "the third is in good hands"
        hanging.may_end.set()
        assert [(done.run_id, done.reverted) for done in one.result(PATIENCE_S)] == [("third", True)]
    assert [state.phase for state in toy.ledger.handles()] == [Phase.REVERTED] * len(RUNS)
    for run_id in RUNS:
        assert toy.kinds(run_id).count(RecordKind.REVERT_VERIFIED) == 1


def test_what_one_is_at_is_left_to_it_with_all_that_touches_the_same(
    toy: ToyProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A policy is read and written as a whole: of two undos at once the later one would put the other's back in."""
    engine = toy.engine()
    engine.arm(request(method=[WRITE, {**WRITE, "name": "again"}]))
    engine.inject(RUN)
    toy.clock.advance(4000)
    hanging = Hanging(toy, RUN)
    monkeypatch.setattr(toy.fault, "revert", hanging.revert)
    listed = toy.ledger.handles(expired=True)
    with ThreadPoolExecutor(1) as aside:
        one = aside.submit(toy.sweeper().sweep, watching=True)
        assert hanging.begun.wait(PATIENCE_S)
        try:
            assert toy.sweeper().sweep(watching=True) == ()
            looked_before = replace(toy.sweeper(), ledger=Remembering(toy.ledger, listed))  # type: ignore[arg-type]
            assert looked_before.sweep(watching=True) == ()
        finally:
            hanging.may_end.set()
        assert [done.handle_id for done in one.result(PATIENCE_S)] == [f"{RUN}/again", f"{RUN}/write"]
    assert toy.word() == HEALTHY
    assert toy.kinds().count(RecordKind.REVERT_INTENT) == 2


class Remembering:
    """A ledger whose expired handles were listed some time ago."""

    def __init__(self, ledger: MemoryLedger, listed: Sequence[HandleState]) -> None:
        self._ledger, self._listed = ledger, tuple(listed)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ledger, name)

    def handles(self, *, expired: bool = False, **which: Any) -> tuple[HandleState, ...]:
        return self._listed if expired else tuple(self._ledger.handles(**which))
