"""A plan: an experiment bound to its target, seeds and places; registered before anything is touched."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from pydantic import Field

from chaos_tasks.model.base import Value
from chaos_tasks.model.experiment import Experiment
from chaos_tasks.model.place import Place
from chaos_tasks.model.target import Slug, Target


class Overrides(Value):
    """What a person may change when triggering by hand; recorded with the plan."""

    intensity: float | None = Field(None, ge=0, description="Replaces the intensity parameter of every step.")
    seeds: int | None = Field(None, ge=1, le=200)
    hold_s: float | None = Field(None, ge=0, description="Replaces the hold of every step fired during the workload.")
    base_seed: int | None = None
    outside_window: str = Field(
        "",
        max_length=300,
        description="A person's reason to run outside of the change windows, or within a freeze that is not strict.",
    )


class Pin(Value):
    """The version and seeds that a run must have, so that it is comparable with another one."""

    source_commit: str
    data_digest: str
    target_digest: str = Field("", description="Empty: whatever the target file says now.")
    seeds: tuple[int, ...] = Field(min_length=1)
    continues: tuple[str, ...] = Field((), description="Earlier runs whose pairs count too.")


class Recorder(Value):
    """Which process writes a record: Airflow's ids when there are any.  Fields stand by name, as headers write them."""

    airflow_version: str = ""
    dag_id: str = ""
    dag_run_id: str = ""
    host: str = ""
    map_index: int = -1
    squall_version: str = ""
    task_id: str = ""
    try_number: int = 0


class Lock(Value):
    """A hierarchical key, held exclusively (what a fault touches) or shared (what a workload reads)."""

    key: str
    exclusive: bool


class RungTrust(Value):
    """What the log said about a cheap rung when the run was planned."""

    rung: Slug
    compared: int = Field(0, ge=0, description="Runs in which the rung said `held` and the whole workload ran too.")
    agreed: int = Field(0, ge=0, description="Those in which the whole workload said `held` as well.")
    low: float = Field(0.0, ge=0, le=1, description="Exact lower bound of the share of runs in which it would agree.")
    may_hold: bool = Field(False, description="Whether its `held` may stand for the whole workload's.")
    audited: bool = Field(False, description="This run goes all the way whatever its rungs say, to measure agreement.")


class Plan(Value):
    """All that a run will do, with its digest."""

    run_id: str
    campaign_id: str = ""
    experiment: Experiment
    experiment_digest: str
    experiment_file_sha256: str = ""
    target: Target
    target_digest: str
    environment: str
    source_commit: str
    data_digest: str = Field(description="Digest of the DVC pointers of the source's data at that commit.")
    packages: str = Field("", description="Digest of the packages beside the interpreter that runs the workload.")
    seeds: tuple[int, ...]
    workspace: str = Field(description="Folder of this run's files.")
    places: Mapping[str, Place] = Field(description="Step name -> place; during-steps on a process get it when fired.")
    locks: tuple[Lock, ...]
    overrides: Overrides = Field(default_factory=Overrides)
    continues: tuple[str, ...] = Field((), description="Undecided runs of earlier nights whose pairs count too.")
    rungs: tuple[RungTrust, ...] = Field((), description="Rungs of the ladder, in the order in which they are tried.")
    fresh_controls: bool = Field(False, description="Run every control, also where the log has it already.")
    search_id: str = Field("", description="Search that this run is a part of; it is no run of its own to a night.")
    requested_by: str = "schedule"
    planned_at: datetime
