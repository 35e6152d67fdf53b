"""A process of another host or container proves nothing: neither that a fault is in nor that it is out."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from chaos_tasks.clients import from_credentials
from chaos_tasks.clock import SystemClock
from chaos_tasks.errors import FaultError
from chaos_tasks.faults.base import FaultContext
from chaos_tasks.faults.process import places
from chaos_tasks.faults.process.pause import Pause, PauseParams
from chaos_tasks.faults.process.places import process_place, task_place
from chaos_tasks.faults.process.task_kill import TaskKill, TaskKillParams
from chaos_tasks.model.handle import Handle
from chaos_tasks.model.place import Place, ProcessPlace, TaskPlace
from chaos_tasks.targets import process
from chaos_tasks.targets.process import MACHINES_TABLE, ProcessIdentity, place_of

ANOTHER_TABLE = ("unshare", "--user", "--map-root-user", "--pid", "--fork", "--mount-proc")


def this_process() -> ProcessPlace:
    return place_of(os.getpid(), trial_id="r/treatment/1", out="out", checkpoints="checkpoints")


def this_task() -> TaskPlace:
    return ProcessIdentity.mine().as_task(dag_id="d", run_id="r", task_id="exercise", try_number=1)


def test_a_process_of_another_host_is_refused_naming_where_to_go() -> None:
    here = this_process()
    assert process_place(here) is here
    with pytest.raises(FaultError, match="runs on elsewhere") as caught:
        process_place(here.model_copy(update={"host": "elsewhere"}))
    assert "on elsewhere" in caught.value.remedy


def test_a_task_of_another_host_is_refused_naming_where_to_go() -> None:
    here = this_task()
    assert task_place(here) is here
    with pytest.raises(FaultError, match="runs on elsewhere") as caught:
        task_place(here.model_copy(update={"host": "elsewhere"}))
    assert "on elsewhere" in caught.value.remedy


def test_no_other_host_says_that_no_task_was_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fault, params = TaskKill(), TaskKillParams()
    context = FaultContext(clock=SystemClock(), clients=from_credentials({}), scratch=tmp_path)
    with subprocess.Popen(["sleep", "300"]) as task:
        found = ProcessIdentity.of(task.pid)
        assert found is not None
        place = found.as_task(dag_id="d", run_id="r", task_id="t", try_number=1)
        prior = fault.snapshot(place, params, context)
        handle = Handle(id="r/s", run_id="r", step="s", kind=fault.kind, params={}, seed=1, place=place, prior=prior)
        assert fault.inject(handle, params, context).effective
    monkeypatch.setattr(places, "host", lambda: "elsewhere")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))  # a folder of each host's own
    for look in (fault.revert, fault.inspect):
        with pytest.raises(FaultError, match="neither seen nor ended"):
            look(handle, params, context)


@pytest.mark.parametrize("narrow", [process_place, task_place])
def test_a_process_of_another_container_of_this_host_is_refused_naming_its_table(
    narrow: Callable[[Place], Place],
) -> None:
    here = this_process() if narrow is process_place else this_task()
    there = here.model_copy(update={"pid_namespace": here.pid_namespace + 1})
    with pytest.raises(FaultError, match=f"pid namespace {there.pid_namespace}") as caught:
        narrow(there)
    assert "container" in caught.value.remedy
    older_record, earlier_boot, earlier_container = {"pid_namespace": 0}, {"boot_id": "b"}, {"start_time": 0.0}
    for known in (older_record, earlier_boot, earlier_container):  # of the last two nothing runs any more
        assert narrow(there.model_copy(update=known))


def test_the_table_of_the_machine_itself_does_not_end_before_a_container_that_began_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(process, "pid_namespace", lambda: MACHINES_TABLE + 1)
    on_the_machine = this_process().model_copy(update={"pid_namespace": MACHINES_TABLE, "start_time": 0.0})
    with pytest.raises(FaultError, match=f"pid namespace {MACHINES_TABLE}"):
        process_place(on_the_machine)


UNDO_THERE = """
import sys
from pathlib import Path
from chaos_tasks.clients import from_credentials
from chaos_tasks.clock import SystemClock
from chaos_tasks.errors import FaultError
from chaos_tasks.faults.base import FaultContext
from chaos_tasks.faults.process.pause import Pause, PauseParams
from chaos_tasks.model.handle import Handle
print("ready", flush=True)
handle = Handle.model_validate_json(sys.stdin.read())
context = FaultContext(clock=SystemClock(), clients=from_credentials({}), scratch=Path("."))
for look in (Pause().revert, Pause().inspect):
    try:
        print(look(handle, PauseParams(), context))
    except FaultError:
        print("refused")
"""


def may_have_another_table() -> bool:
    try:
        return subprocess.run([*ANOTHER_TABLE, "true"], capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


@pytest.mark.skipif(not may_have_another_table(), reason="nobody may have another table of processes here")
def test_a_pause_is_not_undone_by_a_container_that_does_not_see_its_process(tmp_path: Path) -> None:
    fault, params = Pause(), PauseParams()
    context = FaultContext(clock=SystemClock(), clients=from_credentials({}), scratch=tmp_path)
    command = [*ANOTHER_TABLE, sys.executable, "-c", UNDO_THERE]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "ready\n"
        with subprocess.Popen(["sleep", "300"], start_new_session=True) as leader:
            try:
                place = place_of(leader.pid, trial_id="t", out=str(tmp_path), checkpoints=str(tmp_path))
                told: dict[str, Any] = {"id": "r/s", "run_id": "r", "step": "s", "kind": fault.kind, "params": {}}
                handle = Handle(place=place, prior=fault.snapshot(place, params, context), seed=1, **told)
                assert fault.inject(handle, params, context).effective
                said, _ = other.communicate(handle.model_dump_json(), timeout=60)
                assert said.split() == ["refused", "refused"]
                assert fault.revert(handle, params, context).summary == "1 of 1 processes go on"
            finally:
                leader.kill()
