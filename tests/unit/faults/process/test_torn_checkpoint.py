"""The undo of a torn checkpoint leaves alone what the workload wrote meanwhile, and of ours nothing."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chaos_tasks.clients import from_credentials
from chaos_tasks.clock import SystemClock
from chaos_tasks.faults.base import FaultContext
from chaos_tasks.faults.process import torn_checkpoint
from chaos_tasks.faults.process.torn_checkpoint import TornCheckpoint, TornCheckpointParams
from chaos_tasks.model.handle import Finding, Handle
from chaos_tasks.model.place import ProcessPlace
from chaos_tasks.targets.process import is_stopped, place_of
from tests.unit.faults.process.families import child_of, until

OLD, NEW = b"epoch 3", b"epoch 9"
FAULT, PARAMS = TornCheckpoint(), TornCheckpointParams(kill=False)


class Killed(BaseException):
    """As a SIGKILL: nobody handles it."""


def die(*_: object) -> None:
    raise Killed


def checkpointed(pid: int, folder: Path) -> ProcessPlace:
    """The process has written one checkpoint."""
    for name in ("out", "checkpoints"):
        (folder / name).mkdir()
    (folder / "checkpoints" / "model.pt").write_bytes(OLD)
    return place_of(pid, trial_id="t", out=f"{folder}/out", checkpoints=f"{folder}/checkpoints")


@pytest.fixture
def place(tmp_path: Path) -> Iterator[ProcessPlace]:
    """A workload that has written one checkpoint."""
    with subprocess.Popen(["sleep", "60"], start_new_session=True) as workload:
        yield checkpointed(workload.pid, tmp_path)
        workload.kill()


@pytest.fixture
def context(tmp_path: Path) -> FaultContext:
    return FaultContext(clock=SystemClock(), clients=from_credentials({}), scratch=tmp_path)


def armed(place: ProcessPlace, context: FaultContext) -> Handle:
    told: dict[str, Any] = {"id": "r/s", "run_id": "r", "step": "s", "kind": FAULT.kind, "params": {}, "seed": 1}
    return Handle(place=place, prior=FAULT.snapshot(place, PARAMS, context), **told)


@pytest.mark.parametrize("gone", [False, True])
def test_a_checkpoint_that_is_written_during_the_undo_stays(
    place: ProcessPlace, context: FaultContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gone: bool
) -> None:
    handle, file = armed(place, context), Path(place.checkpoints) / "model.pt"
    assert FAULT.inject(handle, PARAMS, context).effective
    copy = shutil.copyfile

    def slow_copy(source: Path, target: Path) -> None:
        copy(source, target)
        file.unlink()
        if not gone:
            (tmp_path / "next").write_bytes(NEW)
            os.replace(tmp_path / "next", file)

    monkeypatch.setattr(shutil, "copyfile", slow_copy)
    assert FAULT.revert(handle, PARAMS, context).evidence == {"restored": False}
    left = {path.name: path.read_bytes() for path in Path(place.checkpoints).iterdir()}
    assert left == ({} if gone else {"model.pt": NEW})


def test_an_undo_that_was_killed_leaves_nothing_beside_the_checkpoints(
    place: ProcessPlace, context: FaultContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    handle, file = armed(place, context), Path(place.checkpoints) / "model.pt"
    assert FAULT.inject(handle, PARAMS, context).effective
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "copystat", die)
        with pytest.raises(Killed):
            FAULT.revert(handle, PARAMS, context)
    file.write_bytes(NEW)
    assert FAULT.revert(handle, PARAMS, context).effective
    assert [path.name for path in file.parent.iterdir()] == ["model.pt"]


@pytest.mark.parametrize("dies_in", ["_plan", "_tear"])
def test_a_child_goes_on_that_was_stopped_by_an_injector_which_died_as_its_leader_did(
    tmp_path: Path, context: FaultContext, monkeypatch: pytest.MonkeyPatch, dies_in: str
) -> None:
    """The child has cleared its environment, so that nothing but our own mark says that it is the workload's."""
    with subprocess.Popen(["bash", "-c", "env -i sleep 300 & wait"], start_new_session=True) as leader:
        child = child_of(leader)
        try:
            handle = armed(checkpointed(leader.pid, tmp_path), context)
            with monkeypatch.context() as patch:
                patch.setattr(torn_checkpoint, dies_in, die)
                with pytest.raises(Killed):
                    FAULT.inject(handle, PARAMS, context)
            leader.kill()
            leader.wait()
            assert until(lambda: is_stopped(child.pid))
            assert FAULT.inspect(handle, PARAMS, context) is Finding.PARTIAL
            assert FAULT.revert(handle, PARAMS, context).effective
            assert not is_stopped(child.pid)
            assert FAULT.inspect(handle, PARAMS, context) in {Finding.ARMED, Finding.REVERTED}
        finally:
            child.kill()
            leader.kill()
