"""An experiment: a hypothesis that can be wrong, the faults that test it, and how the answer is judged."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import Field, JsonValue, model_validator

from chaos_tasks.model.base import Value, wrong_field
from chaos_tasks.model.duration import Duration
from chaos_tasks.model.target import Slug

RESERVED_NAMES = frozenset({"nightly", "sweeper"})


class When(StrEnum):
    """Which trials a check speaks about."""

    ALWAYS = "always"  # treatment against control
    UNDER_FAULT = "under_fault"  # treatment trials only
    AFTER = "after"  # recovery trials, once the fault is reverted


class NonInferiority(Value):
    """Treatment may be worse than control by less than the margin, in the metric's own unit."""

    type: Literal["non_inferiority"] = "non_inferiority"
    margin: float = Field(gt=0)
    better: Literal["higher", "lower"] = "higher"
    relative: bool = Field(False, description="The margin is a share of the control's mean.")


class Range(Value):
    """Each observation lies within [min, max]."""

    type: Literal["range"] = "range"
    min: float | None = None
    max: float | None = None

    @model_validator(mode="after")
    def _has_a_bound(self) -> Self:
        if self.min is None and self.max is None:
            raise ValueError("a range needs `min`, `max` or both")
        return self


class Exactly(Value):
    """Each observation equals the value."""

    type: Literal["exactly"] = "exactly"
    value: bool | int | float | str


Tolerance = Annotated[NonInferiority | Range | Exactly, Field(discriminator="type")]


class Unit(StrEnum):
    """What a margin check speaks about: what its evidence resamples."""

    SEED = "seed"  # paired trainings: about the pipeline
    ROW = "row"  # paired predictions of one control and one treatment model on the sealed set: about this model
    BLOCK = "block"  # stretches of one pair of time series, long enough to forget each other: about this pair of runs


class Check(Value):
    """One question of the steady state: a probe, its tolerance, and which trials it is asked of."""

    name: Slug
    probe: str = Field(description="Kind of a registered probe; `squall probes` lists them.")
    params: Mapping[str, JsonValue] = Field(default_factory=dict)
    tolerance: Tolerance
    when: When = When.ALWAYS
    unit: Unit = Field(
        Unit.SEED,
        description="Of a margin: paired trainings, paired rows of one pair of models, or blocks of a pair of series.",
    )
    deterministic: bool = Field(
        False,
        description="The reading follows from command, code, data and seed alone, so a control's may be used again.",
    )
    reliability: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="Of a yes-or-no check: the share of runs that it is to be shown for; leave out to claim only what "
        "the trials allow.",
    )


class BeforeTrigger(Value):
    """The fault is in before the workload starts, and stays until revert."""

    at: Literal["before"] = "before"


class ProgressTrigger(Value):
    """Fires when the workload's progress reaches this step."""

    at: Literal["progress"] = "progress"
    step: int = Field(ge=1)


class LogTrigger(Value):
    """Fires at the first line of the workload's output that matches."""

    at: Literal["log"] = "log"
    pattern: str


class FileTrigger(Value):
    """Fires when a file that matches appears below {out} or {checkpoints}."""

    at: Literal["file"] = "file"
    glob: str


class ElapsedTrigger(Value):
    """Fires this long after the workload started."""

    at: Literal["elapsed"] = "elapsed"
    after: Duration


class RandomTrigger(Value):
    """Fires at a moment drawn uniformly from [earliest, latest] after the start, from the trial's seed."""

    at: Literal["random"] = "random"
    earliest: Duration = timedelta(0)
    latest: Duration


Trigger = Annotated[
    BeforeTrigger | ProgressTrigger | LogTrigger | FileTrigger | ElapsedTrigger | RandomTrigger,
    Field(discriminator="at"),
]


class Draw(StrEnum):
    """Whether each treatment trial draws its own corruption or all share one."""

    PER_TRIAL = "per_trial"
    SHARED = "shared"


class Step(Value):
    """One fault, on one place of the target, at one moment."""

    name: Slug
    fault: str = Field(description="Kind of a registered fault; `squall faults` lists them.")
    target: str = Field("data", description="`data`, `workload`, `task`, or the name of a declared resource.")
    params: Mapping[str, JsonValue] = Field(default_factory=dict)
    trigger: Trigger = BeforeTrigger()
    hold: Duration = Field(timedelta(0), description="How long a fault fired during the workload stays in.")
    draw: Draw = Draw.SHARED

    @property
    def fires_during(self) -> bool:
        """Whether the supervisor fires this step while the workload runs."""
        return not isinstance(self.trigger, BeforeTrigger)


