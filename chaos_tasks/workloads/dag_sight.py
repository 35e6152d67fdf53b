"""What a watcher has seen of a DAG run, as it left it in the trial's folder: tries, their states and processes."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from chaos_tasks.errors import WorkloadError
from chaos_tasks.model.base import Value
from chaos_tasks.model.place import TaskPlace
from chaos_tasks.model.spec import TaskAddress
from chaos_tasks.model.target import AirflowSignal
from chaos_tasks.model.trial import PastRun, SignalEvent
from chaos_tasks.targets.airflow import TASK_OVER, TaskInstance
from chaos_tasks.targets.process import ProcessIdentity, host

FILE = "dag_run.json"
HISTORY = "history.json"
BEGAN_WITHIN_S = 30.0
"""A task's process begins at most so long before Airflow notes that the try has begun, or after."""


_PAST: TypeAdapter[tuple[PastRun, ...]] = TypeAdapter(tuple[PastRun, ...])


class TrySeen(Value):
    """One try of a task."""

    try_number: int
    state: str = ""
    pid: int | None = None
    hostname: str = ""
    started_at: datetime | None = None
    ended_at: datetime | None = None

    @classmethod
    def of(cls, task: TaskInstance) -> TrySeen:
        """As Airflow's API told it."""
        return cls(
            try_number=task.try_number,
            state=task.state or "",
            pid=task.pid,
            hostname=task.hostname or "",
            started_at=task.start_date,
            ended_at=task.end_date,
        )


class TaskSeen(Value):
    """One task of the run, with the tries that were seen; the last is its state now."""

    task_id: str
    map_index: int = -1
    tries: tuple[TrySeen, ...] = ()

    @property
    def state(self) -> str:
        """Of its last try."""
        return self.tries[-1].state if self.tries else ""

    @property
    def is_over(self) -> bool:
        """Whether Airflow will not go on with it by itself."""
        return self.state in TASK_OVER


class DagRunSeen(Value):
    """A DAG run as it was last seen."""

    dag_id: str
    run_id: str
    run_type: str = ""
    state: str
    queued_at: datetime | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    tasks: tuple[TaskSeen, ...] = ()


def read(out: Path) -> DagRunSeen | None:
    """What the watcher left last; None before it has seen anything."""
    with suppress(OSError, ValidationError):
        return DagRunSeen.model_validate_json((out / FILE).read_text(encoding="utf-8"))
    return None


def leave(out: Path, seen: DagRunSeen) -> None:
    """A reader sees the last look or this one."""
    partial = out / f".{FILE}.{os.getpid()}"
    partial.write_text(seen.model_dump_json(indent=1), encoding="utf-8")
    partial.replace(out / FILE)


def leave_history(out: Path, past: Sequence[PastRun]) -> None:
    """Earlier runs, oldest first."""
    (out / HISTORY).write_text(_PAST.dump_json(tuple(past), indent=1).decode(), encoding="utf-8")


def history(out: Path) -> tuple[PastRun, ...]:
    """What the watcher left of it; nothing where it was not read."""
    with suppress(OSError, ValidationError):
        return _PAST.validate_json((out / HISTORY).read_bytes())
    return ()


def retried_at(seen: DagRunSeen | None) -> tuple[datetime, ...]:
    """When each further try of a task began."""
    tries = [one for task in seen.tasks for one in task.tries] if seen is not None else []
    return tuple(sorted(one.started_at for one in tries if one.try_number > 1 and one.started_at is not None))


def events(seen: DagRunSeen | None, signals: AirflowSignal) -> list[SignalEvent]:
    """What of it the owners would have noticed, and when."""
    if seen is None:
        return []
    told = [*_of_tasks(seen.tasks)]
    if seen.state == "failed" and seen.ended_at is not None:
        told.append(SignalEvent(name="run_failed", at=seen.ended_at, detail=f"DAG run {seen.run_id}"))
    return [event for event in told if event.name in signals.events]


def _of_tasks(tasks: Iterable[TaskSeen]) -> Iterable[SignalEvent]:
    for task in tasks:
        for number, one in enumerate(task.tries):
            again = number + 1 < len(task.tries) or one.state == "up_for_retry"
            if one.ended_at is not None and (again or one.state == "failed"):
                detail = str(
                    TaskAddress(task_id=task.task_id, try_number=max(1, one.try_number), map_index=task.map_index)
                )
                yield SignalEvent(name="task_retry" if again else "task_failed", at=one.ended_at, detail=detail)


def place_of(seen: DagRunSeen | None, wanted: TaskAddress) -> TaskPlace | None:
    """The process of a try; None while it does not run yet.

    Raises WorkloadError where it never will: no such task, the try is over, or it runs on another host.
    """
    if seen is None or not seen.tasks:
        return None
    found = [one for one in seen.tasks if (one.task_id, one.map_index) == (wanted.task_id, wanted.map_index)]
    if not found:
        if any(one.task_id == wanted.task_id for one in seen.tasks) and wanted.map_index >= 0:
            return None  # not expanded yet
        known = ", ".join(sorted({one.task_id for one in seen.tasks}))
        raise WorkloadError(f"DAG {seen.dag_id} has no task {wanted.task_id!r}", remedy=f"its tasks are {known}")
    one = next((one for one in found[0].tries if one.try_number == wanted.try_number), None)
    if one is None:
        if found[0].is_over:
            raise _over(wanted, found[0].state)
        return None
    if one.state in TASK_OVER or one.ended_at is not None:
        raise _over(wanted, one.state)
    return _process(seen, wanted, one) if one.state == "running" and one.pid else None


def _process(seen: DagRunSeen, wanted: TaskAddress, one: TrySeen) -> TaskPlace | None:
    """Airflow tells host and pid; that the process began with the try rules out another that got its number."""
    if not is_here(one.hostname):
        raise WorkloadError(
            f"{wanted} runs on {one.hostname}; from {host()} its process can be neither seen nor ended",
            remedy=f"let Squall's tasks run on {one.hostname}, e.g. by its worker's queue",
        )
    found = ProcessIdentity.of(one.pid or 0)
    if found is None:
        return None
    if not _began_with(found, one):
        raise WorkloadError(
            f"pid {one.pid}, which Airflow names for {wanted}, is a process that did not begin with it",
            remedy="see whether Airflow's worker shares this host's process table and clock",
        )
    return found.as_task(dag_id=seen.dag_id, run_id=seen.run_id, task_id=wanted.task_id, try_number=wanted.try_number)


def process_here(one: TrySeen) -> ProcessIdentity | None:
    """The process of a try, if it runs on this host."""
    found = ProcessIdentity.of(one.pid) if one.pid and is_here(one.hostname) else None
    return found if found is not None and _began_with(found, one) else None


def is_here(hostname: str) -> bool:
    """Whether what Airflow calls a host is this one, by its full name or its short one."""
    return hostname.partition(".")[0] in {
        "",
        "localhost",
        *(name.partition(".")[0] for name in (host(), socket.getfqdn())),
    }


def _began_with(found: ProcessIdentity, one: TrySeen) -> bool:
    return one.started_at is not None and abs(found.began_at() - one.started_at.timestamp()) <= BEGAN_WITHIN_S


def _over(wanted: TaskAddress, state: str) -> WorkloadError:
    return WorkloadError(
        f"{wanted} is over ({state}) before the fault could act on it",
        remedy="let its trigger fire earlier, or look more often (workload.poll)",
    )
