"""A supervisor that loses its ledger before it could announce an injection leaves the place as others have it."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chaos_tasks.clients import from_credentials
from chaos_tasks.clock import SystemClock
from chaos_tasks.errors import LedgerError
from chaos_tasks.faults.base import FaultContext
from chaos_tasks.ledger import open_ledger
from chaos_tasks.model.place import ProcessPlace
from chaos_tasks.ports import Ledger
from chaos_tasks.targets.process import is_stopped, place_of
from chaos_tasks.workloads.firing import FiringDesk
from chaos_tasks.workloads.triggers import Sight
from tests.integration.workloads.laboratory import eventually, make_spec
from tests.integration.workloads.test_supervisor import firing


class Lost:
    """A ledger that is gone from the first move of a handle on; an operator stops the workload just then."""

    def __init__(self, ledger: Ledger, pid: int) -> None:
        self.ledger, self.pid, self.lost = ledger, pid, False

    def __getattr__(self, name: str) -> Any:
        real = getattr(self.ledger, name)

        def call(*given: Any, **named: Any) -> Any:
            if name == "transition" and not self.lost:
                self.lost = True
                os.kill(self.pid, signal.SIGSTOP)
            if self.lost:
                raise LedgerError("gone")
            return real(*given, **named)

        return call


@pytest.fixture
def workload(tmp_path: Path) -> Iterator[ProcessPlace]:
    (tmp_path / "1.ckpt").write_text("x" * 100)
    with subprocess.Popen(["sleep", "300"], start_new_session=True) as leader:
        told = {"out": str(tmp_path), "checkpoints": str(tmp_path), "checkpoint_glob": "*.ckpt"}
        yield place_of(leader.pid, trial_id="run-1/treatment/x", **told)
        leader.kill()


def test_what_was_never_put_in_is_not_taken_out(tmp_path: Path, workload: ProcessPlace) -> None:
    """The undo of a torn checkpoint lets the workload go on: here somebody else has stopped it."""
    ledger: Any = Lost(open_ledger(f"sqlite:///{tmp_path}/ledger.db"), workload.pid)
    context = FaultContext(clock=SystemClock(), clients=from_credentials({}), scratch=tmp_path, lease_s=20.0)
    torn = firing("process.torn_checkpoint", trigger={"at": "elapsed", "after": "0s"})
    desk = FiringDesk(make_spec(tmp_path, firings=(torn,)), ledger, lambda: context)
    desk.tick(Sight(elapsed_s=1.0, step=1, new_lines=(), folders=()), workload, now=0.0)
    (one,) = desk.firings
    assert one.error.endswith("nothing was put in")
    eventually(lambda: is_stopped(workload.pid), "the workload to stand still")
    ledger.ledger.close()
