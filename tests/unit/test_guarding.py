"""The lookouts of an arm, one look at a time: what trips, what is forgiven for a while, and what silence means."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from chaos_tasks import registry
from chaos_tasks.errors import GuardTripped, LedgerError, ProbeError, SetupError
from chaos_tasks.guarding import Guarding, Lookout, Tripped
from chaos_tasks.model.experiment import StopCondition
from chaos_tasks.model.spec import TrialSpec
from chaos_tasks.model.target import Progress
from chaos_tasks.model.trial import Arm
from chaos_tasks.probes.base import Measurement, ProbeParams
from chaos_tasks.probes.live import Scene
from chaos_tasks.safety.lever import Lever
from chaos_tasks.testing.clock import FakeClock
from tests.unit.toy_project import ToyProject, register, request


@dataclass
class Ended:
    """Counts how often the workload was ended."""

    times: int = 0

    def __call__(self) -> None:
        """End it."""
        self.times += 1


@dataclass
class Reads:
    """A live probe that says what a test tells it to."""

    answers: list[object] = field(default_factory=list)
    kind = "test.reads"
    summary = "As told"
    params_type = ProbeParams
    needs_trial = True

    def read(self, scene: Scene, params: ProbeParams) -> Measurement:
        """The next answer; an error is raised."""
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return Measurement(value=answer)


@dataclass
class Scenery:
    """A guarding whose threads do not run."""

    toy: ToyProject
    out: Path
    probe: Reads = field(default_factory=Reads)
    ended: Ended = field(default_factory=Ended)

    def guarding(self, **more: Any) -> Guarding:
        """Of the toy's treatment."""
        told: dict[str, Any] = {"open_ledger": lambda: self.toy.ledger, **more}
        plan = self.toy.engine().plan(request())
        return Guarding(plan, self.toy.clock, **told)

    def spec(self, trial_id: str = "t") -> TrialSpec:
        """Of a treatment trial."""
        return TrialSpec(
            trial_id=trial_id,
            run_id="run-1",
            experiment="toy",
            arm=Arm.TREATMENT,
            seed=1,
            command=("true",),
            cwd="/",
            out=str(self.out),
            checkpoints="",
            progress=Progress(file="progress.jsonl"),
            timeout_s=1,
        )


