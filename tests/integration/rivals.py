"""A program: two live processes of one run, the first of which stands still and wakes when the second is through.

Prints one JSON list of what was played: every point of the first one's step at which it stood, and what was wrong then.
It forks, so it is no part of a process with threads.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path

import psutil

from chaos_tasks.errors import SquallError
from chaos_tasks.lab import postgres
from chaos_tasks.ledger import open_ledger
from chaos_tasks.ledger.verify import verify
from chaos_tasks.model.handle import Finding, Phase
from chaos_tasks.model.record import RecordKind
from chaos_tasks.model.trial import Arm, TrialStatus
from chaos_tasks.runs import Run
from chaos_tasks.testing.crash import COMMIT, Moment
from tests.kill_matrix import actors, children
from tests.kill_matrix.actors import Stage
from tests.kill_matrix.cells import How, Point, Role
from tests.kill_matrix.lab import Lab
from tests.kill_matrix.spawning import Spawner
from tests.kill_matrix.striking import Striker
from tests.kill_matrix.worlds import World, make_world

WITHIN_S = 120.0
FENCED, DONE = "Fenced", "done"
_numbers = count(1)  # of all arenas: they share a database server


@dataclass
class Arena:
    """Stages for one world on one sort of ledger."""

    world: World
    lab: Lab
    ledger: str
    folder: Path

    def stage(self) -> Stage:
        """A new run on a new ledger."""
        name = f"rival-{self.ledger}-{next(_numbers)}"
        folder = self.folder / name
        folder.mkdir(parents=True)
        url = f"sqlite:///{folder}/ledger.db"
        if self.ledger == "postgresql":
            url = postgres.create_database(self.lab.getfixturevalue("pg_server"), f"r{os.getpid()}_{next(_numbers)}")
        return Stage(self.world, url, name, folder)

    def clear(self, stage: Stage) -> None:
        """What a stage left on the disk."""
        shutil.rmtree(self.world.settings.home / "runs" / stage.run_id, ignore_errors=True)
        shutil.rmtree(stage.folder, ignore_errors=True)


# --- processes ------------------------------------------------------------------------------------------------------


def act(stage: Stage, steps: tuple[str, ...], striker: Striker, name: str) -> None:
    """Steps of the run in a process of their own; what came of it is written down under a name."""
    striker.role, striker.engine = Role.ENGINE, os.getpid()
    said = DONE
    with closing(open_ledger(stage.ledger_url)) as ledger, actors.followed(striker, stage):
        actors.beat(ledger)
        engine = actors.engine(stage, ledger, Spawner(stage.world.clients, stage.ledger_url, striker))
        for step in steps:
            try:
                engine.arm(stage.request()) if step == "arm" else getattr(engine, step)(stage.run_id)
            except SquallError as error:
                said = type(error).__name__
                (stage.folder / f"{name}.why").write_text(error.message)
                break
    (stage.folder / name).write_text(said)


def do(stage: Stage, *steps: str, name: str = "other") -> str:
    """The same, waited for."""
    (stage.folder / name).unlink(missing_ok=True)
    children.run(partial(act, stage, steps, Striker(), name), stage.folder / "log", WITHIN_S)
    return told(stage, name)


def prepare(stage: Stage, steps: tuple[str, ...]) -> None:
    """The steps before the one that two processes are at."""
    if (said := do(stage, *steps)) != DONE:
        log = (stage.folder / "log").read_text()[-2000:]
        raise AssertionError(f"{', '.join(steps)}: {said}: {told(stage, 'other.why')}\n{log}")


def told(stage: Stage, name: str) -> str:
    """What a process wrote down at its end."""
    path = stage.folder / name
    return path.read_text() if path.exists() else "no answer"


@dataclass(frozen=True)
class Sleeper:
    """A process of the run that stands still, and the engine process that it belongs to."""

    stage: Stage
    engine: int
    stopped: int

    def wake(self) -> str:
        """Let it go on to its end; what it wrote down."""
        with suppress(ProcessLookupError):
            os.kill(self.stopped, signal.SIGCONT)
        children.wait(self.engine, WITHIN_S)
        return told(self.stage, "sleeper")


def fall_asleep(stage: Stage, step: str, aim: Point) -> Sleeper:
    """Begin the step, and stand still at the point."""
    striker = Striker(aim=aim, how=How.STOP, mark=stage.folder / "blow")
    engine = children.start(partial(act, stage, (step,), striker, "sleeper"), stage.folder / "log")
    deadline = time.monotonic() + WITHIN_S
    while (pid := _struck(stage)) is None or psutil.Process(pid).status() != psutil.STATUS_STOPPED:
        if time.monotonic() > deadline or told(stage, "sleeper") != "no answer":
            raise AssertionError(f"{step} never stood still at {aim}: {(stage.folder / 'log').read_text()[-2000:]}")
        time.sleep(children.POLL_S)
    return Sleeper(stage, engine, pid)


def _struck(stage: Stage) -> int | None:
    mark = stage.folder / "blow"
    text = mark.read_text() if mark.exists() else ""
    return int(json.loads(text.splitlines()[0])["pid"]) if text.endswith("\n") else None


def points(arena: Arena, before: tuple[str, ...], step: str) -> list[Point]:
    """Every point of a step where a process can stand still: not within a transaction."""
    stage = arena.stage()
    prepare(stage, before)
    striker = Striker(trace=stage.folder / "trace")
    children.run(partial(act, stage, (step,), striker, "other"), stage.folder / "log", WITHIN_S)
    found = [Point.model_validate_json(line) for line in (stage.folder / "trace").read_text().splitlines()]
    do(stage, "revert")
    arena.clear(stage)
    return [one for one in found if not (one.what == COMMIT and one.moment is Moment.BEFORE)]


def some(found: list[Point], number: int) -> list[Point]:
    """Spread over the step."""
    return [found[int((n + 0.5) * len(found) / number)] for n in range(number)] if len(found) > number else found


# --- what is played -------------------------------------------------------------------------------------------------


def two_injects(arena: Arena, number: int) -> Iterator[tuple[Point, list[str]]]:
    """The second one's fault is in and stays in; the run is measured and judged as any other."""
    before = ("arm", "baseline")
    for aim in some(points(arena, before, "inject"), number):
        stage = arena.stage()
        prepare(stage, before)
        sleeper = fall_asleep(stage, "inject", aim)
        wrong = [] if (said := do(stage, "inject")) == DONE else [f"the second inject: {said}"]
        said = sleeper.wake()
        wrong += [] if said in (FENCED, DONE) else [f"the sleeper: {said}"]
        wrong += _not_in(stage)
        wrong += [] if (said := do(stage, "exercise", "revert", "recovery", "judge")) == DONE else [f"the rest: {said}"]
        yield aim, [*wrong, *_not_measured(stage), *_not_out(stage)]
        arena.clear(stage)


