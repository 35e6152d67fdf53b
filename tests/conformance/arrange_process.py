"""Process faults on real processes, each under a small runtime that starts it again when it dies."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from threading import Event, Thread

import pytest
from pydantic import JsonValue

from chaos_tasks import registry
from chaos_tasks.clients import from_credentials
from chaos_tasks.clock import SystemClock
from chaos_tasks.faults.base import FaultContext
from chaos_tasks.model.place import Place, ProcessPlace, TaskPlace
from chaos_tasks.targets.process import MARK_VARIABLE, ProcessIdentity, end_tree, group, is_alive, place_of
from chaos_tasks.testing.conformance import Arrangement

WORKER = ("/bin/sh", "-c", "sleep 600 & wait")
WORKERS = 2  # the shell and its child


class Runtime:
    """Starts the worker, and starts it again when it ends: a thread, for a process more per case would cost seconds."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._spawned: list[ProcessPlace] = []
        self._places: list[ProcessPlace] = []  # those that are whole
        self._closed = Event()
        self._started = Event()
        self._thread = Thread(target=self._keep, daemon=True)
        self._thread.start()
        assert self._started.wait(10)

    @property
    def place(self) -> ProcessPlace:
        return self._places[-1]

    def healthy(self) -> bool:
        return ProcessIdentity.of_place(self.place).is_alive()

    def close(self) -> None:
        self._closed.set()
        for place in self._spawned:
            end_tree(place, 0.0)
        self._thread.join(10)

    def _keep(self) -> None:
        while not self._closed.is_set():
            environment = {MARK_VARIABLE: f"{self._folder}#{len(self._spawned)}", "PATH": os.environ["PATH"]}
            # posix_spawn, since the conformance suite counts each Popen as an act of the fault
            pid = os.posix_spawn(WORKER[0], WORKER, environment, setsid=True)
            place = place_of(
                pid,
                trial_id=str(self._folder),
                out=str(self._folder / "out"),
                checkpoints=str(self._folder / "checkpoints"),
                checkpoint_glob="*.ckpt",
            )
            self._spawned.append(place)
            # Until the shell has its child, a fingerprint of the group would change by itself.
            while is_alive(place) and len(group(place)) < WORKERS and not self._closed.wait(0.002):
                pass
            self._places.append(place)
            self._started.set()
            with suppress(ChildProcessError):
                os.waitpid(pid, 0)


def _task_place(runtime: Runtime) -> TaskPlace:
    identity = ProcessIdentity.of_place(runtime.place)
    return identity.as_task(dag_id="d", run_id="r", task_id="exercise", try_number=1)


def _process_place(runtime: Runtime) -> ProcessPlace:
    return runtime.place


def _builder(
    kind: str, params: Mapping[str, JsonValue], place: Callable[[Runtime], Place]
) -> Callable[[Path, pytest.FixtureRequest], Arrangement]:
    def build(folder: Path, request: pytest.FixtureRequest) -> Arrangement:
        for name in ("out", "checkpoints"):
            (folder / name).mkdir()
        for step in (10, 20):
            (folder / "checkpoints" / f"{step}.ckpt").write_bytes(bytes(range(256)) * step)
            os.utime(folder / "checkpoints" / f"{step}.ckpt", (step, step))
        runtime = Runtime(folder)
        request.addfinalizer(runtime.close)

        def make_context() -> FaultContext:
            scratch = Path(tempfile.mkdtemp(dir=folder))
            return FaultContext(clock=SystemClock(), clients=from_credentials({}), scratch=scratch)

        return Arrangement(
            fault=registry.fault(kind),
            place=place(runtime),
            params=params,
            make_context=make_context,
            healthy=runtime.healthy,
        )

    return build


ARRANGEMENTS = {
    "airflow.task_kill": _builder("airflow.task_kill", {"signal": "KILL"}, _task_place),
    "process.kill": _builder("process.kill", {"scope": "group"}, _process_place),
    "process.pause": _builder("process.pause", {}, _process_place),
    "process.torn_checkpoint": _builder("process.torn_checkpoint", {"keep_fraction": 0.4}, _process_place),
}
