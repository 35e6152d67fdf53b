"""What is known of one trial, on disk: one that goes on after a killed task still tells all its launches."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter, ValidationError

from chaos_tasks.model.base import Value
from chaos_tasks.model.place import ProcessPlace
from chaos_tasks.model.spec import DagSpec
from chaos_tasks.model.trial import Launch
from chaos_tasks.targets.process import ProcessIdentity

FILE_NAME = "trial.journal.jsonl"


class Began(Value):
    """A supervisor took the trial up."""

    type: Literal["began"] = "began"
    at: datetime
    trial_id: str
    supervisor: ProcessIdentity


class Launched(Value):
    """The workload was started."""

    type: Literal["launched"] = "launched"
    at: datetime
    place: ProcessPlace


class Exited(Value):
    """The workload ended; its launch, and the highest step of it."""

    type: Literal["exited"] = "exited"
    launch: Launch
    highest_step: int | None = None


class Asked(Value):
    """A DAG run is about to be asked for; written before it is."""

    type: Literal["asked"] = "asked"
    at: datetime
    dag: DagSpec
    run_id: str


class Over(Value):
    """That DAG run has ended, and its tasks with it."""

    type: Literal["over"] = "over"
    at: datetime
    run_id: str


Entry = Began | Launched | Exited | Asked | Over
_ENTRY: TypeAdapter[Entry] = TypeAdapter(Annotated[Entry, Field(discriminator="type")])


class Journal:
    """Append-only lines in the trial's folder; a torn last line is passed over."""

    def __init__(self, out: Path) -> None:
        self.path = out / FILE_NAME

    def append(self, entry: Entry) -> None:
        """Write one line, on disk before this returns."""
        torn = self.path.exists() and not self.path.read_bytes().endswith(b"\n") and self.path.stat().st_size > 0
        with self.path.open("ab") as stream:
            stream.write((b"\n" if torn else b"") + entry.model_dump_json().encode() + b"\n")
            stream.flush()
            os.fsync(stream.fileno())

    def entries(self) -> Iterator[Entry]:
        """All whole entries, oldest first."""
        lines = self.path.read_bytes().splitlines() if self.path.exists() else []
        for line in lines:
            try:
                yield _ENTRY.validate_json(line)
            except ValidationError:
                continue  # torn by a kill

    def launched_places(self) -> list[ProcessPlace]:
        """Places of all launches, oldest first."""
        return [entry.place for entry in self.entries() if isinstance(entry, Launched)]

    def dag_runs_under_way(self) -> list[Asked]:
        """DAG runs that may not have ended, oldest first."""
        entries = list(self.entries())
        over = {entry.run_id for entry in entries if isinstance(entry, Over)}
        return [entry for entry in entries if isinstance(entry, Asked) and entry.run_id not in over]

    def supervisors(self) -> list[ProcessIdentity]:
        """Who has served this trial, oldest first."""
        return [entry.supervisor for entry in self.entries() if isinstance(entry, Began)]


class PastLaunch(Value):
    """A launch of an earlier supervisor; ``highest_step`` is None when nobody noted it."""

    launch: Launch
    highest_step: int | None = None


def open_launch(entry: Launched) -> Launch:
    """A launch that has not ended, or whose end nobody saw."""
    return Launch(pid=entry.place.pid, started_at=entry.at, exit_code=None, first_step=None, first_progress_at=None)


def past_launches(journal: Journal) -> list[PastLaunch]:
    """Launches so far; one without an end was cut off with its supervisor."""
    past: dict[tuple[int, datetime], PastLaunch] = {}
    for entry in journal.entries():
        if isinstance(entry, Launched):
            past[entry.place.pid, entry.at] = PastLaunch(launch=open_launch(entry))
        elif isinstance(entry, Exited):
            launch = entry.launch
            past[launch.pid, launch.started_at] = PastLaunch(launch=launch, highest_step=entry.highest_step)
    return list(past.values())
