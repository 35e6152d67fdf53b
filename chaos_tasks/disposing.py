"""Deletes what holds rows of a run's data once its verdict stands, and puts on record what is gone.

Clones, their remotes, the data prepared from them and what faults kept aside go at the verdict, or with the sweep where
a run was killed.  What a trial left (metrics, predictions, logs) goes with its retention.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import count
from pathlib import Path

from pydantic import JsonValue

from chaos_tasks.carrying import Carrier
from chaos_tasks.errors import IdempotencyConflict, LedgerError, SetupError, WorkloadError
from chaos_tasks.model.base import canonical
from chaos_tasks.model.data import DataDeclaration
from chaos_tasks.model.handle import OPEN_PHASES
from chaos_tasks.model.plan import Recorder
from chaos_tasks.model.record import RecordKind
from chaos_tasks.planning import CLONE
from chaos_tasks.ports import Clock, Ledger
from chaos_tasks.runs import Run, RunWriter

HOLDS_ROWS = (CLONE, f"{CLONE}.remote", f".{CLONE}.partial", f".{CLONE}.arriving", "control", "control.remote",
              ".control.partial", "prepared", "prepared-control", "scratch")  # fmt: skip
PRUNE_EVERY_S = 3600.0
STRANGER_S = 86_400.0
MARKS = (".done", ".lock", ".held", ".acting")


@dataclass(frozen=True)
class Disposal:
    """Deletes files of runs below Squall's home, and in the store where there is one."""

    home: Path
    ledger: Ledger
    clock: Clock
    recorder: Recorder
    carrier: Carrier | None = None
    keep_trials: Mapping[str, timedelta] = field(default_factory=dict)
    """By target, as the inventory has it."""

    def clones(self, run_id: str, *, by: str) -> bool:
        """Delete what holds rows of a run that is over; True when there was anything.

        Nothing is deleted while a fault of the run is in, or while the run holds its locks.  Raises WorkloadError when
        something is still there afterwards: then no record says that it is gone.
        """
        workspace = self._folder(run_id)
        if self._in_use(run_id):
            return False
        stored = self.carrier.delete(workspace / CLONE) if self.carrier is not None else []
        folders = [workspace / name for name in HOLDS_ROWS if (workspace / name).exists()]
        files = _sizes(workspace, folders)
        if not files and not stored:
            return False
        for folder in folders:
            shutil.rmtree(folder, ignore_errors=True)
        for name in HOLDS_ROWS:
            for mark in MARKS:
                (workspace / f"{name}{mark}").unlink(missing_ok=True)
        left = [folder.name for folder in folders if folder.exists()]
        if left:
            raise WorkloadError(f"{', '.join(left)} of {run_id} cannot be deleted", remedy=f"delete it in {workspace}")
        self._record(run_id, by, files, [folder.name for folder in folders], stored)
        return True

    def left_behind(self, *, by: str) -> tuple[str, ...]:
        """The same for every run below this home that was killed, or whose place was reverted after its verdict."""
        gone = []
        for workspace in sorted((self.home / "runs").glob("*")):
            holds = any((workspace / name).exists() for name in HOLDS_ROWS)
            if holds and self._may_be_left(workspace) and self.clones(workspace.name, by=by):
                gone.append(workspace.name)
        return tuple(gone)

    def trials_now_and_then(self, *, by: str) -> None:
        """The same once an hour, by whoever comes first: looking at every file costs more than a sweep may."""
        mark = self.home / "pruned"
        with suppress(FileNotFoundError):
            if self.clock.now().timestamp() - mark.stat().st_mtime < PRUNE_EVERY_S:
                return
        mark.touch()
        self.trials(by=by)

    def _may_be_left(self, workspace: Path) -> bool:
        """What no run of the ledger made, `squall doctor` say, holds no lock: it is given a day."""
        known = Run(self.ledger, workspace.name).registered() is not None
        return known or self.clock.now().timestamp() - _changed(workspace) > STRANGER_S

    def trials(self, *, by: str) -> tuple[str, ...]:
        """Delete the folders of runs whose files have been kept for as long as their target says; returns the runs."""
        now, gone = self.clock.now().timestamp(), []
        for workspace in sorted((self.home / "runs").glob("*")):
            retention = self._retention(workspace.name)
            if now - _changed(workspace) < retention.total_seconds() or self._in_use(workspace.name):
                continue
            self.clones(workspace.name, by=by)
            files = _sizes(workspace, [workspace])
            shutil.rmtree(workspace, ignore_errors=True)
            if workspace.exists():
                raise WorkloadError(f"{workspace} cannot be deleted", remedy="see to its rights")
            facts: dict[str, JsonValue] = {**_inventory(files), "absent_after": True, "by": by}
            text = f"{len(files)} files of the run deleted after {retention.days} days"
            self._note(workspace.name, RecordKind.FILES_PRUNED, text, facts)
            gone.append(workspace.name)
        return tuple(gone)

    def _retention(self, run_id: str) -> timedelta:
        plan = Run(self.ledger, run_id).registered()
        return self.keep_trials.get(plan.target.name if plan else "", DataDeclaration().keep_trials)

    def _in_use(self, run_id: str) -> bool:
        """A ledger that cannot be asked is no leave to delete."""
        try:
            held = run_id in self.ledger.locked_runs()
            return held or bool(self.ledger.handles(run_id=run_id, phases=OPEN_PHASES))
        except (LedgerError, SetupError):
            return True

    def _record(
        self, run_id: str, by: str, files: list[tuple[str, int]], folders: list[str], stored: list[tuple[str, int]]
    ) -> None:
        facts: dict[str, JsonValue] = {
            "folders": [*folders],
            **_inventory(files),
            "store_objects": len(stored),
            "store_bytes": sum(size for _, size in stored),
            "store_inventory_sha256": _inventory(stored)["inventory_sha256"],
            "absent_after": True,
            "by": by,
        }
        text = f"{len(files)} files of the clone deleted, and {len(stored)} objects of the store"
        self._note(run_id, RecordKind.CLONE_DELETED, text, facts)

    def _note(self, run_id: str, kind: RecordKind, text: str, facts: Mapping[str, JsonValue]) -> None:
        """The run and a sweeper may delete at the same time: each says what it found, one after the other."""
        writer = RunWriter(self.ledger, self.clock, self.recorder, run_id)
        for number in count(len(list(self.ledger.records(run_id=run_id, kinds=(kind,))))):
            with suppress(IdempotencyConflict):
                writer.note(kind, text, key=str(number), facts=facts)
                return

    def _folder(self, run_id: str) -> Path:
        return self.home / "runs" / run_id


def _sizes(workspace: Path, folders: list[Path]) -> list[tuple[str, int]]:
    """Names below the workspace and bytes of what is there; somebody else may be deleting it meanwhile."""
    found = []
    for path in _files(folders):
        with suppress(FileNotFoundError):
            found.append((path.relative_to(workspace).as_posix(), path.lstat().st_size))
    return found


def _files(folders: list[Path]) -> Iterator[Path]:
    for folder in folders:
        if folder.is_file() or folder.is_symlink():
            yield folder
        yield from (path for path in sorted(folder.rglob("*")) if path.is_symlink() or path.is_file())


def _inventory(files: list[tuple[str, int]]) -> dict[str, JsonValue]:
    """Count, bytes, and a digest of names and sizes: no content, of which a digest might be guessed at."""
    digest = hashlib.sha256(canonical([list(one) for one in sorted(files)])).hexdigest()
    return {"files": len(files), "bytes": sum(size for _, size in files), "inventory_sha256": digest}


def _changed(workspace: Path) -> float:
    """When anything in a run's folder was last made or changed."""
    return max((path.lstat().st_mtime for path in (workspace, *workspace.rglob("*"))), default=0.0)
