"""Runs the trials of one arm: each recorded before and after, resumed at the first unfinished one, void unless
the faults were in all the time; a treatment's control runs right before it where the fault cannot reach it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from pydantic import JsonValue

from chaos_tasks.controls import ControlBank, differing
from chaos_tasks.errors import Fenced, GuardTripped
from chaos_tasks.forking import NoFork, fork_of, is_no_fork
from chaos_tasks.guarding import Guarding
from chaos_tasks.judging.facts import RunFacts, facts_of
from chaos_tasks.judging.judge import answered, is_decided
from chaos_tasks.judging.ladder import WHOLE
from chaos_tasks.leasing import LONGEST_S, kept
from chaos_tasks.model.experiment import Step
from chaos_tasks.model.handle import HARMFUL_PHASES, Phase
from chaos_tasks.model.place import TaskPlace
from chaos_tasks.model.plan import Plan, Recorder
from chaos_tasks.model.record import RecordKind, TrialEnd, TrialStart
from chaos_tasks.model.spec import FiringSpec, TaskAddress, TrialSpec
from chaos_tasks.model.target import AirflowDagWorkload, Target
from chaos_tasks.model.trial import Arm, Observation, Trial, TrialStatus
from chaos_tasks.model.verdict import Reason
from chaos_tasks.observing import compare_all, observe_all, out_of_tolerance
from chaos_tasks.planning import controls_ahead, fault_seed
from chaos_tasks.ports import Clients, Clock, Ledger, LedgerReader, TrialRunner
from chaos_tasks.renewing import renew_faults, still_in
from chaos_tasks.runs import Run, RunWriter, evidence_of
from chaos_tasks.safety import lever
from chaos_tasks.safety.lever import Lever
from chaos_tasks.trialing import Prepared, blocked_trial, trial_id, trial_spec, void_trial
from chaos_tasks.workspaces import Workspaces


@dataclass(frozen=True)
class Exercise:
    """The trials of one arm of one run; those of a treatment climb the ladder, rung by rung, from ``rung`` on."""

    plan: Plan
    arm: Arm
    seeds: tuple[int, ...]
    rung: str = WHOLE
    task_place: TaskPlace | None = None
    stop: Callable[[], bool] = field(default=lambda: False)
    guarding: Guarding | None = None


@dataclass(frozen=True)
class TrialLoop:
    """Loops over trials, with the ledger before and after each."""

    ledger: Ledger
    clock: Clock
    recorder: Recorder
    workspaces: Workspaces
    clients: Clients
    open_runner: Callable[[Plan], TrialRunner]
    lever: Lever | None = None
    allowed: Callable[[Plan, LedgerReader], None] | None = None
    open_ledger: Callable[[], Ledger] | None = None

    def run(self, exercise: Exercise) -> int:
        """Run what is not finished yet; returns how many trials of the arm have ended.

        A stop condition ends it early; a guard does so with GuardTripped.
        """
        plan, arm = exercise.plan, exercise.arm
        with self._guarding(exercise) as guarding:
            told = replace(exercise, guarding=guarding)
            try:
                for rung in () if self._was_stopped(exercise) else self._rungs(told):
                    last = self._on_rung(replace(told, rung=rung))
                    if last or (arm is Arm.TREATMENT and self._answered(plan)):
                        break
            except GuardTripped:
                if not self._heed(told):  # a set-up step that a stop condition ended is no refusal
                    raise
            finally:
                if arm is Arm.TREATMENT:
                    self.workspaces.leave(plan)
            self._heed(told)
        return len({(end.trial.seed, end.trial.rung) for end in Run(self.ledger, plan.run_id).ended_trials(arm)})

    def _guarding(self, exercise: Exercise) -> Guarding:
        """The lever is watched in every arm, what is allowed and the stop conditions while a fault is in."""
        under_fault, guards = exercise.arm is Arm.TREATMENT, exercise.plan.experiment.guards
        return Guarding(
            exercise.plan,
            self.clock,
            lever=self.lever,
            allowed=self.allowed if under_fault else None,
            open_ledger=self.open_ledger,
            conditions=guards.watch if under_fault else (),
        )

    def _was_stopped(self, exercise: Exercise) -> bool:
        """A retry does not go on where a stop condition or a guard has ended the trials."""
        if exercise.arm is not Arm.TREATMENT:
            return False
        return bool(self._facts(exercise.plan).stops)

    def _heed(self, exercise: Exercise) -> bool:
        """True once a stop condition tripped, on record; raises GuardTripped where it was a guard."""
        tripped = exercise.guarding.tripped if exercise.guarding is not None else None
        if tripped is None:
            return False
        if tripped.stopped is not None:
            stopped = tripped.stopped
            facts: dict[str, JsonValue] = {
                "by": "stop condition",
                "reason": Reason.STOP_CONDITION.value,
                "condition": stopped.condition,
                "readings": [one.model_dump(mode="json") for one in stopped.readings],
            }
            self._writer(exercise.plan).note(
                RecordKind.STOP_TRIGGERED, stopped.text, key=f"watch/{stopped.condition}", facts=facts
            )
            return True
        raise GuardTripped(tripped.text, remedy=tripped.remedy)

    def _rungs(self, exercise: Exercise) -> tuple[str, ...]:
        """A refused data version is refused at every rung, so that it is looked at once, for the whole workload."""
        rungs = tuple(trust.rung for trust in exercise.plan.rungs)
        if exercise.arm is not Arm.TREATMENT or not rungs:
            return (exercise.rung,)
        usable = self._prepared(exercise).usable
        return (*rungs, WHOLE) if usable else (WHOLE,)

    def _on_rung(self, exercise: Exercise) -> bool:
        """The trials of one rung; True when no other rung is to be tried."""
        done = {end.trial.seed for end in self._ended(exercise)}
        waiting = [seed for seed in exercise.seeds if seed not in done]
        if not waiting or self._decided(exercise):
            return False
        waiting = self._after_reuse(exercise, waiting)
        prepared = self._prepared(exercise) if waiting else None
        if prepared is None:
            return False
        if prepared.usable:
            return self._loop(exercise, waiting, prepared)
        if not done:  # one data version, one refusal: more seeds would say the same
            self._controls_of_a_ladder(exercise)
            self._end(exercise.plan, blocked_trial(exercise.plan, exercise.arm, waiting[0], prepared))
        return True

    def _prepared(self, exercise: Exercise) -> Prepared:
        """The data version of the arm; its lease is kept meanwhile, for set-up steps may take longer than that.

        A set-up step that runs while the arm is stopped, or after the run was swept, is ended.
        """
        plan, guarding, workload = exercise.plan, exercise.guarding, exercise.plan.target.workload
        lease_s = plan.experiment.guards.lease.total_seconds()
        longest_s = LONGEST_S + len(workload.setup) * workload.timeout.total_seconds()
        with kept(lambda: self._renew(plan), lease_s=lease_s, longest_s=longest_s) as lease:

            def stop() -> bool:
                return bool(lease.lost) or (guarding is not None and guarding.tripped is not None)

            return self.workspaces.prepare(plan, exercise.arm, self.clock, stop)

    def _after_reuse(self, exercise: Exercise, waiting: Sequence[int]) -> list[int]:
        """Take what controls the log has already; returns the seeds that are still to be run."""
        if exercise.arm is not Arm.CONTROL:
            return list(waiting)
        return [seed for seed in waiting if not self._reuse(exercise.plan, seed, exercise.rung)]

    def _loop(self, exercise: Exercise, waiting: Sequence[int], prepared: Prepared) -> bool:
        """True when a stop condition ended it."""
        runner = self.open_runner(exercise.plan)
        try:
            for seed in waiting:
                if self._heed(exercise):
                    return True
                self._check_go_on(exercise)
                self._control_first(exercise, runner, seed)
                if self._heed(exercise) or self._one(exercise, runner, seed, prepared) or self._heed(exercise):
                    return True
                if self._decided(exercise):
                    break
        finally:
            runner.close()
        return False

    def _controls_of_a_ladder(self, exercise: Exercise) -> None:
        """The baseline of a ladder ran controls of its first rung only: where all ends at the gate, the whole's."""
        plan = exercise.plan
        if exercise.arm is Arm.TREATMENT and plan.rungs:
            self.run(Exercise(plan, Arm.CONTROL, plan.seeds[: plan.experiment.analysis.needed]))

    def _ended(self, exercise: Exercise) -> list[TrialEnd]:
        ends = Run(self.ledger, exercise.plan.run_id).ended_trials(exercise.arm)
        return [end for end in ends if end.trial.rung == exercise.rung]

    def _decided(self, exercise: Exercise) -> bool:
        """Whether further treatment trials of this rung could change nothing."""
        if exercise.arm is not Arm.TREATMENT or not self._ended(exercise):
            return False
        known, facts = evidence_of(self.ledger, exercise.plan), self._facts(exercise.plan)
        return is_decided(exercise.plan, known.trials, known.observations, facts, pairs=known.pairs, rung=exercise.rung)

    def _answered(self, plan: Plan) -> bool:
        """Whether a rung has said what it may say."""
        known = evidence_of(self.ledger, plan)
        return answered(plan, known.trials, known.observations, self._facts(plan), pairs=known.pairs)

    def _facts(self, plan: Plan) -> RunFacts:
        return facts_of(Run(self.ledger, plan.run_id).stored())

    def _control_first(self, exercise: Exercise, runner: TrialRunner, seed: int) -> None:
        """The control of a treatment's seed, unless it is there: taken from the log, or run beside the fault.

        Only seeds beyond those that the baseline ran are without one, and only where the fault cannot reach a control.
        """
        plan, rung = exercise.plan, exercise.rung
        if exercise.arm is not Arm.TREATMENT or self._control(plan, seed, rung) is not None:
            return
        if self._reuse(plan, seed, rung):
            return
        beside = replace(exercise, arm=Arm.CONTROL, seeds=(seed,))
        clean = self._prepared(beside)
        if clean.usable:
            self._one(beside, runner, seed, clean)

    def _control(self, plan: Plan, seed: int, rung: str) -> Trial | None:
        controls = [end.trial for end in Run(self.ledger, plan.run_id).ended_trials(Arm.CONTROL)]
        return next((trial for trial in controls if (trial.seed, trial.rung) == (seed, rung)), None)

    def _reuse(self, plan: Plan, seed: int, rung: str) -> bool:
        """Write a known control into this run; False when there is none, or when this run is to check it."""
        known = self._bank.find(plan, seed, rung)
        if known is None or self._bank.claim_check(plan):
            return False
        self._end(plan, known)
        return True

    def _one(self, exercise: Exercise, runner: TrialRunner, seed: int, prepared: Prepared) -> bool:
        """Run one trial; True when it was the last: by a stop, an undeclared write, or since it cannot be forked."""
        plan, arm, rung = exercise.plan, exercise.arm, exercise.rung
        if arm is Arm.CONTROL:
            self._refuse_hurt(plan)
        control = self._control(plan, seed, rung) if arm is Arm.TREATMENT else None
        self.workspaces.fetch(control)
        fork = fork_of(plan, control) if arm is Arm.TREATMENT else None
        if isinstance(fork, NoFork):
            self._end(plan, void_trial(plan, arm, seed, fork.why, self.clock.now(), rung))
            return True
        epochs = self._faults_in(plan) if arm is Arm.TREATMENT else {}
        name = trial_id(plan, arm, seed, rung)
        start = TrialStart(trial_id=name, arm=arm, seed=seed)
        starts = [one for one in Run(self.ledger, plan.run_id).payloads(RecordKind.TRIAL_STARTED) if one == start]
        self._writer(plan).write(RecordKind.TRIAL_STARTED, start, key=f"{_key(arm, seed, rung)}/{len(starts)}")
        told, firings = (plan, arm, seed, prepared, self.workspaces, self.recorder), self._firings(exercise, seed)
        spec = trial_spec(*told, firings, rung=rung, fork=fork, incarnation=self.ledger.acting(plan.run_id))
        trial = self._guarded(exercise, runner, spec)
        if arm is Arm.TREATMENT and self._faults_in(plan, missing_is_void=True) != epochs:
            trial = trial.model_copy(update={"status": TrialStatus.VOID, "error": "a fault was not in all the time"})
        observations = self._end(plan, trial)
        if arm is Arm.CONTROL:
            self._bank_it(plan, trial, observations)
        if trial.status is TrialStatus.VOID:
            self._check_lever()  # whoever pulled it ended the trial: the run is aborted, not inconclusive
        if trial.status is TrialStatus.ABORTED:
            return True
        return arm is Arm.TREATMENT and (self._stop_tripped(plan, observations) or is_no_fork(trial))

    def _refuse_hurt(self, plan: Plan) -> None:
        """Raise GuardTripped where a control would meet the fault: hurt like its treatment, it would hide it."""
        harmful = self.ledger.handles(run_id=plan.run_id, phases=HARMFUL_PHASES) if controls_ahead(plan) else []
        if harmful:
            raise GuardTripped(
                f"a control of {plan.run_id} would meet {harmful[0].handle.id}, which is in",
                remedy="trigger a new run; its task `baseline` has to run before `inject`",
            )

    def _guarded(self, exercise: Exercise, runner: TrialRunner, spec: TrialSpec) -> Trial:
        guarding = exercise.guarding
        if guarding is None:
            return runner.run(spec)
        guarding.begins(spec if exercise.arm is Arm.TREATMENT else None, runner.close)
        try:
            return runner.run(spec)
        finally:
            guarding.ends()

    def _check_lever(self) -> None:
        self.lever.check() if self.lever is not None else lever.check(self.workspaces.home)

    def _end(self, plan: Plan, trial: Trial) -> tuple[Observation, ...]:
        observations = observe_all(plan, trial)
        self.workspaces.keep(trial)
        pairs = (
            compare_all(plan, self._control(plan, trial.seed, trial.rung), trial) if trial.arm is Arm.TREATMENT else ()
        )
        end = TrialEnd(trial=trial, observations=observations, pairs=pairs)
        self._writer(plan).write(RecordKind.TRIAL_ENDED, end, key=_key(trial.arm, trial.seed, trial.rung))
        return observations

    def _bank_it(self, plan: Plan, trial: Trial, observations: Sequence[Observation]) -> None:
        """Keep a control for later runs; where one was known already, this was the A/A test of it."""
        known = self._bank.find(plan, trial.seed, trial.rung)
        if known is None:
            self._bank.keep(plan, trial)
            return
        differ = differing(observations, observe_all(plan, known))
        text = f"control of seed {trial.seed} run again: " + (f"{', '.join(differ)} differ" if differ else "the same")
        facts: dict[str, JsonValue] = {"trial": trial.id, "against": known.reused_from, "differ": [*differ]}
        self._writer(plan).note(
            RecordKind.CONTROL_CHECKED, text, key=_key(trial.arm, trial.seed, trial.rung), facts=facts
        )
        if differ:
            self._bank.forget(plan, trial.seed, trial.rung)

    @property
    def _bank(self) -> ControlBank:
        return ControlBank(self.ledger, self.workspaces.home, self.workspaces.python)

    def _faults_in(self, plan: Plan, *, missing_is_void: bool = False) -> dict[str, int]:
        """Epoch of each `before` fault that ledger and place agree is in; raises Fenced when one is not."""
        epochs = {}
        for step in plan.experiment.method:
            if step.fires_during:
                continue
            state = self.ledger.handle(f"{plan.run_id}/{step.name}")
            look = (self.clock, self.clients, self.workspaces.carrier)
            if state is not None and state.phase is Phase.INJECTED and still_in(state, *look):
                epochs[step.name] = state.handle.epoch
            elif not missing_is_void:
                phase = state.phase.value if state else "not armed"
                raise Fenced(f"step {step.name} of {plan.run_id} is not in (phase {phase})", remedy="trigger a new run")
        return epochs

    def _firings(self, exercise: Exercise, seed: int) -> tuple[FiringSpec, ...]:
        if exercise.arm is not Arm.TREATMENT:
            return ()
        steps = [step for step in exercise.plan.experiment.method if step.fires_during]
        return tuple(self._firing(exercise, step, seed) for step in steps)

    def _firing(self, exercise: Exercise, step: Step, seed: int) -> FiringSpec:
        plan = exercise.plan
        task = task_address(step, plan.target)
        if step.target == "task" and task is None and exercise.task_place is None:
            raise GuardTripped(f"step {step.name} acts on an Airflow task, and there is none", remedy="run it as a DAG")
        return FiringSpec(
            parent_handle_id=f"{plan.run_id}/{step.name}",
            n=plan.seeds.index(seed) + len(plan.seeds) * _height(plan, exercise.rung),
            step=step.name,
            kind=step.fault,
            place=exercise.task_place if step.target == "task" and task is None else plan.places.get(step.name),
            task=task,
            params=step.params,
            trigger=step.trigger,
            hold=step.hold,
            seed=fault_seed(seed, step.name),
            environment=plan.environment,
        )

    def _check_go_on(self, exercise: Exercise) -> None:
        """Between trials: somebody may have stopped the run, or pulled the lever; or its window may have closed.

        Looked at here too, since a fault that fires at a trial's start may be faster than the first look of a thread.
        """
        self._check_lever()
        if exercise.arm is Arm.TREATMENT and self.allowed is not None:
            self.allowed(exercise.plan, self.ledger)
        if exercise.stop():
            raise GuardTripped(f"run {exercise.plan.run_id} was stopped", remedy="trigger a new run")
        self._renew(exercise.plan)

    def _renew(self, plan: Plan) -> None:
        """The lease, and what would else end by itself."""
        lease_s = plan.experiment.guards.lease.total_seconds()
        self.ledger.renew(plan.run_id, lease_s=lease_s)
        renew_faults(self.ledger, plan.run_id, self.clock, lambda: self.clients, lease_s=lease_s)

    def _stop_tripped(self, plan: Plan, observations: Sequence[Observation]) -> bool:
        checks = {check.name: check for check in plan.experiment.steady_state}
        for observation in observations:
            check = checks[observation.check]
            unmeasured = observation.value is None  # a guard that cannot be evaluated counts as tripped
            if check.name in plan.experiment.guards.stop_when and (unmeasured or out_of_tolerance(check, observation)):
                said = f"could not be measured ({observation.error})" if unmeasured else f"is {observation.value}"
                text = f"{check.name} {said} in {observation.trial_id}"
                self._writer(plan).note(RecordKind.STOP_TRIGGERED, text, key=check.name, facts={"by": "stop condition"})
                return True
        return False

    def _writer(self, plan: Plan) -> RunWriter:
        return RunWriter.of(plan, self.ledger, self.clock, self.recorder)


def task_address(step: Step, target: Target) -> TaskAddress | None:
    """The task of a target's own DAG that a step names; None where the target is no DAG."""
    if step.target != "task" or not isinstance(target.workload, AirflowDagWorkload):
        return None
    told = {name: value for name, value in step.params.items() if name in TaskAddress.model_fields}
    return TaskAddress.model_validate(told)


def _key(arm: Arm, seed: int, rung: str) -> str:
    """What names a trial within its run."""
    return f"{arm}/{seed}/{rung}" if rung else f"{arm}/{seed}"


def _height(plan: Plan, rung: str) -> int:
    """0 for the whole workload, from 1 for its cheap rungs: firings of one handle have numbers of their own."""
    return 0 if rung == WHOLE else 1 + [trust.rung for trust in plan.rungs].index(rung)
