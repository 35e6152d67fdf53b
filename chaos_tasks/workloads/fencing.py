"""End what still runs of trials whose supervisor is gone, or must go: a revert may not race with a live workload."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from chaos_tasks.clock import SystemClock
from chaos_tasks.ports import Clock
from chaos_tasks.targets.process import ProcessIdentity, end_tree
from chaos_tasks.workloads.journal import FILE_NAME, Journal

GRACE_S = 2.0
SUPERVISOR_GRACE_S = 10.0  # it reverts its own holds and writes their receipts
POLL_S = 0.02


def end_recorded(trials: Path, *, clock: Clock | None = None) -> int:
    """End all recorded supervisors and workloads below the folder; returns how many workload processes were alive."""
    return sum(end_trial(journal.parent, clock or SystemClock()) for journal in sorted(trials.rglob(FILE_NAME)))


def end_trial(out: Path, clock: Clock) -> int:
    """End one trial: its supervisor first, since it would start the workload again."""
    journal = Journal(out)
    for supervisor in journal.supervisors():
        if supervisor.pid != os.getpid():
            _end_supervisor(supervisor, clock)
    places = {place.key: place for place in journal.launched_places()}
    return sum(len(end_tree(place, GRACE_S).found) for place in places.values())


def _end_supervisor(supervisor: ProcessIdentity, clock: Clock) -> None:
    deadline = clock.monotonic() + SUPERVISOR_GRACE_S
    supervisor.send(signal.SIGTERM)
    while supervisor.is_alive():
        if clock.monotonic() > deadline:
            supervisor.send(signal.SIGKILL)
            return
        clock.sleep(POLL_S)
