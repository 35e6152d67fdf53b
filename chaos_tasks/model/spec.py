"""What the supervisor is told: one trial, the triggers to fire during it, and the lease to keep."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from pydantic import Field, JsonValue

from chaos_tasks.model.base import Value
from chaos_tasks.model.duration import Duration
from chaos_tasks.model.experiment import Trigger
from chaos_tasks.model.place import Place
from chaos_tasks.model.plan import Recorder
from chaos_tasks.model.target import Progress, Signal
from chaos_tasks.model.trial import Arm, KeptCheckpoint


class TaskAddress(Value):
    """A task of the trial's DAG run: the process of this try of it."""

    task_id: str
    try_number: int = Field(1, ge=1)
    map_index: int = -1

    def __str__(self) -> str:
        index = f"[{self.map_index}]" if self.map_index >= 0 else ""
        return f"{self.task_id}{index} try {self.try_number}"


class DagSpec(Value):
    """The DAG whose run a launch is, and how its Airflow is reached; no secret."""

    dag_id: str
    url: str
    credentials: str
    attached: bool = Field(False, description="The run is Airflow's own, so nobody ends it.")
    wait_s: float = Field(0.0, ge=0, description="Of an attached one: longest time until it begins.")


class FiringSpec(Value):
    """One `during` step: which fault, on what, when, for how long."""

    parent_handle_id: str = Field(description="Handle armed by the engine; its firings are <id>/<n>.")
    n: int = Field(description="Number of this firing: one per trial, so that a retry never fires twice.")
    step: str
    kind: str
    place: Place | None = Field(None, description="None: the workload's own process, known once it runs.")
    task: TaskAddress | None = Field(None, description="The place is this task of the DAG run, once it runs.")
    params: Mapping[str, JsonValue]
    trigger: Trigger
    hold: Duration = timedelta(0)
    seed: int
    environment: str = ""


class Companion(Value):
    """A process that lives as long as the trial (a stream relay, for instance)."""

    name: str
    command: tuple[str, ...]


class ForkSpec(Value):
    """The checkpoint that a trial is to go on from: whose, and where its files are kept."""

    trial_id: str
    kept: KeptCheckpoint


class TrialSpec(Value):
    """One trial, ready to run."""

    trial_id: str
    run_id: str
    experiment: str
    arm: Arm
    seed: int
    command: tuple[str, ...]
    cwd: str
    environment: Mapping[str, str] = Field(default_factory=dict, description="Added to a small inherited one.")
    out: str
    checkpoints: str
    metrics_file: str = "metrics.json"
    predictions_file: str = ""
    progress: Progress | None = None
    checkpoint_glob: str = ""
    signals: tuple[Signal, ...] = ()
    label_delay_s: float = Field(0.0, ge=0, description="How long after a prediction its label is known.")
    timeout_s: float
    restarts: int = 0
    companions: tuple[Companion, ...] = ()
    watched: tuple[str, ...] = Field((), description="Folders that the trial must leave as they are.")
    permitted: tuple[str, ...] = Field((), description="Paths below them that it may write.")
    dag: DagSpec | None = Field(None, description="A launch is a run of this DAG.")
    pid_file: str = Field("", description="Where to register the workload's process group (a bound instance).")
    firings: tuple[FiringSpec, ...] = ()
    lease_s: float = 60.0
    keep_checkpoint_at: int | None = Field(None, description="Keep the latest checkpoint at or before this step.")
    keep_in: str = Field("", description="Folder to keep it in.")
    fork: ForkSpec | None = None
    rung: str = ""
    incarnation: int = Field(0, ge=0, description="What the process that asks for the trial acts under; 0: nothing.")
    plan_sha256: str = ""
    recorder: Recorder = Field(default_factory=Recorder)
