"""Right before a fault goes in: what is asked again, what must be as it was, and what may not be measured any more."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from threading import Event, Thread

import pytest

from chaos_tasks.clock import SystemClock
from chaos_tasks.errors import GuardTripped
from chaos_tasks.faults.base import FaultContext
from chaos_tasks.ledger import open_ledger
from chaos_tasks.model.handle import Fingerprint
from chaos_tasks.model.limits import BlastLimits
from chaos_tasks.model.place import Place
from chaos_tasks.model.plan import Recorder
from chaos_tasks.model.record import RecordKind
from chaos_tasks.model.verdict import Outcome
from chaos_tasks.safety import guards, limits
from chaos_tasks.targets.process import host
from tests.unit.task_processes import KILL, RUN, WRITE, allows, of_process
from tests.unit.toy_project import HEALTHY, ToyProject, request

STEPS = ("inject", "exercise", "revert", "recovery")
LEASE_S = 10.0


def beat(toy: ToyProject) -> None:
    for name in (guards.SWEEPER, guards.own_beat(host())):
        toy.ledger.beat(name)


@pytest.mark.parametrize("marked", [False, True])
def test_a_control_that_would_meet_the_fault_is_not_run_and_the_run_does_not_hold(
    toy: ToyProject, monkeypatch: pytest.MonkeyPatch, marked: bool
) -> None:
    """A task `baseline` that a person has marked as done: hurt alike, the two arms would look the same."""
    for module in ("chaos_tasks.engine", "chaos_tasks.exercising"):  # the toy stands for a bucket, say
        monkeypatch.setattr(f"{module}.controls_ahead", lambda plan: True)
    toy.metrics = lambda spec: {"auc": 0.9 if toy.word() == HEALTHY else 0.5}
    tolerance = {"type": "non_inferiority", "margin": 0.05}
    auc = {
        "name": "auc",
        "probe": "model.metric",
        "params": {"metric": "auc"},
        "when": "always",
        "tolerance": tolerance,
    }
    of_process(toy).arm(request(steady_state=[auc], analysis={"seeds": 5, "base_seed": 1}))
    if not marked:
        of_process(toy).baseline(RUN)
    of_process(toy).inject(RUN)
    if marked:
        with pytest.raises(GuardTripped, match="a control of run-1 would meet run-1/write, which is in"):
            of_process(toy).exercise(RUN)
        assert toy.word() == HEALTHY
    else:
        of_process(toy).exercise(RUN)
        of_process(toy).revert(RUN)
    assert of_process(toy).judge(RUN).outcome is (Outcome.ABORTED if marked else Outcome.DEVIATED)


def test_what_is_in_goes_out_where_the_exercise_step_is_refused(toy: ToyProject) -> None:
    both = {"targets": allows("toy", "process")}
    of_process(toy, **both).arm(request(method=[WRITE, KILL]))
    of_process(toy, **both).baseline(RUN)
    of_process(toy, **both).inject(RUN)
    toy.clock.advance(40)
    toy.ledger.beat(guards.SWEEPER)  # of another host: this one's own is silent
    with pytest.raises(GuardTripped, match="only a sweeper on"):
        of_process(toy, **both).exercise(RUN)
    assert toy.word() == HEALTHY


def test_a_run_over_noon_is_one_run_of_its_first_night(toy: ToyProject) -> None:
    """Nights are counted from noon to noon; one that hurts on both sides of it takes no second number."""
    allowed = {"targets": allows("process"), "limits": BlastLimits(experiments_per_night=1)}
    now = toy.clock.now()
    toy.clock.advance((now.replace(hour=11, minute=50, second=0) - now).total_seconds())
    beat(toy)
    plan = of_process(toy, **allowed).arm(request(method=[KILL]))
    of_process(toy, **allowed).baseline(RUN)
    of_process(toy, **allowed).inject(RUN)
    of_process(toy, **allowed).hand_over(RUN)
    toy.clock.advance(12 * 60)
    beat(toy)
    other = plan.model_copy(update={"run_id": "run-9"})  # it has the only number of the night that has begun
    limits.count(other, BlastLimits(experiments_per_night=1), toy.ledger, toy.clock, Recorder())
    assert of_process(toy, **allowed).exercise(RUN) > 0
    counted = [one.record.payload for one in toy.ledger.records(kinds=[RecordKind.NIGHT_COUNTED])]
    assert [payload.facts["run"] for payload in counted] == [RUN, "run-9"]  # type: ignore[union-attr]


def test_a_place_that_cannot_be_looked_at_any_more_is_a_refusal_on_record(toy: ToyProject) -> None:
    of_process(toy).arm(request())
    (toy.home / "runs" / RUN / "clone" / "word.csv").unlink()
    with pytest.raises(GuardTripped, match="cannot be looked at any more"):
        of_process(toy).inject(RUN)
    assert len(toy.notes(RecordKind.STOP_TRIGGERED)) == 1


def test_a_living_run_is_not_swept_while_it_looks_at_much_data_before_its_act(toy: ToyProject, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/ledger.db"
    toy.ledger, toy.clock = open_ledger(url), SystemClock()  # type: ignore[assignment]
    beat(toy)
    engine = toy.engine()
    engine.arm(request(guards={"lease": timedelta(seconds=LEASE_S)}))
    look, done, seen = toy.fault.fingerprint, Event(), list[str]()

    def slow(place: Place, ctx: FaultContext) -> Fingerprint:
        done.wait(1.2 * LEASE_S)
        return look(place, ctx)

    def watch() -> None:
        other = open_ledger(url)
        while not done.wait(0.2):
            seen.extend(state.handle.id for state in other.handles(expired=True))
        other.close()

    watcher = Thread(target=watch)
    watcher.start()
    try:
        toy.fault.fingerprint = slow  # type: ignore[method-assign]
        engine.inject(RUN)
    finally:
        done.set()
        watcher.join()
    assert seen == []