class StopCondition(Value):
    """Something read again and again while a fault is in; out of tolerance, or unreadable, it ends the experiment."""

    name: Slug
    probe: str = Field(description="Kind of a registered live probe; `squall probes` lists them.")
    params: Mapping[str, JsonValue] = Field(default_factory=dict)
    tolerance: Annotated[Range | Exactly, Field(discriminator="type")]
    every: Duration = Field(timedelta(seconds=5), description="Time from one reading to the next.")
    grace: Duration = Field(timedelta(0), description="Readings so soon after the start of a trial do not count.")
    strikes: int = Field(1, ge=1, le=100, description="So many bad readings end it ...")
    of: int = Field(1, ge=1, le=100, description="... among the last so many: of a trial, or of a service.")

    @model_validator(mode="after")
    def _can_trip(self) -> Self:
        if self.strikes > self.of:
            cause = f"stop condition {self.name} asks for {self.strikes} bad readings of the last {self.of}"
            raise wrong_field("guards.watch", cause, "let `strikes` be at most `of`")
        if self.every < SHORTEST_CADENCE:
            raise wrong_field(
                "guards.watch", f"stop condition {self.name} reads too often", "let `every` be 200ms or more"
            )
        return self


SHORTEST_CADENCE = timedelta(milliseconds=200)


class Guards(Value):
    """What may never be exceeded."""

    blast_radius: float = Field(1.0, gt=0, le=1, description="Largest share of rows, records or keys a step may touch.")
    stop_when: tuple[str, ...] = Field(
        (),
        description="Checks with a range or an exact value that end the experiment after the first treatment trial "
        "that fails them, or on which they cannot be measured.",
    )
    watch: tuple[StopCondition, ...] = Field((), description="What is read while a fault is in, and ends it at once.")
    longest: Duration | None = Field(
        None, description="Longest time under fault, by which the run is ended; by default what its trials may take."
    )
    lease: Duration = Field(timedelta(minutes=2), description="A fault whose lease is not renewed is swept.")
    revert_within: Duration = timedelta(minutes=2)
    rto: Duration = Field(timedelta(minutes=2), description="Time allowed to be healthy again after the revert.")
    detect_within: Duration | None = Field(
        None,
        description="A signal later than this after the fault is too late to count as noticing; by default none is.",
    )


class Design(StrEnum):
    """When the number of trials is decided."""

    SEQUENTIAL = "sequential"  # anytime-valid evidence after each pair: stops as soon as the verdict is decided
    FIXED = "fixed"  # all seeds, then one interval


class Fork(Value):
    """Treatment trials start from their control's checkpoint just before the fault, instead of from nothing."""

    at_step: int = Field(ge=1, description="The latest checkpoint at or before this progress step is taken.")


class Analysis(Value):
    """How much evidence to gather, and how strictly to judge it."""

    seeds: int = Field(
        8, ge=1, le=200, description="At most so many paired trials: each seed runs under control and treatment."
    )
    min_seeds: int = Field(2, ge=1, le=200, description="At least so many before anything may count as held.")
    design: Design = Design.SEQUENTIAL
    alpha: float = Field(0.05, gt=0, lt=0.5, description="One-sided error rate of each check.")
    base_seed: int | None = Field(None, description="First seed; by default it comes from the night's date.")
    recovery_trials: int = Field(0, ge=0, le=20)
    nights: int = Field(
        1, ge=1, le=60, description="Undecided evidence is carried over from so many nights, this one included."
    )
    fork: Fork | None = None
    ladder: tuple[Slug, ...] = Field(
        (), description="Cheap rungs of the target's workload to try first, cheapest first; the whole comes last."
    )

    @property
    def needed(self) -> int:
        """Pairs that must be there before anything may count as held."""
        return self.seeds if self.design is Design.FIXED else min(self.seeds, self.min_seeds)


class Ramp(Value):
    """Intensities to step through: the verdict is the breaking point, the first at which the target no longer holds."""

    levels: tuple[float, ...] = Field(
        min_length=2, max_length=64, description="Increasing intensities, in the fault's own unit."
    )
    runs: int = Field(8, ge=2, le=64, description="At most so many runs, each a whole experiment at one level.")

    @model_validator(mode="after")
    def _increases(self) -> Self:
        if any(later <= earlier for earlier, later in zip(self.levels, self.levels[1:], strict=False)):
            raise ValueError("the levels of a ramp must increase")
        return self


class KnownFinding(Value):
    """A deviation that its owners know about and have accepted until a date."""

    ticket: str
    reason: str
    expires: date


