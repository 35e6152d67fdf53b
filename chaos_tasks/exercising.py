"""Runs the trials of one arm: each recorded before and after, resumed at the first unfinished one, void unless
the faults were in all the time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from chaos_tasks import registry
from chaos_tasks.errors import Fenced, GuardTripped, ProbeError
from chaos_tasks.model.experiment import Check, Exactly, Range, Step, When
from chaos_tasks.model.handle import Phase
from chaos_tasks.model.place import TaskPlace
from chaos_tasks.model.plan import Plan, Recorder
from chaos_tasks.model.record import RecordKind, TrialEnd, TrialStart
from chaos_tasks.model.spec import FiringSpec
from chaos_tasks.model.trial import Arm, Observation, Trial, TrialStatus
from chaos_tasks.planning import fault_seed
from chaos_tasks.ports import Clients, Clock, Ledger, TrialRunner
from chaos_tasks.renewing import renew_faults, still_in
from chaos_tasks.runs import Run, RunWriter
from chaos_tasks.safety import lever
from chaos_tasks.trialing import Prepared, blocked_trial, trial_id, trial_spec
from chaos_tasks.workspaces import Workspaces

_ARMS = {
    When.ALWAYS: (Arm.CONTROL, Arm.TREATMENT),
    When.UNDER_FAULT: (Arm.TREATMENT,),
    When.AFTER: (Arm.RECOVERY,),
}


@dataclass(frozen=True)
class Exercise:
    """The trials of one arm of one run."""

    plan: Plan
    arm: Arm
    seeds: tuple[int, ...]
    task_place: TaskPlace | None = None
    stop: Callable[[], bool] = field(default=lambda: False)


@dataclass(frozen=True)
class TrialLoop:
    """Loops over trials, with the ledger before and after each."""

    ledger: Ledger
    clock: Clock
    recorder: Recorder
    workspaces: Workspaces
    clients: Clients
    open_runner: Callable[[Plan], TrialRunner]

    def run(self, exercise: Exercise) -> int:
        """Run what is not finished yet; returns how many trials of the arm have ended."""
        plan, arm = exercise.plan, exercise.arm
        done = {end.trial.seed for end in Run(self.ledger, plan.run_id).ended_trials(arm)}
        waiting = [seed for seed in exercise.seeds if seed not in done]
        if not waiting:
            return len(done)
        prepared = self.workspaces.prepare(plan, arm, self.clock)
        if not prepared.usable:  # one data version, one refusal: more seeds would say the same
            if not done:
                self._end(plan, blocked_trial(plan, arm, waiting[0], prepared))
                done.add(waiting[0])
            return len(done)
        return len(done) + self._loop(exercise, waiting, prepared)

    def _loop(self, exercise: Exercise, waiting: Sequence[int], prepared: Prepared) -> int:
        runner = self.open_runner(exercise.plan)
        ended = 0
        try:
            for seed in waiting:
                self._check_go_on(exercise)
                ended += 1
                if self._one(exercise, runner, seed, prepared):
                    break
        finally:
            runner.close()
        return ended

    def _one(self, exercise: Exercise, runner: TrialRunner, seed: int, prepared: Prepared) -> bool:
        """Run one trial; True when a stop condition says that it was the last."""
        plan, arm = exercise.plan, exercise.arm
        epochs = self._faults_in(plan) if arm is Arm.TREATMENT else {}
        name = trial_id(plan, arm, seed)
        start = TrialStart(trial_id=name, arm=arm, seed=seed)
        starts = [one for one in Run(self.ledger, plan.run_id).payloads(RecordKind.TRIAL_STARTED) if one == start]
        self._writer(plan).write(RecordKind.TRIAL_STARTED, start, key=f"{arm}/{seed}/{len(starts)}")
        spec = trial_spec(plan, arm, seed, prepared, self.workspaces, self.recorder, self._firings(exercise, seed))
        trial = runner.run(spec)
        if arm is Arm.TREATMENT and self._faults_in(plan, missing_is_void=True) != epochs:
            trial = trial.model_copy(update={"status": TrialStatus.VOID, "error": "a fault was not in all the time"})
        observations = self._end(plan, trial)
        if trial.status is TrialStatus.VOID:
            lever.check(self.workspaces.home)  # whoever pulled it ended the trial: the run is aborted, not inconclusive
        return arm is Arm.TREATMENT and self._stop_tripped(plan, observations)

    def _end(self, plan: Plan, trial: Trial) -> tuple[Observation, ...]:
        observations = tuple(observe(check, trial) for check in plan.experiment.steady_state if asks(check, trial.arm))
        end = TrialEnd(trial=trial, observations=observations)
        self._writer(plan).write(RecordKind.TRIAL_ENDED, end, key=f"{trial.arm}/{trial.seed}")
        return observations

    def _faults_in(self, plan: Plan, *, missing_is_void: bool = False) -> dict[str, int]:
        """Epoch of each `before` fault that ledger and place agree is in; raises Fenced when one is not."""
        epochs = {}
        for step in plan.experiment.method:
            if step.fires_during:
                continue
            state = self.ledger.handle(f"{plan.run_id}/{step.name}")
            if state is not None and state.phase is Phase.INJECTED and still_in(state, self.clock, self.clients):
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
        if step.target == "task" and exercise.task_place is None:
            raise GuardTripped(f"step {step.name} acts on an Airflow task, and there is none", remedy="run it as a DAG")
        return FiringSpec(
            parent_handle_id=f"{plan.run_id}/{step.name}",
            n=plan.seeds.index(seed),
            step=step.name,
            kind=step.fault,
            place=exercise.task_place if step.target == "task" else plan.places.get(step.name),
            params=step.params,
            trigger=step.trigger,
            hold=step.hold,
            seed=fault_seed(seed, step.name),
            environment=plan.environment,
        )

    def _check_go_on(self, exercise: Exercise) -> None:
        """Between trials: somebody may have stopped the run, or pulled the lever."""
        lever.check(self.workspaces.home)
        if exercise.stop():
            raise GuardTripped(f"run {exercise.plan.run_id} was stopped", remedy="trigger a new run")
        lease_s = exercise.plan.experiment.guards.lease.total_seconds()
        self.ledger.renew(exercise.plan.run_id, lease_s=lease_s)
        if exercise.arm is Arm.TREATMENT:
            renew_faults(self.ledger, exercise.plan.run_id, self.clock, lambda: self.clients, lease_s=lease_s)

    def _stop_tripped(self, plan: Plan, observations: Sequence[Observation]) -> bool:
        checks = {check.name: check for check in plan.experiment.steady_state}
        for observation in observations:
            check = checks[observation.check]
            if check.name in plan.experiment.guards.stop_when and out_of_tolerance(check, observation):
                text = f"{check.name} is {observation.value} in {observation.trial_id}"
                self._writer(plan).note(RecordKind.STOP_TRIGGERED, text, key=check.name, facts={"by": "stop condition"})
                return True
        return False

    def _writer(self, plan: Plan) -> RunWriter:
        return RunWriter.of(plan, self.ledger, self.clock, self.recorder)


def asks(check: Check, arm: Arm) -> bool:
    """Whether a check looks at trials of this arm."""
    return arm in _ARMS[check.when]


def observe(check: Check, trial: Trial) -> Observation:
    """Measure one check on one trial; what cannot be measured has an error and no value."""
    seen = {"check": check.name, "trial_id": trial.id, "arm": trial.arm, "seed": trial.seed}
    try:
        params = registry.probe_params(check.probe, check.params)
        measured = registry.probe(check.probe).measure(trial, params)
    except ProbeError as error:
        return Observation.model_validate({**seen, "error": error.message})
    return Observation.model_validate({**seen, "value": measured.value, "unit": measured.unit})


def out_of_tolerance(check: Check, observation: Observation) -> bool:
    """Whether one observation alone breaks a range or an exact value; a margin needs the judge."""
    tolerance, value = check.tolerance, observation.value
    if isinstance(tolerance, Exactly):
        return value is not None and value != tolerance.value
    if isinstance(tolerance, Range) and isinstance(value, int | float):
        low, high = tolerance.min, tolerance.max
        return not ((low is None or value >= low) and (high is None or value <= high))
    return False
