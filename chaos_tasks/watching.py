"""The watcher: sweeps again and again, outlives whatever a look meets, and tells when it cannot sweep."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime

from chaos_tasks.errors import LedgerError, SetupError
from chaos_tasks.notifying import notices
from chaos_tasks.ports import Clock, Notifier
from chaos_tasks.safety.guards import LEFT, SWEEPER, own_beat, own_leave
from chaos_tasks.sweeping import Sweeper, Swept
from chaos_tasks.targets.process import host as this_host

log = logging.getLogger(__name__)

TOLD_AFTER_S = 10.0
"""A database that restarts is away for a few seconds: nobody needs to get up for that."""

AGAIN_AFTER_S = 3600.0


@dataclass
class Watcher:
    """One watching process; any number may watch the same ledger, since a handle is taken over by one at a time."""

    sweeper: Sweeper
    clock: Clock
    notifier: Notifier
    host: str
    report: Callable[[Swept], None]
    alive: Callable[[], None] = lambda: None
    seal: Callable[[], object] = lambda: None
    seal_every_s: float = 3600.0
    _said: dict[str, datetime | None] = field(default_factory=dict, init=False)
    """The heartbeats after its last look, by the ledger's clock: of any sweeper, and of this host's."""
    _sealed_at: float = field(default=-1e12, init=False)
    _away_since: float | None = field(default=None, init=False)
    _told_at: float | None = field(default=None, init=False)

    def watch(self, *, every_s: float, stop: Callable[[], bool]) -> None:
        """Sweep until told to stop; whatever goes wrong is waited for, since its faults are still in."""
        while True:
            try:
                if stop():
                    self._leave()
                    return
                for swept in self.sweeper.sweep(watching=True):
                    self._report(swept)
                self._said = {name: self.sweeper.ledger.last_beat(name) for name in self._leaves}
            except Exception as error:  # noqa: BLE001  a watcher that dies leaves faults in
                self._away(error)
            else:
                self._back()
                self._seal()
            self.alive()
            self.clock.sleep(every_s)

    def _leave(self) -> None:
        """Say so: else a run that starts now would believe for a while that somebody watches it."""
        ledger = self.sweeper.ledger
        with suppress(LedgerError, SetupError):  # a ledger that is away must not keep it from ending
            for name, said in self._said.items():
                if said is not None and ledger.last_beat(name) == said:  # else others watch on, here or there
                    ledger.beat(self._leaves[name])

    @property
    def _leaves(self) -> dict[str, str]:
        """What takes back each heartbeat."""
        return {SWEEPER: LEFT, own_beat(this_host()): own_leave(this_host())}

    def _away(self, error: Exception) -> None:
        now, why = self.clock.monotonic(), notices.why_of(error)
        if self._away_since is None:
            self._away_since = now
            log.exception("the first look that failed")
        self._report(Swept(handle_id="", run_id="", kind="", reverted=False, summary=f"cannot sweep: {why}"))
        away_s = now - self._away_since
        due = self._told_at is None or now - self._told_at >= AGAIN_AFTER_S
        if away_s >= TOLD_AFTER_S and due:
            self._told_at = now
            self.notifier.tell(notices.cannot_sweep(self.host, why, for_s=away_s, at=self.clock.now()))

    def _report(self, swept: Swept) -> None:
        """Its own output may be on the disk that is full, or on a terminal that was closed; the ledger has it too."""
        with suppress(OSError):
            self.report(swept)

    def _seal(self) -> None:
        """Sign the log's head when it is due; never in the way of a sweep that failed."""
        now = self.clock.monotonic()
        if now - self._sealed_at < self.seal_every_s:
            return
        self._sealed_at = now
        try:
            self.seal()
        except Exception:  # a watcher that dies leaves faults in
            log.exception("the head of the log was not signed")

    def _back(self) -> None:
        if self._away_since is not None and self._told_at is not None:
            away_s = self.clock.monotonic() - self._away_since
            self.notifier.tell(notices.sweeps_again(self.host, for_s=away_s, at=self.clock.now()))
        self._away_since = self._told_at = None


def service_manager(environment: Mapping[str, str]) -> Callable[[], None]:
    """Tells systemd that the watcher lives (sd_notify(3), READY=1 and WATCHDOG=1); does nothing without one.

    A watcher that hangs, rather than dies, is ended and started again by `WatchdogSec`.
    """
    path = environment.get("NOTIFY_SOCKET", "")
    if not path:
        return lambda: None
    address = "\0" + path[1:] if path.startswith("@") else path

    def say() -> None:
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as to:
            to.sendto(b"READY=1\nWATCHDOG=1", address)

    return say


def host_name() -> str:
    """As notices call this machine and process."""
    return f"{socket.gethostname()} (pid {os.getpid()})"
