"""Follows a run in its ledger while it is struck: leases, handles and locks, five times a second."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager, closing, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from threading import Event, Thread

from chaos_tasks.acts import NO_LEDGER
from chaos_tasks.ledger import lock_table, open_ledger
from chaos_tasks.ledger.database import Database, Session
from chaos_tasks.ledger.opening import open_database
from chaos_tasks.model.handle import HELD, OPEN_PHASES
from chaos_tasks.model.plan import Lock
from chaos_tasks.ports import LedgerReader
from chaos_tasks.runs import Run

EVERY_S = 0.2
FIRST_S = 10.0
SOMEBODY_ELSE = "somebody-else"


@dataclass
class Follower(AbstractContextManager["Follower"]):
    """Looks with connections of its own, and writes nothing."""

    url: str
    run_id: str
    lease_s: float
    past_lease_s: float = 0.0
    renewed_at: datetime | None = None
    locked_at: float = 0.0
    trouble: str = ""
    _epochs: dict[str, int] = field(default_factory=dict)
    _looked: Event = field(default_factory=Event)
    _done: Event = field(default_factory=Event)
    _thread: Thread | None = None

    def __enter__(self) -> Follower:
        self._thread = Thread(target=self._follow, name="follower", daemon=True)
        self._thread.start()
        self._looked.wait(FIRST_S)  # before the blow: it may be one to the ledger's server
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        if self._thread is not None:
            self._thread.join()

    def _follow(self) -> None:
        try:
            with closing(open_ledger(self.url)) as ledger, closing(open_database(self.url)) as database:
                locks = Run(ledger, self.run_id).plan().locks
                while not self._done.is_set():
                    with suppress(*NO_LEDGER):  # a row may restart its server; what was not seen then is seen next
                        self._look(ledger, database, locks)
                    self._looked.set()
                    self._done.wait(EVERY_S)
        except Exception as error:  # noqa: BLE001  told by whoever reads what was seen
            self.trouble = f"the follower stopped: {error!r}"

    def _look(self, ledger: LedgerReader, database: Database, locks: tuple[Lock, ...]) -> None:
        now = ledger.now()
        for state in ledger.handles(run_id=self.run_id, phases=OPEN_PHASES):
            self.past_lease_s = max(self.past_lease_s, (now - state.lease_until).total_seconds())
            epoch = self._epochs.setdefault(state.handle.id, state.handle.epoch)
            if state.phase in HELD and state.handle.epoch == epoch:  # a sweep's own lease does not count
                # A run that was handed over to its next task has a longer one, given just now at most.
                renewed = min(state.lease_until - timedelta(seconds=self.lease_s), now)
                self.renewed_at = max(self.renewed_at or renewed, renewed)
        with database.transaction() as session:
            if not _free(session, locks, database.now_ms()):
                self.locked_at = time.time()


def _free(session: Session, locks: tuple[Lock, ...], now_ms: int) -> bool:
    return lock_table.is_free(session, SOMEBODY_ELSE, locks, now_ms=now_ms)
