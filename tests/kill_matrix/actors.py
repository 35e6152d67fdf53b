"""The processes of a cell: the run, its supervisor, the sweep, the revert task, and whoever looks afterwards.

Each function is called in a forked child and builds everything anew, as a process that has just started would.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType
from typing import Any
from unittest.mock import patch

from chaos_tasks import acts
from chaos_tasks.clock import SystemClock
from chaos_tasks.engine import Engine, EngineParts
from chaos_tasks.errors import SquallError
from chaos_tasks.exercising import TrialLoop
from chaos_tasks.faults.base import FaultContext
from chaos_tasks.ledger import DatabaseLedger, open_ledger, schema
from chaos_tasks.ledger.database import Database
from chaos_tasks.ledger.opening import open_database
from chaos_tasks.ledger.verify import verify
from chaos_tasks.model.handle import Handle, Phase
from chaos_tasks.model.place import Place, TaskPlace
from chaos_tasks.model.plan import Plan, Recorder
from chaos_tasks.model.request import RunRequest
from chaos_tasks.model.trial import TrialStatus
from chaos_tasks.model.verdict import Outcome
from chaos_tasks.runs import Run
from chaos_tasks.safety.guards import SWEEPER, own_beat
from chaos_tasks.sweeping import Sweeper
from chaos_tasks.targets.process import ProcessIdentity, host
from chaos_tasks.testing.crash import Moment, commits_watched, watched
from chaos_tasks.workspaces import Workspaces
from tests.kill_matrix import witness
from tests.kill_matrix.cells import Role
from tests.kill_matrix.spawning import Spawner, SpawningRunner
from tests.kill_matrix.striking import BOUNDARY, INJECTED, Striker
from tests.kill_matrix.worlds import World

STEPS = ("arm", "baseline", "inject", "exercise", "revert", "recovery", "judge")
LONG_AGO_MS = 10**9  # longer than any lease
_LEASED = [
    statement.split()[5]
    for statement in schema.TABLES.split(";\n")
    if "TABLE" in statement and "lease_until" in statement
]


@dataclass(frozen=True)
class Stage:
    """Where a cell plays: its world, its ledger and its run."""

    world: World
    ledger_url: str
    run_id: str
    folder: Path
    task: TaskPlace | None = None

    def request(self, suffix: str = "") -> RunRequest:
        """The run, or another one after it."""
        return RunRequest(run_id=self.run_id + suffix, experiment=self.world.experiment, requested_by="tests")


class NobodyLooks:
    """Publishing comes after the verdict, and can be repeated."""

    def publish(self, run_id: str) -> str:
        """Nothing."""
        return ""


# --- the run --------------------------------------------------------------------------------------------------------


def run(stage: Stage, striker: Striker) -> None:
    """The whole experiment, as `squall run` has it; SIGTERM stops it as Ctrl-C does."""
    signal.signal(signal.SIGTERM, _stop)
    striker.role, striker.engine = Role.ENGINE, os.getpid()
    with closing(open_ledger(stage.ledger_url)) as ledger:
        beat(ledger)
        with followed(striker, stage):
            engine(stage, ledger, Spawner(stage.world.clients, stage.ledger_url, striker)).run(stage.request())


def beat(ledger: DatabaseLedger) -> None:
    """A sweeper of this host watches, as far as a run can tell."""
    for name in (SWEEPER, own_beat(host())):
        ledger.beat(name)


def _stop(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


@contextmanager
def followed(striker: Striker, stage: Stage) -> Iterator[None]:
    """Within: the striker sees every act, and knows the step that it belongs to."""
    with ExitStack() as patches:
        for name in STEPS:
            patches.enter_context(patch.object(Engine, name, _in_step(striker, name, stage)))
        for name in ("inject", "revert"):
            patches.enter_context(patch.object(acts, name, _in_act(striker, name, stage)))
        patches.enter_context(watching(striker))
        yield


@contextmanager
def watching(striker: Striker) -> Iterator[None]:
    """Within: the striker sees every act of this thread."""
    with commits_watched(Database, striker.see), watched(striker.see, reads=False):
        yield


def _in_step(striker: Striker, name: str, stage: Stage) -> Any:
    original = getattr(Engine, name)
    extra = {"task_place": stage.task} if name == "exercise" and stage.task is not None else {}

    def step(self: Engine, *args: Any, **kwargs: Any) -> Any:
        with striker.step(name):
            return original(self, *args, **{**extra, **kwargs})

    return step


def _in_act(striker: Striker, name: str, stage: Stage) -> Any:
    original = getattr(acts, name)

    def act(*args: Any, **kwargs: Any) -> Any:
        phase = {Role.ENGINE: name, Role.SUPERVISOR: f"firing: {name}"}.get(striker.role, striker.phase)
        if name == "inject":
            with striker.within(""):  # looking is no act of the run's
                _bear_witness(stage, args[1].handle)
        try:
            with striker.within(phase):
                answer = original(*args, **kwargs)
            if name == "inject" and striker.role is Role.SUPERVISOR:
                with striker.within(INJECTED):
                    striker.see(Moment.AFTER, f"{BOUNDARY} {INJECTED}")
            return answer
        finally:
            if striker.role is Role.SUPERVISOR:
                _let_go(stage)

    return act


def _bear_witness(stage: Stage, handle: Handle) -> None:
    """Write down what the place holds before anything is done to it; once, however often injection is tried."""
    known = _witness_of(stage, handle)
    if not known.exists():
        known.write_text(witness.seen(handle.place, stage.world.clients))


def _witness_of(stage: Stage, handle: Handle) -> Path:
    return stage.folder / f"{handle.id.replace('/', '.')}.seen"


def _let_go(stage: Stage) -> None:
    """The workload waits for this before it goes on."""
    trials = stage.world.settings.home / "runs" / stage.run_id / "trials"
    for folder in trials.glob("treatment-*"):
        (folder / "fired").mkdir(exist_ok=True)


def engine(stage: Stage, ledger: DatabaseLedger, spawner: Spawner | None = None) -> Engine:
    """The real engine on real parts; its supervisors come from the spawner, so that no interpreter starts anew."""
    world, clock = stage.world, SystemClock()
    settings = world.settings.model_copy(update={"ledger_url": stage.ledger_url})
    recorder = Recorder(host=host(), dag_id="kill-matrix" if world.needs_task else "")
    workspaces = Workspaces(settings.home, settings.python, world.clients)

    def open_runner(plan: Plan) -> SpawningRunner:
        assert spawner is not None
        return SpawningRunner(spawner, Path(plan.workspace) / "supervisor.log")

    loop = TrialLoop(ledger, clock, recorder, workspaces, world.clients, open_runner)
    return Engine(EngineParts(settings, ledger, clock, world.clients, workspaces, NobodyLooks(), recorder, loop))


# --- who comes after it ---------------------------------------------------------------------------------------------


def end_leases(stage: Stage) -> None:
    """The database's clock has passed every lease of this ledger."""
    database = open_database(stage.ledger_url)
    with database.transaction() as session:
        for table in _LEASED:
            session.write(f"UPDATE {table} SET lease_until = lease_until - {LONG_AGO_MS}")
    database.close()


