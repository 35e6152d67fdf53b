"""The trigger behind which a run stands in line for its locks: it keeps the place, and fires when the turn has come.

However many wait in one triggerer, the ledger is asked once a second for all of them.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

if TYPE_CHECKING:
    from chaos_tasks.ports import Ledger

LOOK_EVERY_S = 1.0

log = logging.getLogger(__name__)


class TurnTrigger(BaseTrigger):
    """
    Fires when a run may take its locks.

    :param run_id: the run that stands in line.
    :param until: fires then in any case (seconds since 1970), so that the run is refused by the ledger's word.
    """

    def __init__(self, run_id: str, until: float) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.run_id = run_id
        self.until = until

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """What Airflow keeps of it."""
        return f"{__name__}.{type(self).__name__}", {"run_id": self.run_id, "until": self.until}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait for the turn."""
        came = await line_here().turn(self.run_id, self.until - time.time())
        yield TriggerEvent({"run_id": self.run_id, "came": came})  # type: ignore[no-untyped-call]


@dataclass(eq=False)
class _Waiter:
    run_id: str
    came: asyncio.Event = field(default_factory=asyncio.Event)


class Line:
    """Everybody who waits in this process."""

    def __init__(self) -> None:
        self._waiters: set[_Waiter] = set()
        self._watcher: asyncio.Task[None] | None = None
        self._ledger: Ledger | None = None

    async def turn(self, run_id: str, patience_s: float) -> bool:
        """Wait until it is the run's turn; False when its patience was over first."""
        waiter = _Waiter(run_id)
        self._waiters.add(waiter)
        if self._watcher is None or self._watcher.done():
            self._watcher = asyncio.get_running_loop().create_task(self._watch())
        try:
            await asyncio.wait_for(waiter.came.wait(), max(0.0, patience_s))
        except TimeoutError:
            return False
        finally:
            self._waiters.discard(waiter)
        return True

    async def _watch(self) -> None:
        while self._waiters:
            asking = frozenset(waiter.run_id for waiter in self._waiters)
            turn = await asyncio.to_thread(self._look, asking)
            for waiter in self._waiters:
                if waiter.run_id in turn:
                    waiter.came.set()
            await asyncio.sleep(LOOK_EVERY_S)

    def _look(self, run_ids: Collection[str]) -> frozenset[str]:
        """Nobody's turn while the ledger cannot be asked; a place that ran out meanwhile is not lost, only passed."""
        from chaos_tasks.composition import the_ledger
        from chaos_tasks.engine import LEFT_PLACE_S

        try:
            self._ledger = self._ledger or the_ledger()
            return self._ledger.whose_turn(run_ids, queue_s=LEFT_PLACE_S)
        except Exception as error:  # noqa: BLE001  whatever it is, those who wait must be looked at again
            log.warning("the line was not looked at: %s", error)
            return frozenset()


_lines: dict[asyncio.AbstractEventLoop, Line] = {}


def line_here() -> Line:
    """The line of this event loop; a triggerer has one."""
    return _lines.setdefault(asyncio.get_running_loop(), Line())
