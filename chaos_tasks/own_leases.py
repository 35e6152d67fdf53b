"""Until when the leases that this process keeps last by its own host's clock: known even once the ledger is gone."""

from __future__ import annotations

import os
from collections.abc import Callable
from threading import Lock

from chaos_tasks.clock import SystemClock


class OwnLeases:
    """Of one ledger to one process: its connections share what they have renewed.  Times are monotonic seconds."""

    def __init__(self, monotonic: Callable[[], float] | None = None) -> None:
        self.now = monotonic or SystemClock().monotonic
        self._until: dict[str, float] = {}
        self._turn = Lock()

    def renewed(self, run_id: str, until: float) -> None:
        """The lease of a run was set by this process: it lasts as long as was asked for, from before it was asked."""
        with self._turn:
            self._until[run_id] = until

    def told(self, run_id: str, until: float) -> None:
        """A process of ours had renewed it, maybe before this one did."""
        with self._turn:
            self._until[run_id] = max(until, self._until.get(run_id, until))

    def until(self, run_id: str) -> float | None:
        """The end of the last known lease of a run; None where none is known here."""
        with self._turn:
            return self._until.get(run_id)

    def over_for_s(self, run_id: str) -> float:
        """Seconds since that end; 0 while it lasts, and where none is known here."""
        until = self.until(run_id)
        return 0.0 if until is None else max(0.0, self.now() - until)


_known: dict[tuple[int, str], OwnLeases] = {}  # a child that was forked renews for itself


def own_leases_of(url: str) -> OwnLeases:
    """Of the ledger at that address, whatever the number of connections of this process to it."""
    return _known.setdefault((os.getpid(), url), OwnLeases())