def sweep(stage: Stage, striker: Striker | None = None) -> None:
    """One look of the sweeper, in a process of its own."""
    striker = striker or Striker()
    striker.role, striker.phase = Role.SWEEPER, "sweep"
    with closing(open_ledger(stage.ledger_url)) as ledger, watching(striker):
        _sweeper(stage, ledger).sweep()


def _sweeper(stage: Stage, ledger: DatabaseLedger) -> Sweeper:
    world = stage.world
    workspaces = Workspaces(world.settings.home, world.settings.python, world.clients)
    return Sweeper(ledger, SystemClock(), world.clients, workspaces, Recorder(host=host()))


def teardown(stage: Stage) -> None:
    """The revert task of the run, within its lease."""
    with closing(open_ledger(stage.ledger_url)) as ledger, suppress(SquallError):
        engine(stage, ledger).revert(stage.run_id)


# --- who looks ------------------------------------------------------------------------------------------------------


def fingerprint(stage: Stage, place: Place) -> str:
    """Of a place, now."""
    return stage.world.fault.fingerprint(place, context(stage)).digest


def context(stage: Stage) -> FaultContext:
    scratch = stage.folder / "scratch"
    scratch.mkdir(exist_ok=True)
    return FaultContext(clock=SystemClock(), clients=stage.world.clients, scratch=scratch)