class Risk(StrEnum):
    """How much could go wrong if the undo failed."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"


class Experiment(Value):
    """One YAML file in the experiments folder."""

    version: Literal[1] = 1
    name: Slug
    hypothesis: str = Field(min_length=10, description="A sentence that can be wrong.")
    owner: str
    tags: tuple[str, ...] = ()
    risk: Risk = Risk.LOW
    schedule: str | None = Field(None, description="Cron expression of its own; leave out to run with the night.")
    nightly: bool = Field(True, description="Whether the nightly campaign runs it.")
    target: Slug = Field(description="Name of a target in the inventory (squall.toml).")
    steady_state: tuple[Check, ...]
    method: tuple[Step, ...]
    guards: Guards = Field(default_factory=Guards)
    analysis: Analysis = Field(default_factory=Analysis)
    ramp: Ramp | None = Field(None, description="Search for the breaking point instead of asking at one intensity.")
    known_finding: KnownFinding | None = None

    @model_validator(mode="after")
    def _refers_to_what_it_declares(self) -> Self:
        if self.name in RESERVED_NAMES:
            raise wrong_field("name", f"the name {self.name} is taken by a DAG of Squall's own", "choose another")
        for title, names in (
            ("steady_state", [check.name for check in self.steady_state]),
            ("method", [step.name for step in self.method]),
        ):
            if not names:
                raise wrong_field(title, f"`{title}` is empty", "name at least one")
            repeated = sorted({name for name in names if names.count(name) > 1})
            if repeated:
                raise wrong_field(title, f"`{title}` names {', '.join(repeated)} twice", "give each a name of its own")
        known = {check.name for check in self.steady_state}
        missing = [name for name in self.guards.stop_when if name not in known]
        if missing:
            cause = f"guards.stop_when names {', '.join(missing)}, which is no check"
            raise wrong_field("guards.stop_when", cause, f"the checks are {', '.join(sorted(known))}")
        _check_stops(self)
        if any(check.when is When.AFTER for check in self.steady_state) and not self.analysis.recovery_trials:
            cause = "a check with `when: after` looks at recovery trials, and there are none"
            raise wrong_field("analysis.recovery_trials", cause, "set analysis.recovery_trials to 1 or more")
        _check_long_trainings(self)
        return self


def _check_stops(experiment: Experiment) -> None:
    """A stop check that no single treatment trial can fail would guard nothing."""
    checks = {check.name: check for check in experiment.steady_state}
    for name in experiment.guards.stop_when:
        if isinstance(checks[name].tolerance, NonInferiority):
            cause = f"guards.stop_when names {name}, whose margin needs several trials to be judged"
            raise wrong_field("guards.stop_when", cause, "name a check with a range or an exact value")
        if checks[name].when is When.AFTER:
            cause = f"guards.stop_when names {name}, which is asked once the fault is out"
            raise wrong_field("guards.stop_when", cause, "name a check of `when: always` or `under_fault`")
    names = [one.name for one in experiment.guards.watch]
    if len(set(names)) < len(names):
        raise wrong_field("guards.watch", "`watch` names a condition twice", "give each a name of its own")


def _check_long_trainings(experiment: Experiment) -> None:
    """What a fork, a ladder and several nights rule out."""
    analysis = experiment.analysis
    if analysis.fork is not None:
        if analysis.ladder:
            cause = "a fork and a ladder are both asked for, and the step of a fork belongs to the whole workload"
            raise wrong_field("analysis.fork", cause, "leave out `fork` or `ladder`")
        for step in experiment.method:
            _check_fork(step, analysis.fork.at_step)
    if len(set(analysis.ladder)) < len(analysis.ladder):
        raise wrong_field("analysis.ladder", "`ladder` names a rung twice", "name each once, cheapest first")
    if analysis.nights > 1 and analysis.design is Design.FIXED:
        cause = "a fixed design is judged once, at its planned number of trials, so nothing can be carried over"
        raise wrong_field("analysis.nights", cause, "write `design: sequential`, or leave out `nights`")


def _check_fork(step: Step, at_step: int) -> None:
    """A forked treatment goes on from a checkpoint, so its fault must come after it."""
    if isinstance(step.trigger, ProgressTrigger) and step.trigger.step <= at_step:
        cause = f"{step.name} fires at step {step.trigger.step}, and treatment trials only start at step {at_step}"
        remedy = "fork before the fault: choose an analysis.fork.at_step below the step of its trigger"
        raise wrong_field("analysis.fork.at_step", cause, remedy)
    if isinstance(step.trigger, FileTrigger):
        cause = f"{step.name} waits for a file, and the checkpoint that a fork starts from is there at once"
        raise wrong_field("analysis.fork", cause, "use another trigger, such as `{at: progress, step: 70}`, or no fork")
