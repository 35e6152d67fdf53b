"""A pause ends for everybody whom it stopped: without a leader, under a debugger, and where it stood still before."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from chaos_tasks.clients import from_credentials
from chaos_tasks.clock import SystemClock
from chaos_tasks.errors import InjectError
from chaos_tasks.faults.base import FaultContext
from chaos_tasks.faults.process import stopping
from chaos_tasks.faults.process.pause import Pause, PauseParams
from chaos_tasks.model.handle import Finding, Handle
from chaos_tasks.targets.process import is_stopped, is_traced, place_of
from tests.unit.faults.process.families import child_of, until
from tests.unit.faults.process.tracing import traced

FAULT, PARAMS = Pause(), PauseParams()

# It waits in the kernel, where no stop reaches it, until its child has opened the pipe.
WAITS_IN_THE_KERNEL = """
import os, sys, time
os.posix_spawn("/bin/true", ["true"], {}, file_actions=[(os.POSIX_SPAWN_OPEN, 9, sys.argv[1], os.O_RDONLY, 0)])
time.sleep(300)
"""


@pytest.fixture
def workload() -> Iterator[subprocess.Popen[bytes]]:
    """A leader with one child, which has cleared its environment and so bears no mark."""
    command = ["bash", "-c", "env -i sleep 300 & wait"]
    with subprocess.Popen(command, start_new_session=True) as leader:
        try:
            yield leader
        finally:
            leader.kill()


@pytest.fixture
def alone() -> Iterator[subprocess.Popen[bytes]]:
    """A leader without children."""
    with subprocess.Popen(["sleep", "300"], start_new_session=True) as leader:
        try:
            yield leader
        finally:
            leader.kill()


@pytest.fixture
def context(tmp_path: Path) -> FaultContext:
    return FaultContext(clock=SystemClock(), clients=from_credentials({}), scratch=tmp_path)


def armed(leader: subprocess.Popen[bytes], context: FaultContext) -> Handle:
    folder = str(context.scratch)
    place = place_of(leader.pid, trial_id="t", out=folder, checkpoints=folder)
    told: dict[str, Any] = {"id": "r/s", "run_id": "r", "step": "s", "kind": FAULT.kind, "params": {}, "seed": 1}
    return Handle(place=place, prior=FAULT.snapshot(place, PARAMS, context), **told)


def test_a_child_goes_on_although_its_leader_died_while_both_stood_still(
    workload: subprocess.Popen[bytes], context: FaultContext
) -> None:
    child = child_of(workload)
    handle = armed(workload, context)
    try:
        assert FAULT.inject(handle, PARAMS, context).effective
        workload.kill()
        workload.wait()
        assert is_stopped(child.pid)
        assert FAULT.inspect(handle, PARAMS, context) is Finding.INJECTED
        assert FAULT.revert(handle, PARAMS, context).effective
        assert not is_stopped(child.pid)
        assert FAULT.inspect(handle, PARAMS, context) is Finding.ARMED
    finally:
        child.kill()


def test_a_paused_process_that_is_traced_goes_on(alone: subprocess.Popen[bytes], context: FaultContext) -> None:
    handle = armed(alone, context)
    assert FAULT.inject(handle, PARAMS, context).effective
    with traced(alone.pid, lets_run=True):
        assert until(lambda: is_traced(alone.pid))
        assert FAULT.inspect(handle, PARAMS, context) is Finding.PARTIAL
        assert FAULT.revert(handle, PARAMS, context).effective
        assert FAULT.inspect(handle, PARAMS, context) is Finding.ARMED
        assert not is_traced(alone.pid)
    assert not is_stopped(alone.pid)


def test_a_pause_is_not_over_while_a_debugger_holds_its_process(
    alone: subprocess.Popen[bytes], context: FaultContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    handle = armed(alone, context)
    assert FAULT.inject(handle, PARAMS, context).effective
    monkeypatch.setattr(stopping, "SETTLE_S", 0.2)
    with traced(alone.pid, lets_run=False):
        assert until(lambda: is_traced(alone.pid))
        said = FAULT.revert(handle, PARAMS, context)
        assert (said.effective, said.summary) == (False, "0 of 1 processes go on; a debugger holds 1")
        assert FAULT.inspect(handle, PARAMS, context) is Finding.PARTIAL
    assert until(lambda: not is_traced(alone.pid))
    assert not is_stopped(alone.pid)  # the stop that was pending is gone
    assert FAULT.revert(handle, PARAMS, context).effective
    assert FAULT.inspect(handle, PARAMS, context) is Finding.ARMED


def test_whom_a_debugger_holds_is_not_taken_for_standing_still(
    alone: subprocess.Popen[bytes], context: FaultContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    handle = armed(alone, context)
    monkeypatch.setattr(stopping, "SETTLE_S", 0.2)
    with traced(alone.pid, lets_run=True):
        assert FAULT.inspect(handle, PARAMS, context) is Finding.ARMED
        assert not FAULT.inject(handle, PARAMS, context).effective
        assert FAULT.inspect(handle, PARAMS, context) is Finding.PARTIAL
        assert FAULT.revert(handle, PARAMS, context).effective
    assert not is_stopped(alone.pid)


def test_a_process_that_a_stop_had_not_reached_yet_does_not_stop_after_the_pause(
    context: FaultContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipe = context.scratch / "pipe"
    os.mkfifo(pipe)
    command = [sys.executable, "-I", "-S", "-c", WAITS_IN_THE_KERNEL, str(pipe)]
    monkeypatch.setattr(stopping, "SETTLE_S", 0.2)
    with subprocess.Popen(command, start_new_session=True) as leader:
        try:
            process = psutil.Process(leader.pid)
            assert until(lambda: process.status() == psutil.STATUS_DISK_SLEEP)
            handle = armed(leader, context)
            assert not FAULT.inject(handle, PARAMS, context).effective
            assert FAULT.revert(handle, PARAMS, context).effective
            pipe.open("wb").close()
            assert until(lambda: process.status() != psutil.STATUS_DISK_SLEEP)
            assert until(lambda: process.status() == psutil.STATUS_SLEEPING)
        finally:
            os.killpg(leader.pid, signal.SIGKILL)


@pytest.fixture
def still(workload: subprocess.Popen[bytes]) -> Iterator[psutil.Process]:
    """A child of the workload that stands still."""
    child = child_of(workload)
    child.suspend()
    assert until(lambda: is_stopped(child.pid))
    yield child
    child.kill()


def test_who_stood_still_when_armed_and_went_on_goes_on_after_the_pause(
    workload: subprocess.Popen[bytes], still: psutil.Process, context: FaultContext
) -> None:
    handle = armed(workload, context)
    still.resume()
    assert until(lambda: not is_stopped(still.pid))
    assert FAULT.inject(handle, PARAMS, context).effective
    assert FAULT.inspect(handle, PARAMS, context) is Finding.INJECTED
    assert FAULT.revert(handle, PARAMS, context).effective
    assert not is_stopped(still.pid)


def test_a_workload_that_stands_still_already_is_not_paused(
    alone: subprocess.Popen[bytes], context: FaultContext
) -> None:
    alone.send_signal(signal.SIGSTOP)
    assert until(lambda: is_stopped(alone.pid))
    with pytest.raises(InjectError, match="stand still already"):
        armed(alone, context)


def test_who_stood_still_before_the_pause_stands_still_after_it(
    workload: subprocess.Popen[bytes], still: psutil.Process, context: FaultContext
) -> None:
    handle = armed(workload, context)
    assert FAULT.inject(handle, PARAMS, context).effective
    assert FAULT.revert(handle, PARAMS, context).effective
    assert is_stopped(still.pid)
    assert not is_stopped(workload.pid)
