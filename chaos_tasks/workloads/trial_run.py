"""Run one trial: start the workload, watch it, fire and revert, restart it as its own runtime would, and tell."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from threading import Event

from chaos_tasks import registry
from chaos_tasks.faults.base import FaultContext
from chaos_tasks.model.spec import Companion, TrialSpec
from chaos_tasks.model.trial import Arm, Launch, Trial, TrialStatus
from chaos_tasks.ports import Clients, Clock, Ledger
from chaos_tasks.redacting import redact_file
from chaos_tasks.renewing import renew_faults
from chaos_tasks.targets.process import MARK_VARIABLE, ProcessIdentity
from chaos_tasks.workloads import dag_sight, forked
from chaos_tasks.workloads.containment import Containment
from chaos_tasks.workloads.fencing import end_trial
from chaos_tasks.workloads.firing import FiringDesk
from chaos_tasks.workloads.harvest import digests, noticed, read_metrics, with_progress
from chaos_tasks.workloads.journal import Began, Journal, past_launches
from chaos_tasks.workloads.keeping import CheckpointKeeper
from chaos_tasks.workloads.launching import RunningLaunch, write_atomically
from chaos_tasks.workloads.lease import LeaseKeeper
from chaos_tasks.workloads.progress import highest_step, lost_steps
from chaos_tasks.workloads.session import end_session, guarded, start_session
from chaos_tasks.workloads.triggers import Sight

POLL_S = 0.02
SCRATCH = ".squall"


@dataclass(frozen=True)
class World:
    """What a trial run is given; ``stop`` is set when nobody waits for the trial any more."""

    ledger: Ledger
    open_ledger: Callable[[], Ledger]
    make_clients: Callable[[], Clients]
    clock: Clock
    stop: Event = field(default_factory=Event)
    find_fault: Callable[[str], registry.AnyFault] = registry.fault
    renewed: Callable[[float], None] = lambda until: None
    """Hears until when (monotonic seconds) the run was renewed, each time."""


@dataclass(frozen=True)
class _Ending:
    """Why watching ended; ``exit_code`` only where the workload ended by itself."""

    status: TrialStatus
    exit_code: int | None = None
    error: str = ""


class TrialRun:
    """One trial from its first launch to its last; used once."""

    def __init__(self, spec: TrialSpec, world: World) -> None:
        self._spec = spec
        self._world = world
        self._clock = world.clock
        self._out = Path(spec.out)
        self._journal = Journal(self._out)
        self._desk = FiringDesk(spec, world.ledger, self._context, world.find_fault)
        self._keeper = CheckpointKeeper.of(spec)
        self._contained = Containment.of(spec.watched, spec.permitted)
        self._launches: list[Launch] = []
        self._reached: list[tuple[int | None, int | None]] = []  # first and highest step of each launch
        self._companions: list[subprocess.Popen[bytes]] = []
        self._bound: float | None = None  # when the run that it is attached to was first seen
        self._began_at = self._started_at = self._clock.now()
        self._started = self._clock.monotonic()

    def run(self) -> Trial:
        """Run it to its end; raises WorkloadError when it could not be run at all, Fenced when it is not to be run.

        It acts under the incarnation of the process that asked for it: once that is superseded, so is this one, and
        it must not end what runs under its successor.
        """
        self._act_as_asked(self._world.ledger).acting(self._spec.run_id)
        for folder in (self._out, Path(self._spec.checkpoints)):
            folder.mkdir(parents=True, exist_ok=True)
        self._take_up()
        spec = self._spec
        keeper = LeaseKeeper(
            self._open_ledger, spec.run_id, spec.lease_s, self._clock, self._renew_faults, self._world.renewed
        )
        with guarded(f"{spec.trial_id}#{os.getpid()}."), keeper as lease, ExitStack() as undo:
            undo.callback(self._end_companions)
            undo.callback(self._desk.revert_all)
            undo.callback(self._unregister)
            self._start_companions()
            self._desk.take_up()
            if self._contained is not None:
                self._contained.begin()
            ending = self._within(self._lay_out_fork() or self._launch_until_done(lease))
        for log in self._out.glob("*.log"):
            redact_file(log)
        return self._tell(self._checked_fork(ending))

    # --- before -------------------------------------------------------------------------------------------------

    def _act_as_asked(self, ledger: Ledger) -> Ledger:
        if self._spec.incarnation:
            ledger.act_as(self._spec.run_id, self._spec.incarnation)
        return ledger

    def _open_ledger(self) -> Ledger:
        return self._act_as_asked(self._world.open_ledger())

    def _take_up(self) -> None:
        """End what an earlier supervisor of this trial left, and remember its launches."""
        end_trial(self._out, self._clock, self._world.make_clients() if self._spec.dag else None)
        past = past_launches(self._journal)
        for number, one in enumerate(past):
            cut_off = one.highest_step is None and number == len(past) - 1
            highest = highest_step(self._spec.progress, self._out) if cut_off else one.highest_step
            launch = one.launch
            if launch.ended_at is None:  # cut off with its supervisor; nobody saw it end
                launch = launch.model_copy(update={"ended_at": self._clock.now(), "last_step": highest})
            self._launches.append(launch)
            self._reached.append((launch.first_step, highest))
        if past:
            self._started_at = min(self._started_at, past[0].launch.started_at)
        began = Began(at=self._clock.now(), trial_id=self._spec.trial_id, supervisor=ProcessIdentity.mine())
        self._journal.append(began)

    def _lay_out_fork(self) -> _Ending | None:
        """Once, before the first launch: a later one goes on from the trial's own checkpoints."""
        if self._spec.fork is None or self._launches:
            return None
        why = forked.lay_out(self._spec.fork, Path(self._spec.checkpoints))
        return _Ending(TrialStatus.VOID, error=why) if why else None

    def _start_companions(self) -> None:
        for companion in self._spec.companions:
            self._companions.append(self._start_companion(companion))

    def _start_companion(self, companion: Companion) -> subprocess.Popen[bytes]:
        """Ours, not the pipeline's: it gets our environment, and a mark by which it is found when we are gone."""
        mark = f"{self._spec.trial_id}#{os.getpid()}.{companion.name}"
        environment = {**os.environ, MARK_VARIABLE: mark}
        log = self._out / f"companion-{companion.name}.log"
        return start_session(companion.command, cwd=self._spec.out, environment=environment, log=log)

    # --- while it runs ------------------------------------------------------------------------------------------

    def _launch_until_done(self, lease: LeaseKeeper) -> _Ending:
        restarts = self._spec.restarts
        number = len(self._launches)
        while True:
            number += 1
            ending = self._launch(number, lease)
            if ending.status is not TrialStatus.FAILED or restarts == 0:
                return ending
            restarts -= 1
            waited = self._await_holds(lease)
            if waited is not None:
                return waited

    def _launch(self, number: int, lease: LeaseKeeper) -> _Ending:
        launch = RunningLaunch(self._spec, number, self._journal, self._clock, self._world.make_clients)
        ending = _Ending(TrialStatus.VOID, error="the supervisor failed")
        try:
            ending = self._watch(launch, lease)
        finally:
            ended = launch.end(exit_code=ending.exit_code)
            self._launches.append(ended)
            self._reached.append((ended.first_step, launch.watch.steps.highest))
        return ending

    def _watch(self, launch: RunningLaunch, lease: LeaseKeeper) -> _Ending:
        while True:
            code = launch.look()
            self._keep(launch, ended=code is not None)
            if code is not None:
                return _ended(code) if self._spec.dag is None else _dag_ended(code)
            interrupted = self._interruption(lease) or self._breach(now_and_then=True)
            if interrupted is not None:
                return interrupted
            self._desk.tick(self._sight(launch), launch.place, now=self._clock.monotonic())
            self._clock.sleep(POLL_S)

    def _keep(self, launch: RunningLaunch, *, ended: bool) -> None:
        if self._keeper is None:
            return
        progressed = launch.watch.steps.first is not None
        try:
            self._keeper.look(now=self._clock.monotonic(), progressed=progressed, ended=ended)
        except (
            OSError
        ):  # a full disk, say: the trial itself counts all the same, and its forks will say what is missing
            self._keeper.done = True

    def _sight(self, launch: RunningLaunch) -> Sight:
        return Sight(
            elapsed_s=self._elapsed_s(),
            step=launch.watch.steps.highest,
            new_lines=launch.new_lines,
            folders=(self._out, Path(self._spec.checkpoints)),
        )

    def _elapsed_s(self) -> float:
        """Since the start; of a trial that waits for a scheduled run since that began, and before it less than 0.

        How long it may wait is the watcher's to heed.
        """
        now = self._clock.monotonic()
        if self._spec.dag is None or not self._spec.dag.attached:
            return now - self._started
        if self._bound is None and dag_sight.read(self._out) is not None:
            self._bound = now
        return now - self._bound if self._bound is not None else -1.0

    def _interruption(self, lease: LeaseKeeper) -> _Ending | None:
        """Why the trial must end now, if it must."""
        if self._world.stop.is_set():
            return _Ending(TrialStatus.VOID, error="nobody waits for this trial any more")
        if lost := lease.check():
            return _Ending(TrialStatus.VOID, error=f"lease lost: {lost}")
        for companion, process in zip(self._spec.companions, self._companions, strict=True):
            if process.poll() is not None:
                what = f"companion {companion.name} ended with exit code {process.returncode}"
                return _Ending(TrialStatus.VOID, error=what)
        if self._elapsed_s() > self._spec.timeout_s:
            return _Ending(TrialStatus.TIMED_OUT, error=f"no end after {self._spec.timeout_s:g} s")
        return None

    def _breach(self, *, now_and_then: bool = False) -> _Ending | None:
        """Whether something was written that the target does not declare."""
        started = self._clock.monotonic()
        if self._contained is None or (now_and_then and not self._contained.due(started)):
            return None
        found = self._contained.breach()
        self._contained.looked(started, self._clock.monotonic())
        return _Ending(TrialStatus.ABORTED, error=found) if found else None

    def _within(self, ending: _Ending) -> _Ending:
        """A trial that wrote where it must not counts as aborted, however it ended."""
        return self._breach() or ending

    def _await_holds(self, lease: LeaseKeeper) -> _Ending | None:
        """The target's own runtime could not restart it under these faults: wait until they are reverted."""
        while True:
            self._desk.revert_due(now=self._clock.monotonic())
            interrupted = self._interruption(lease)
            if interrupted is not None or not self._desk.blocks_restart():
                return interrupted
            self._clock.sleep(POLL_S)

    # --- after --------------------------------------------------------------------------------------------------

    def _unregister(self) -> None:
        if self._spec.pid_file:
            with suppress(OSError):
                write_atomically(Path(self._spec.pid_file), "")

    def _end_companions(self) -> None:
        for process in self._companions:
            with suppress(ProcessLookupError):
                process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(1.0)
            end_session(process)

    def _checked_fork(self, ending: _Ending) -> _Ending:
        """A trial that did not go on from its checkpoint is no fork, so it says nothing."""
        if self._spec.fork is None or ending.status in (TrialStatus.VOID, TrialStatus.ABORTED):
            return ending
        why = forked.doubt(self._spec.fork, self._launches)
        return _Ending(TrialStatus.VOID, error=why) if why else ending

    def _tell(self, ending: _Ending) -> Trial:
        fork = self._spec.fork
        metrics, slices, trouble = self._metrics(ending)
        ended_at = self._clock.now()
        trial = Trial(
            id=self._spec.trial_id,
            run_id=self._spec.run_id,
            arm=self._spec.arm,
            seed=self._spec.seed,
            status=ending.status,
            started_at=self._started_at,
            ended_at=ended_at,
            wall_s=self._lasted_s(),
            metrics=metrics,
            slices=slices,
            launches=tuple(self._launches),
            firings=tuple(self._desk.firings),
            signals=noticed(self._spec.signals, self._out, self._launches, label_delay_s=self._spec.label_delay_s),
            history=dag_sight.history(self._out) if self._spec.dag and self._spec.dag.attached else (),
            retried_at=dag_sight.retried_at(dag_sight.read(self._out)) if self._spec.dag else (),
            lost_steps=lost_steps(self._reached),
            out=self._spec.out,
            files=digests(self._spec),
            error="; ".join(text for text in (ending.error, trouble) if text),
            forked_from=fork.trial_id if fork else "",
            fork=forked.point_of(fork) if fork else None,
            steps_saved=fork.kept.step if fork and ending.status is not TrialStatus.VOID else 0,
            kept=self._keeper.kept() if self._keeper else None,
            rung=self._spec.rung,
        )
        return with_progress(trial, self._spec.progress)

    def _lasted_s(self) -> float:
        """By the clock that never jumps; what an earlier supervisor of this trial took is known by its times only."""
        return self._clock.monotonic() - self._started + _seconds(self._started_at, self._began_at)

    def _metrics(self, ending: _Ending) -> tuple[dict[str, float], dict[str, dict[str, float]], str]:
        """A file that cannot be read is no measurement; the message says no content."""
        try:
            return *read_metrics(self._out / self._spec.metrics_file), ""
        except (OSError, ValueError, RecursionError) as error:
            expected = ending.status is TrialStatus.COMPLETED
            why = f"{self._spec.metrics_file} cannot be read: {type(error).__name__}"
            return {}, {}, why if expected else ""

    def _renew_faults(self, ledger: Ledger) -> None:
        """Faults put in before this trial that end by themselves stay in as long as the lease is kept."""
        if self._spec.arm is Arm.TREATMENT:
            make_clients, lease_s = self._world.make_clients, self._spec.lease_s
            renew_faults(ledger, self._spec.run_id, self._clock, make_clients, lease_s=lease_s)

    def _context(self) -> FaultContext:
        scratch = self._out / SCRATCH
        scratch.mkdir(parents=True, exist_ok=True)
        lease_s = self._spec.lease_s
        return FaultContext(clock=self._clock, clients=self._world.make_clients(), scratch=scratch, lease_s=lease_s)


def _ended(code: int) -> _Ending:
    if code == 0:
        return _Ending(TrialStatus.COMPLETED, exit_code=0)
    how = f"signal {-code}" if code < 0 else f"exit code {code}"
    return _Ending(TrialStatus.FAILED, exit_code=code, error=f"ended by {how}; its output is in workload.log")


def _dag_ended(code: int) -> _Ending:
    """Only a run that was watched to its end says something about the DAG."""
    if code == 0:
        return _Ending(TrialStatus.COMPLETED, exit_code=0)
    if code == 1:
        return _Ending(TrialStatus.FAILED, exit_code=1, error="the DAG run failed; its tasks are in dag_run.json")
    return _Ending(TrialStatus.VOID, exit_code=code, error="the DAG run was not seen to its end; see workload.log")


def _seconds(start: datetime, end: datetime) -> float:
    return max(0.0, (end - start).total_seconds())
