"""End what still runs of trials whose supervisor is gone, or must go: a revert may not race with a live workload."""

from __future__ import annotations

import logging
import os
import signal
from pathlib import Path

from chaos_tasks.clients import from_environment
from chaos_tasks.clock import SystemClock
from chaos_tasks.errors import WorkloadError
from chaos_tasks.ports import Clients, Clock
from chaos_tasks.targets.process import ProcessIdentity, end_tree
from chaos_tasks.workloads.dag_ending import end_dag_runs
from chaos_tasks.workloads.journal import FILE_NAME, Journal

GRACE_S = 2.0
SUPERVISOR_GRACE_S = 10.0  # it reverts its own holds and writes their receipts
POLL_S = 0.02

log = logging.getLogger(__name__)


def end_recorded(
    trials: Path, *, clock: Clock | None = None, clients: Clients | None = None, left: list[Path] | None = None
) -> int:
    """End all recorded supervisors and workloads below the folder; returns how many of them were alive.

    Folders of trials whose DAG runs could not be ended are added to ``left``; without it, that raises WorkloadError.
    """
    count = 0
    for journal in sorted(trials.rglob(FILE_NAME)):
        try:
            count += end_trial(journal.parent, clock or SystemClock(), clients)
        except WorkloadError as error:
            if left is None:
                raise
            log.warning("%s", error.message)
            left.append(journal.parent)
    return count


def end_trial(out: Path, clock: Clock, clients: Clients | None = None) -> int:
    """End one trial: its supervisor first, since it would start the workload again; its DAG runs last.

    Raises WorkloadError when a DAG run could not be ended; whatever is on this host has ended then.
    """
    journal = Journal(out)
    for supervisor in journal.supervisors():
        if supervisor.pid != os.getpid():
            _end_supervisor(supervisor, clock)
    places = {place.key: place for place in journal.launched_places()}
    alive = sum(len(end_tree(place, GRACE_S).found) for place in places.values())
    return alive + end_dag_runs(journal, lambda: clients or from_environment(), clock)


def _end_supervisor(supervisor: ProcessIdentity, clock: Clock) -> None:
    deadline = clock.monotonic() + SUPERVISOR_GRACE_S
    supervisor.send(signal.SIGTERM)
    while supervisor.is_alive():
        if clock.monotonic() > deadline:
            supervisor.send(signal.SIGKILL)
            return
        clock.sleep(POLL_S)
