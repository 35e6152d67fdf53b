"""Eight processes take and give back locks: none is ever lost, nobody is overtaken, and everybody gets there."""

from __future__ import annotations

import multiprocessing
import random
import threading
from datetime import datetime
from multiprocessing.synchronize import Lock as Guard
from typing import Any, NamedTuple

from chaos_tasks.errors import Queued
from chaos_tasks.ledger import DatabaseLedger, open_ledger
from chaos_tasks.ledger.lock_keys import conflict, strongest
from chaos_tasks.model.plan import Lock

PROCESSES, TURNS, LONG_S, KEYS = 8, 6, 300.0, ("a", "b", "c")


class Turn(NamedTuple):
    """One run: asked between the first two moments (equal when it stood in line), granted before the last."""

    run_id: str
    locks: tuple[Lock, ...]
    not_before: datetime
    in_line: datetime | None
    granted: datetime


def test_no_lock_is_lost_and_nobody_is_overtaken(url: str) -> None:
    context = multiprocessing.get_context("fork")
    held, guard, broken = context.Array("i", len(KEYS), lock=False), context.Lock(), context.Value("i", 0)
    open_ledger(url).close()  # the tables are there
    queue = context.Queue()
    started = [
        context.Process(target=take_turns, args=(url, number, held, guard, broken, queue))
        for number in range(PROCESSES)
    ]
    for process in started:
        process.start()
    turns = [turn for _ in started for turn in queue.get(timeout=120)]
    for process in started:
        process.join(timeout=30)
    assert broken.value == 0
    assert len(turns) == PROCESSES * TURNS
    assert overtaken(turns) == []
    ledger = open_ledger(url)
    assert ledger.waiting() == []
    assert ledger.locked_runs() == frozenset()
    ledger.close()


def take_turns(url: str, number: int, held: Any, guard: Guard, broken: Any, queue: Any) -> None:
    ledger, rng, turns = open_ledger(url), random.Random(number), list[Turn]()
    for turn in range(TURNS):
        keys = rng.sample(KEYS, rng.choice((1, 2)))
        locks = strongest(Lock(key=key, exclusive=rng.random() < 0.6) for key in keys)
        run_id = f"run-{number}-{turn}"
        turns.append(wait_for(ledger, run_id, locks))
        for step in (1, -1):
            with guard:
                for lock in locks:
                    use(held, broken, lock, step)
            threading.Event().wait(0.02 if step > 0 else 0.0)  # so that others come meanwhile
        ledger.release(run_id)
    ledger.close()
    queue.put(turns)


def use(held: Any, broken: Any, lock: Lock, step: int) -> None:
    """A witness of its own: -1 while a writer is in, else the number of readers."""
    at = KEYS.index(lock.key)
    if step > 0 and (held[at] != 0 if lock.exclusive else held[at] < 0):
        broken.value += 1
    held[at] += -step if lock.exclusive else step


def wait_for(ledger: DatabaseLedger, run_id: str, locks: tuple[Lock, ...]) -> Turn:
    pause, not_before, in_line = threading.Event(), ledger.now(), None
    while True:
        try:
            ledger.acquire(run_id, locks, lease_s=LONG_S, queue_s=LONG_S)
        except Queued as queued:
            in_line = queued.since
            pause.wait(0.005)
        else:
            return Turn(run_id, locks, not_before, in_line, ledger.now())


def overtaken(turns: list[Turn]) -> list[tuple[str, str]]:
    """Pairs in which the second stood in line before the first even came, and yet the first was served before it."""
    return [
        (late.run_id, early.run_id)
        for early in turns
        for late in turns
        if early.in_line is not None
        and early.in_line < late.not_before
        and late.granted < early.granted
        and any(conflict(one, other) for one in early.locks for other in late.locks)
    ]
