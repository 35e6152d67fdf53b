"""Keep a lease while one act lasts: a living process that needs longer than its lease is not swept in mid-act.

A heartbeat is kept in the same way, by a sweeper that is at an undo.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Event, Thread

from chaos_tasks.clock import SystemClock
from chaos_tasks.errors import Fenced

LONGEST_S = 900.0
"""An act that takes longer hangs, and its lease is let go: another process, or another host, may do better."""

LEASE = "lease of an act"
SLICES = 3
JOIN_S = 5.0

log = logging.getLogger(__name__)


@dataclass
class Kept:
    """A lease that is being kept; ``lost`` says why it is no more, once somebody else has it."""

    renew: Callable[[], object]
    lease_s: float
    longest_s: float
    what: str
    lost: str = ""
    done: Event = field(default_factory=Event)

    def keep(self) -> None:
        """Renew every third of the lease until done, fenced, or too late."""
        clock = SystemClock()
        began = clock.monotonic()
        while not self.done.wait(self.lease_s / SLICES) and clock.monotonic() - began < self.longest_s:
            try:
                self.renew()
            except Fenced as error:
                self.lost = error.message
                return
            except Exception as error:  # noqa: BLE001  a ledger that does not answer: the act itself will say so
                log.warning("the %s was not renewed: %s", self.what, error)


@contextmanager
def kept(
    renew: Callable[[], object], *, lease_s: float, longest_s: float = LONGEST_S, what: str = LEASE
) -> Iterator[Kept]:
    """Call ``renew`` every third of the lease for as long as the block lasts, and no longer than ``longest_s``.

    In a thread of this process, so that a stopped process does not renew; ``what`` it keeps is the thread's name.
    """
    lease = Kept(renew, lease_s, longest_s, what)
    thread = Thread(target=lease.keep, name=what, daemon=True)
    thread.start()
    try:
        yield lease
    finally:
        lease.done.set()
        thread.join(JOIN_S)
