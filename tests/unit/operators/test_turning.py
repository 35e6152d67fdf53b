"""The trigger behind which runs stand in line: it fires in their order, keeps their places, and outlives a ledger."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection
from datetime import timedelta

import pytest

from chaos_tasks import composition
from chaos_tasks.engine import LEFT_PLACE_S
from chaos_tasks.errors import LedgerError, Queued
from chaos_tasks.model.plan import Lock
from chaos_tasks.testing.clock import FakeClock
from chaos_tasks.testing.memory_ledger import MemoryLedger
from squall_operators import turning
from squall_operators.turning import TurnTrigger

KEY = (Lock(key="dvc:/data", exclusive=True),)
FOREVER_S = 3600.0


class Watched(MemoryLedger):
    """Remembers who was asked about, and may be down for some looks."""

    looks: list[frozenset[str]]
    down: int = 0

    def whose_turn(self, run_ids: Collection[str], *, queue_s: float) -> frozenset[str]:
        """As the ledger says, once it is up."""
        self.looks.append(frozenset(run_ids))
        if self.down:
            self.down -= 1
            raise LedgerError("down")
        return super().whose_turn(run_ids, queue_s=queue_s)


@pytest.fixture
def ledger(monkeypatch: pytest.MonkeyPatch) -> Watched:
    made = Watched(FakeClock())
    made.looks = []
    monkeypatch.setattr(composition, "the_ledger", lambda: made)
    monkeypatch.setattr(turning, "LOOK_EVERY_S", 0.005)
    monkeypatch.setattr(turning, "_lines", {})
    return made


def stand(ledger: MemoryLedger, *run_ids: str) -> None:
    """The first takes the lock, the others stand in line for it."""
    for run_id in run_ids[:1]:
        ledger.acquire(run_id, KEY, lease_s=FOREVER_S)
    for run_id in run_ids[1:]:
        with pytest.raises(Queued):
            ledger.acquire(run_id, KEY, lease_s=FOREVER_S, queue_s=30)


async def fire(run_id: str, fired: list[str], ledger: MemoryLedger, until: float | None = None) -> object:
    """Wait behind a trigger, take the lock at the turn, give it back."""
    trigger = TurnTrigger(run_id, until or time.time() + 60)
    event = await anext(trigger.run())
    fired.append(run_id)
    ledger.release(run_id)
    return event.payload


def test_waiters_come_in_their_order_and_are_asked_about_together(ledger: Watched) -> None:
    stand(ledger, "holder", "first", "second", "third")
    fired: list[str] = []

    async def night() -> None:
        waiting = [asyncio.create_task(fire(name, fired, ledger)) for name in ("third", "first", "second")]
        while len(ledger.looks) < 3:
            await asyncio.sleep(0.001)
        assert fired == []
        ledger.release("holder")
        await asyncio.gather(*waiting)

    asyncio.run(night())
    assert fired == ["first", "second", "third"]
    assert {"first", "second", "third"} in ledger.looks
    assert max(len(look) for look in ledger.looks) == 3


def test_a_place_is_kept_while_it_is_waited_for(ledger: Watched) -> None:
    stand(ledger, "holder", "first")

    async def wait() -> None:
        task = asyncio.create_task(fire("first", [], ledger))
        while not ledger.looks:
            await asyncio.sleep(0.001)
        ledger.release("holder")
        await task

    until = ledger.waiting()[0].lease_until
    asyncio.run(_look_once(ledger))
    assert ledger.waiting()[0].lease_until == until + timedelta(seconds=LEFT_PLACE_S - 30)
    asyncio.run(wait())


async def _look_once(ledger: Watched) -> None:
    await asyncio.to_thread(turning.Line()._look, ["first"])


def test_a_ledger_that_is_down_for_a_while_loses_nobody(ledger: Watched) -> None:
    stand(ledger, "holder", "first")
    ledger.release("holder")
    ledger.down = 3
    fired: list[str] = []
    asyncio.run(fire("first", fired, ledger))
    assert fired == ["first"]
    assert len(ledger.looks) >= 4


def test_who_has_no_patience_left_is_told_so(ledger: Watched) -> None:
    stand(ledger, "holder", "first")
    assert asyncio.run(fire("first", [], ledger, until=time.time() - 1)) == {"run_id": "first", "came": False}


def test_a_trigger_that_is_cancelled_leaves_another_of_the_same_run_alone(ledger: Watched) -> None:
    stand(ledger, "holder", "first")
    fired: list[str] = []

    async def cleared() -> None:
        old, new = (asyncio.create_task(fire("first", fired, ledger)) for _ in range(2))
        while not ledger.looks:
            await asyncio.sleep(0.001)
        old.cancel()
        ledger.release("holder")
        await new

    asyncio.run(cleared())
    assert fired == ["first"]