def an_inject_that_wakes_after_the_revert(arena: Arena, number: int) -> Iterator[tuple[Point, list[str]]]:
    """It undoes what it did too late."""
    before = ("arm", "baseline")
    for aim in some(points(arena, before, "inject"), number):
        stage = arena.stage()
        prepare(stage, before)
        sleeper = fall_asleep(stage, "inject", aim)
        wrong = [] if (said := do(stage, "inject", "revert")) == DONE else [f"the second: {said}"]
        said = sleeper.wake()
        wrong += [] if said in (FENCED, DONE) else [f"the sleeper: {said}"]
        yield aim, [*wrong, *_not_out(stage)]
        arena.clear(stage)


def two_reverts(arena: Arena, number: int) -> Iterator[tuple[Point, list[str]]]:
    """The place is as it was, proved once, whoever wakes when."""
    before = ("arm", "baseline", "inject", "exercise")
    for aim in some(points(arena, before, "revert"), number):
        stage = arena.stage()
        prepare(stage, before)
        sleeper = fall_asleep(stage, "revert", aim)
        wrong = [] if (said := do(stage, "revert")) == DONE else [f"the second revert: {said}"]
        said = sleeper.wake()
        wrong += [] if said in (FENCED, DONE) else [f"the sleeper: {said}"]
        wrong += [] if (said := do(stage, "recovery", "judge")) == DONE else [f"the rest: {said}"]
        yield aim, [*wrong, *_not_measured(stage), *_not_out(stage)]
        arena.clear(stage)


