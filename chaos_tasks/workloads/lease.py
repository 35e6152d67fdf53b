"""Keep the lease of a run while one of its trials runs, and know when it is lost."""

from __future__ import annotations

from collections.abc import Callable
from threading import Event, Thread

from chaos_tasks.errors import Fenced, LedgerError, SquallError
from chaos_tasks.ports import Clock, Ledger

JOIN_S = 5.0

GIVEN_UP_SHARE = 0.8
"""Unrenewed for this share of the lease it counts as lost: the rest is time to revert and end before a sweep comes."""


class LeaseKeeper:
    """Renews every third of the lease in a thread, over a connection of its own; ``lost`` says why it is over."""

    def __init__(
        self,
        open_ledger: Callable[[], Ledger],
        run_id: str,
        lease_s: float,
        clock: Clock,
        renew_faults: Callable[[Ledger], None] = lambda ledger: None,
        renewed: Callable[[float], None] = lambda until: None,
    ) -> None:
        self.lost = ""
        self._renew_faults = renew_faults
        self._tell = renewed
        self._open_ledger = open_ledger
        self._run_id = run_id
        self._lease_s = lease_s
        self._clock = clock
        self._done = Event()
        self._renewed_at = clock.monotonic()
        self._thread = Thread(target=self._keep, name="lease", daemon=True)

    def __enter__(self) -> LeaseKeeper:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join(JOIN_S)

    def check(self) -> str:
        """Why the lease is lost, or an empty text; also where the renewing thread is stuck in a dead connection."""
        if not self.lost and self._overdue():
            self.lost = f"the lease of {self._run_id} was not renewed for {GIVEN_UP_SHARE * self._lease_s:g} s"
        return self.lost

    def _keep(self) -> None:
        ledger: Ledger | None = None
        while not self.lost and not self._done.is_set():
            try:
                ledger = ledger or self._open_ledger()
                began = self._clock.monotonic()
                ledger.renew(self._run_id, lease_s=self._lease_s)
                self._renewed_at = began
                self._tell(began + self._lease_s)
                self._renew_faults(ledger)
            except Fenced as error:
                self.lost = error.message
            except (LedgerError, SquallError) as error:
                self.lost = error.message if self._overdue() else ""
            except Exception as error:  # noqa: BLE001  a driver's own error: the same as a ledger that does not answer
                self.lost = f"{type(error).__name__}: {error}" if self._overdue() else ""
            self._done.wait(self._lease_s / 3)
        if ledger is not None:
            ledger.close()

    def _overdue(self) -> bool:
        return self._clock.monotonic() - self._renewed_at > GIVEN_UP_SHARE * self._lease_s