@pytest.fixture
def scenery(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scenery:
    toy = ToyProject(tmp_path / "home")
    register(monkeypatch, toy.fault)
    found = Scenery(toy, tmp_path)
    real = registry.live_probe
    monkeypatch.setattr(registry, "live_probe", lambda kind: found.probe if kind == "test.reads" else real(kind))
    return found


def condition(**changes: Any) -> StopCondition:
    told = {"name": "loss", "probe": "test.reads", "tolerance": {"type": "range", "max": 2}}
    return StopCondition.model_validate({**told, **changes})


def told(guarding: Guarding) -> Tripped:
    """What tripped."""
    assert guarding.tripped is not None
    return guarding.tripped


def lookout(guarding: Guarding, name: str) -> Lookout:
    return next(one for one in guarding.lookouts() if one.name == name)


def test_the_first_to_trip_ends_the_workload_once(scenery: Scenery) -> None:
    guarding = scenery.guarding()
    guarding.begins(scenery.spec(), scenery.ended)
    guarding.trip(Tripped("first"))
    guarding.trip(Tripped("second"))
    assert scenery.ended.times == 1
    with pytest.raises(GuardTripped, match="first"):
        guarding.check()


def test_what_trips_between_two_trials_ends_the_next_at_its_start(scenery: Scenery) -> None:
    guarding = scenery.guarding()
    guarding.trip(Tripped("meanwhile"))
    guarding.begins(scenery.spec(), scenery.ended)
    assert scenery.ended.times == 1


def test_a_condition_trips_on_a_bad_reading_and_on_none(scenery: Scenery) -> None:
    for answer in (9.0, ProbeError("gone")):
        guarding = scenery.guarding(conditions=(condition(),))
        one = lookout(guarding, "loss")
        guarding.begins(scenery.spec(), scenery.ended)
        scenery.probe.answers = [1.0, answer]
        assert one.turn() is None
        found = one.turn()
        assert found is not None
        assert found.stopped is not None
        assert found.stopped.condition == "loss"
        assert [reading.trial for reading in found.stopped.readings] == ["t", "t"]


def test_within_the_grace_of_each_trial_nothing_counts(scenery: Scenery) -> None:
    guarding = scenery.guarding(conditions=(condition(grace=timedelta(seconds=10)),))
    one = lookout(guarding, "loss")
    for name in ("t", "u"):
        guarding.begins(scenery.spec(name), scenery.ended)
        scenery.probe.answers = [9.0, 9.0]
        scenery.toy.clock.advance(9)
        assert one.turn() is None
    scenery.toy.clock.advance(1)
    assert one.turn() is not None


def test_strikes_of_what_is_no_trials_own_are_counted_through_short_trials(scenery: Scenery) -> None:
    """A service that is down all night trips, also where no trial lasts for as many readings as it takes."""
    scenery.probe.needs_trial = False
    guarding = scenery.guarding(conditions=(condition(strikes=3, of=5),))
    one = lookout(guarding, "loss")
    seen: list[Tripped | None] = []
    for name in ("t", "u"):
        guarding.begins(scenery.spec(name), scenery.ended)
        scenery.probe.answers = [9.0, 9.0]
        seen += [one.turn(), one.turn()]
        guarding.ends()
    assert [found is not None for found in seen] == [False, False, True, True]


def test_strikes_of_a_trials_own_reading_begin_anew_with_each_trial(scenery: Scenery) -> None:
    guarding = scenery.guarding(conditions=(condition(strikes=3, of=5),))
    one = lookout(guarding, "loss")
    for name in ("t", "u"):
        guarding.begins(scenery.spec(name), scenery.ended)
        scenery.probe.answers = [9.0, 9.0]
        assert [one.turn(), one.turn()] == [None, None]


def test_between_trials_there_is_nothing_to_read_and_that_is_no_silence(scenery: Scenery) -> None:
    guarding = scenery.guarding(conditions=(condition(),))
    one = lookout(guarding, "loss")
    scenery.toy.clock.advance(1000)
    assert one.turn() is None
    assert one.silent_s() == 0
    guarding.begins(None, scenery.ended)  # a control beside the fault
    assert one.turn() is None


def test_a_probe_with_a_bug_of_its_own_is_silent_and_silence_trips(scenery: Scenery) -> None:
    guarding = scenery.guarding(conditions=(condition(),))
    guarding._lookouts = guarding.lookouts()
    (one,) = guarding._lookouts
    guarding.begins(scenery.spec(), scenery.ended)
    scenery.probe.answers = [ZeroDivisionError()]
    assert one.turn() is None
    scenery.toy.clock.advance(20)
    guarding.mind_the_silent()
    assert scenery.ended.times == 0
    scenery.toy.clock.advance(1)
    guarding.mind_the_silent()
    tripped = told(guarding)
    assert tripped.text == "loss could not be looked at for 21 s: ZeroDivisionError"
    assert tripped.stopped is not None
    assert scenery.ended.times == 1


@dataclass
class Handle:
    """A handle that may be down."""

    down: bool = True
    name: str = "far handle"

    def pulled(self) -> str | None:
        """Not pulled."""
        if self.down:
            raise SetupError("no answer")
        return None


def test_a_pulled_lever_trips_at_once_and_one_that_cannot_be_read_after_a_lease(scenery: Scenery) -> None:
    toy = scenery.toy
    lever = Lever(toy.home, toy.ledger, toy.clock, handles=(Handle(),))
    guarding = scenery.guarding(lever=lever)
    guarding._lookouts = guarding.lookouts()
    near, far = guarding._lookouts
    assert near.turn() is None
    assert far.turn() is None
    assert far.trouble == "far handle cannot be read: no answer"
    toy.clock.advance(59)
    assert near.turn() is None
    guarding.mind_the_silent()
    guarding.check()
    lever.pull("enough", by="kim")
    found = near.turn()
    assert found is not None
    assert "enough" in found.text
    toy.clock.advance(2)
    guarding.mind_the_silent()
    assert "lever's handles could not be looked at for 61 s: far handle" in told(guarding).text


def test_what_is_not_allowed_any_more_trips_and_a_ledger_that_is_down_waits(scenery: Scenery) -> None:
    answers: list[Exception | None] = [None, LedgerError("down"), GuardTripped("the window closes", remedy="wait")]

    def allowed(*_: object) -> None:
        answer = answers.pop(0)
        if answer is not None:
            raise answer

    one = lookout(scenery.guarding(allowed=allowed), "limits")
    assert [one.turn(), one.turn()] == [None, None]
    assert one.turn() == Tripped("the window closes", "wait")


def test_threads_trip_by_themselves_and_leave_with_the_arm(scenery: Scenery) -> None:
    toy = scenery.toy
    lever = Lever(toy.home, toy.ledger, toy.clock)
    guarding = scenery.guarding(lever=lever)
    lever.pull("enough", by="kim")
    with guarding:
        for thread in guarding._threads:
            thread.join(30)
    assert guarding.tripped is not None
    assert not any(thread.is_alive() for thread in guarding._threads)


def test_a_real_series_is_read_from_the_folder_of_the_trial_that_runs(scenery: Scenery) -> None:
    asked = condition(probe="live.series", params={"field": "loss"})
    guarding = scenery.guarding(conditions=(asked,))
    one = lookout(guarding, "loss")
    guarding.begins(scenery.spec(), scenery.ended)
    (scenery.out / "progress.jsonl").write_text(json.dumps({"step": 1, "loss": 7.5}) + "\n")
    found = one.turn()
    assert found is not None
    assert "is 7.5" in found.text


def test_an_arm_of_a_test_without_a_ledger_of_its_own_starts_no_threads() -> None:
    clock = FakeClock()
    with Guarding(None, clock) as guarding:  # type: ignore[arg-type]
        assert not guarding._threads