def two_exercises(arena: Arena, number: int) -> Iterator[tuple[Point, list[str]]]:
    """The second one's trial is the one that counts; the first one says nothing more and ends nothing of it."""
    before = ("arm", "baseline", "inject")
    found = points(arena, before, "exercise")
    firing = [one for one in found if one.role is Role.SUPERVISOR and one.phase.startswith("firing")]
    engine = [one for one in found if one.role is Role.ENGINE]
    for aim in [*some(engine, number), *some(firing, number)]:
        stage = arena.stage()
        prepare(stage, before)
        sleeper = fall_asleep(stage, "exercise", aim)
        said = do(stage, "exercise")
        wrong = [] if said == DONE else [f"the second exercise: {said}"]
        said = sleeper.wake()
        wrong += [] if said in (FENCED, DONE) else [f"the sleeper: {said}: {told(stage, 'sleeper.why')}"]
        wrong += [] if (said := do(stage, "revert", "recovery", "judge")) == DONE else [f"the rest: {said}"]
        yield aim, [*wrong, *_not_measured(stage, taken_up=aim.role is Role.SUPERVISOR), *_not_out(stage)]
        arena.clear(stage)


def _not_in(stage: Stage) -> Iterator[str]:
    with closing(open_ledger(stage.ledger_url)) as ledger:
        for state in ledger.handles(run_id=stage.run_id):
            if state.phase is not Phase.INJECTED:
                yield f"{state.handle.id} is {state.phase.value} after both"
            params = stage.world.fault.params_type.model_validate(dict(state.handle.params))
            found = stage.world.fault.inspect(state.handle, params, actors.context(stage))
            if found is not Finding.INJECTED:
                yield f"inspection finds {found.value} after both"


def _not_measured(stage: Stage, *, taken_up: bool = False) -> Iterator[str]:
    with closing(open_ledger(stage.ledger_url)) as ledger:
        trials = [end.trial for end in Run(ledger, stage.run_id).ended_trials(Arm.TREATMENT)]
        if len(trials) != 1 or (trials[0].status is not TrialStatus.COMPLETED and not taken_up):
            yield f"treatment trials: {[(one.status.value, one.error) for one in trials]}"
        if Run(ledger, stage.run_id).verdict() is None:
            yield "there is no verdict"


def _not_out(stage: Stage) -> Iterator[str]:
    with closing(open_ledger(stage.ledger_url)) as ledger:
        yield from actors.not_undone(stage, ledger, "")
        found = verify(ledger)
        for answer in (found.integrity, found.order):
            yield from (offence.what for offence in answer.first)
        again = Run(ledger, stage.run_id).stored(RecordKind.RUN_TAKEN_OVER)
        if len(again) > 1:
            yield f"taken over {len(again)} times"


PLAYS: dict[str, tuple[str, Callable[[Arena, int], Iterator[tuple[Point, list[str]]]]]] = {
    "two injects": ("data.label_flip", two_injects),
    "an inject that wakes after the revert": ("data.label_flip", an_inject_that_wakes_after_the_revert),
    "two reverts": ("data.label_flip", two_reverts),
    "two exercises": ("process.kill", two_exercises),
}


def main(ledger: str, points_each: str, *names: str) -> int:
    """Exit code 0 once all was played; what was wrong is on stdout."""
    children.adopt_orphans()
    lab = Lab()
    played = []
    try:
        if ledger == "postgresql":
            lab.getfixturevalue("pg_server")
        for name in names or PLAYS:
            kind, play = PLAYS[name]
            folder = lab.folder / name.replace(" ", "-")
            arena = Arena(make_world(kind, lab, folder / "world"), lab, ledger, folder)
            before = children.known()
            for aim, wrong in play(arena, int(points_each)):
                strays = children.end_strays(before)
                at = f"{aim.moment.value} {aim.what} ({aim.role.value}, {aim.phase} {aim.number})"
                played.append({"play": name, "at": at, "wrong": [*wrong, *strays]})
                sys.stderr.write(f"{name}, {at}: {'; '.join([*wrong, *strays]) or 'as promised'}\n")
    finally:
        lab.close()
    sys.stdout.write(json.dumps(played) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
