"""`airflow.task_kill`: the Airflow task process that runs the workload is killed under it; Airflow's retry heals it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from pydantic import Field, JsonValue

from chaos_tasks.faults.base import FaultContext, FaultParams
from chaos_tasks.faults.process.ending import SignalName, end_victims, find_ended, leave_to_healing, living
from chaos_tasks.faults.process.places import task_place
from chaos_tasks.model.base import Value
from chaos_tasks.model.handle import Finding, Fingerprint, Handle, Receipt, Reversibility
from chaos_tasks.model.place import Place, TaskPlace
from chaos_tasks.targets.process import ProcessIdentity, is_alive


class TaskKillParams(FaultParams):
    """Which signal, and of a target that is a DAG, which task."""

    task_id: str = Field(
        "", description="Task of the target's own DAG (workload airflow_dag); empty: the task that runs the workload."
    )
    try_number: int = Field(1, ge=1, description="Which try of it, from 1.")
    map_index: int = Field(-1, ge=-1, description="Which instance of a mapped task; -1 for one that is not mapped.")

    signal: SignalName = Field(SignalName.KILL, description="Name of the signal without SIG, e.g. KILL, TERM, SEGV.")


class TaskKill:
    """Fired by the supervisor, which outlives the task long enough to write the receipt."""

    kind: ClassVar[str] = "airflow.task_kill"
    summary: ClassVar[str] = "Kill an Airflow task process: the one that runs the workload, or one of the target's DAG."
    cause: ClassVar[str] = "Worker out of memory, a pod evicted, a zombie task ended by the scheduler."
    params_type: ClassVar[type[FaultParams]] = TaskKillParams
    reversibility: ClassVar[Reversibility] = Reversibility.SELF_HEALS
    place_types: ClassVar[tuple[type[Value], ...]] = (TaskPlace,)
    policy: ClassVar[Mapping[str, tuple[str, ...]]] = {}

    def snapshot(self, place: Place, params: TaskKillParams, ctx: FaultContext) -> Mapping[str, JsonValue]:
        """Whether it lives, and which try it is."""
        spot = task_place(place)
        return {"alive": is_alive(spot), "try_number": spot.try_number}

    def blast_radius(self, place: Place, params: TaskKillParams) -> float:
        """All of one trial's work may be lost."""
        return 1.0

    def inject(self, handle: Handle, params: TaskKillParams, ctx: FaultContext) -> Receipt:
        """Send the signal to that very process, and wait until it is gone."""
        task = ProcessIdentity.of_place(task_place(handle.place))
        return end_victims(handle, params.signal, lambda: [task] if task.is_alive() else [], ctx.clock)

    def revert(self, handle: Handle, params: TaskKillParams, ctx: FaultContext) -> Receipt:
        """Airflow retries the task; say what was ended, and act no more."""
        task_place(handle.place)  # refused where it is not seen
        return leave_to_healing(handle, ctx.clock)

    def inspect(self, handle: Handle, params: TaskKillParams, ctx: FaultContext) -> Finding:
        """Whether the task process is gone."""
        task_place(handle.place)  # refused where it is not seen
        return find_ended(handle)

    def fingerprint(self, place: Place, ctx: FaultContext) -> Fingerprint:
        """Whether the task process lives."""
        return living([ProcessIdentity.of_place(task_place(place))])