def look(stage: Stage, pristine: str, report: Path) -> None:
    """Write down what is not as promised, and how the run was judged."""
    with closing(open_ledger(stage.ledger_url)) as ledger:
        wrong = [*not_undone(stage, ledger, pristine)]
        outcome = _judged(stage, ledger, wrong)
        wrong += _not_whole(ledger)
        wrong += _not_free(stage, ledger)
    report.write_text(json.dumps({"wrong": wrong, "outcome": outcome}))


def pristine(stage: Stage, report: Path) -> None:
    """Write down the fingerprint of a place that stands before the run."""
    place = stage.world.standing
    report.write_text(json.dumps(fingerprint(stage, place) if place is not None else ""))


def not_undone(stage: Stage, ledger: DatabaseLedger, pristine: str) -> Iterator[str]:
    world = stage.world
    for state in ledger.handles(run_id=stage.run_id):
        if state.phase is not Phase.REVERTED:
            yield f"{state.handle.id} is {state.phase.value}"
        parts = acts.ActParts(ledger, world.fault, context(stage), Recorder())
        before = acts.before_fingerprint(parts, state.handle)
        if world.restores and (before is None or fingerprint(stage, state.handle.place) != before.digest):
            yield f"the place of {state.handle.id} is not what it was when it was armed"
        yield from _not_as_seen(stage, state.handle)
    if pristine and world.standing is not None and fingerprint(stage, world.standing) != pristine:
        yield "the place is not what it was before the run"


def _not_as_seen(stage: Stage, handle: Handle) -> Iterator[str]:
    """What other eyes than the fault's own find there; nothing to compare where it was never begun."""
    known, yet = _witness_of(stage, handle), witness.seen(handle.place, stage.world.clients)
    before = known.read_text() if known.exists() else yet
    if stage.world.restores and before != yet:
        yield f"the place of {handle.id} differs to other eyes: {witness.difference(before, yet)}"
    yield from witness.torn(handle.place)


def _judged(stage: Stage, ledger: DatabaseLedger, wrong: list[str]) -> str:
    """Judge it, whoever was to; empty where nothing was registered."""
    if Run(ledger, stage.run_id).registered() is None:
        return ""
    verdict = engine(stage, ledger).judge(stage.run_id)
    if verdict.outcome is Outcome.UNREVERTED:
        wrong.append(f"the verdict is unreverted: {verdict.sentence}")
    return verdict.outcome.value


def _not_whole(ledger: DatabaseLedger) -> Iterator[str]:
    found = verify(ledger)
    for name, answer in (("integrity", found.integrity), ("order", found.order), ("completeness", found.completeness)):
        for offence in answer.first:
            yield f"{name} of the ledger: {offence.what}"
    for handle in found.open_handles:
        yield f"{handle} is open"
    for run_id in found.unfinished_runs:
        yield f"{run_id} never ends"


def _not_free(stage: Stage, ledger: DatabaseLedger) -> Iterator[str]:
    """A new run arms on the same target; where a fault heals by itself, its workload runs through too."""
    after = replace(stage, run_id=f"{stage.run_id}.after", task=None)
    own = engine(after, ledger, Spawner(stage.world.clients, stage.ledger_url, Striker()))
    try:
        beat(ledger)
        plan = own.arm(after.request())
        if not stage.world.restores:
            own.baseline(plan.run_id)
            trials = [end.trial for end in Run(ledger, plan.run_id).ended_trials()]
            if [trial.status for trial in trials] != [TrialStatus.COMPLETED]:
                yield "the target is not healthy: a clean trial does not complete"
        own.revert(plan.run_id)
        ledger.release(plan.run_id)
    except SquallError as error:
        yield f"no new run can arm: {error.message}"


def a_task(stop: Path) -> None:
    """A process that stands for an Airflow task: it waits to be killed."""
    clock = SystemClock()
    while not stop.exists():
        clock.sleep(0.02)


def task_place(pid: int, run_id: str) -> TaskPlace:
    """The place of such a process."""
    identity = ProcessIdentity.of(pid)
    assert identity is not None
    return identity.as_task(dag_id="kill-matrix", run_id=run_id, task_id="exercise", try_number=1)
