"""A trial: one run of the workload under one seed, and what it left behind."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum

from pydantic import Field

from chaos_tasks.model.base import Reading, Value
from chaos_tasks.model.handle import Receipt
from chaos_tasks.model.progress import TrialProgress


class Arm(StrEnum):
    """Which condition a trial runs under."""

    CONTROL = "control"
    TREATMENT = "treatment"
    RECOVERY = "recovery"


class TrialStatus(StrEnum):
    """How a trial ended."""

    COMPLETED = "completed"  # exit code 0
    BLOCKED = "blocked"  # the pipeline's own gate refused the data: nothing new was shipped
    FAILED = "failed"  # ended with a non-zero code, restarts used up
    TIMED_OUT = "timed_out"
    VOID = "void"  # the fault was not in all the time, or a process of ours died: says nothing
    ABORTED = "aborted"  # stopped by a guard or a person


class Firing(Value):
    """One firing of a `during` trigger."""

    step: str
    handle_id: str
    fired_at: datetime
    injected: Receipt | None = None
    reverted: Receipt | None = None
    error: str = ""


class SignalEvent(Value):
    """Something that the target's owners would have noticed, and when they would have had it."""

    name: str
    at: datetime = Field(description="Of a signal that needs labels: once the target's label delay was over.")
    detail: str = ""
    label_delay_s: float = Field(0.0, ge=0, description="Part of `at` that is waiting for labels.")


class Launch(Value):
    """One start of the workload's process within a trial."""

    pid: int
    started_at: datetime
    ended_at: datetime | None = None
    exit_code: int | None = Field(None, description="Negative: ended by that signal.")
    first_step: int | None = Field(None, description="First progress step seen.")
    last_step: int | None = None
    first_progress_at: datetime | None = Field(None, description="When the first progress step was seen.")


class KeptCheckpoint(Value):
    """Checkpoints of a trial set aside for forks: what its folder held once the one of ``step`` was saved."""

    at_step: int = Field(description="The latest checkpoint at or before this step was asked for.")
    step: int
    folder: str
    files: Mapping[str, str] = Field(description="SHA-256 by path below the folder.")
    newest: str = Field(description="Path below the folder of a file of ``step``.")
    after_s: float = Field(ge=0, description="Seconds from the trial's first progress to this checkpoint.")


class ForkPoint(Value):
    """Where a trial started from: not from nothing, but from a checkpoint of its control."""

    step: int
    file: str
    sha256: str
    seconds_saved: float = Field(0.0, ge=0, description="What the control took from its first progress to there.")


class PastRun(Value):
    """A scheduled run of the target's DAG before the one that was hit, with its numbers."""

    run_id: str
    at: datetime
    metrics: Mapping[str, float] = Field(default_factory=dict)


class Trial(Value):
    """The result of one trial.  Numbers and digests only; files stay in ``out``."""

    id: str
    run_id: str
    arm: Arm
    seed: int
    status: TrialStatus
    started_at: datetime
    ended_at: datetime
    wall_s: float
    metrics: Mapping[str, float] = Field(default_factory=dict, description="Flat numbers of the metrics file.")
    slices: Mapping[str, Mapping[str, float]] = Field(default_factory=dict)
    launches: tuple[Launch, ...] = ()
    firings: tuple[Firing, ...] = ()
    signals: tuple[SignalEvent, ...] = ()
    history: tuple[PastRun, ...] = Field((), description="Of an attached trial: earlier runs, oldest first.")
    retried_at: tuple[datetime, ...] = Field(
        (), description="When Airflow began a further try of a task of its DAG run."
    )
    lost_steps: int = Field(0, ge=0, description="Steps done again after restarts.")
    progress: TrialProgress | None = Field(None, description="Where its time went; None: it showed no progress.")
    out: str = Field("", description="Folder of the trial's files.")
    files: Mapping[str, str] = Field(default_factory=dict, description="SHA-256 of metrics and predictions files.")
    error: str = ""
    stands_for: int = Field(
        1,
        ge=1,
        description="Planned trials that this one speaks for: a refused data version is refused for all seeds.",
    )
    reused_from: str = Field("", description="Id of the trial whose observation this control reuses.")
    forked_from: str = Field("", description="Id of the control trial from whose checkpoint this one started.")
    fork: ForkPoint | None = Field(None, description="The checkpoint that it went on from, if it was forked.")
    steps_saved: int = Field(0, ge=0, description="Steps that were not trained again, thanks to the fork.")
    kept: KeptCheckpoint | None = Field(None, description="What forks of this trial may start from.")
    rung: str = Field("", description="Rung of the fidelity ladder; empty for the whole workload.")

    @property
    def restarted_at(self) -> tuple[datetime, ...]:
        """When its own runtime started it again, by time: launches, restarts within one, further tries of a task."""
        launched = {launch.started_at for launch in self.launches[1:]}
        setbacks = self.progress.setbacks if self.progress is not None else ()
        within = {one.back_at for one in setbacks if one.resumed_from is not None and one.restarted_at is None}
        return tuple(sorted(at for at in launched | within | set(self.retried_at) if at is not None))


class Observation(Value):
    """What one probe read from one trial.  ``value`` is None exactly when it could not measure."""

    check: str
    trial_id: str
    arm: Arm
    seed: int
    value: Reading = None
    unit: str = ""
    error: str = ""


class PairMeasured(Value):
    """How much worse the treatment of one pair is, over the rows that both predicted: numbers and names, no row.

    ``estimate``, ``low``, ``high`` and ``margin`` are worsenings in the metric's own unit: positive is worse.  A
    relative margin is turned into that unit by the control's own value.  The interval has level 1 - 2 alpha and decides
    (all below the margin: passed; all above: failed); ``log_e_pass`` is the natural log of the e-value against "worse
    by the margin or more", ``log_e_fail`` of that against "worse by the margin or less".
    """

    estimate: float | None = Field(None, description="NaN where the treatment returned no number.")
    low: float | None = None
    high: float | None = None
    level: float | None = None
    margin: float | None = None
    control: float | None = Field(None, description="The metric under control.")
    treatment: float | None = Field(None, description="The metric under treatment.")
    log_e_pass: float | None = None
    log_e_fail: float | None = None
    n_rows: int = Field(0, ge=0, description="Rows compared.")
    n_groups: int = Field(0, ge=0, description="Groups compared; 0 where the metric knows none.")
    n_not_numbers: int = Field(0, ge=0, description="Rows for which the treatment returned no usable score.")
    worst: str = Field("", description="Slice or groups that the estimate is of, as in `origin=JFK`.")
    left_out: tuple[str, ...] = Field((), description="Groups too small to compare.")
    method: str = ""
    unit: str = "row"
    metric_unit: str = ""
    files: Mapping[str, str] = Field(
        default_factory=dict, description="SHA-256 of the predictions file, by `control` and `treatment`."
    )


class PairObservation(PairMeasured):
    """What one pair probe read from the control and the treatment trial of one seed; ``error``: why it could not."""

    check: str
    seed: int
    control_id: str
    treatment_id: str
    error: str = ""
