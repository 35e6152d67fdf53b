"""200 runs on 20 targets, 8 at a time: whether every lock held, whether anybody was passed, and where the time went."""

from __future__ import annotations

import itertools
import multiprocessing
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from benchmarks.scale_toy import TRIAL_S, ask, engine, metered, project, require, target_name
from chaos_tasks.errors import Queued
from chaos_tasks.ledger import DatabaseLedger, open_ledger
from chaos_tasks.model.handle import Phase
from chaos_tasks.model.plan import Lock
from chaos_tasks.model.record import RecordKind
from chaos_tasks.runs import Run
from chaos_tasks.safety.guards import SWEEPER

RUNS, TARGETS, WORKERS = 200, 20, 8
ONE_EACH = {"hurt_at_once": TARGETS}  # a slot per target: two runs of one target exclude each other
PATIENCE_S = 3600.0


@dataclass(frozen=True)
class Done:
    """One run as its worker saw it: when it came and was let in by the ledger's clock, and its seconds."""

    run_id: str
    target: str
    came: datetime
    let_in: datetime
    waited_s: float
    trials_s: float
    ledger_s: float
    wall_s: float


def work(home: str, url: str, queue: multiprocessing.Queue[Any], done: multiprocessing.Queue[Any]) -> None:
    """Take the next run until none is left."""
    toy, settings = project(Path(home), url, TARGETS, ONE_EACH)
    ledger = toy.ledger
    require(isinstance(ledger, DatabaseLedger), "a ledger in a database")
    one = engine(toy, settings)
    one = replace(one, parts=replace(one.parts, lock_wait_s=PATIENCE_S))
    came: dict[str, datetime] = {}
    let_in: dict[str, datetime] = {}
    waited: dict[str, float] = {}
    in_vain: dict[str, float] = {}  # asking while in line, which is counted as waiting
    real = ledger.acquire

    def acquire(run_id: str, locks: Sequence[Lock], *, lease_s: float, queue_s: float = 0.0) -> float:
        asked = time.perf_counter()
        try:
            waited[run_id] = real(run_id, locks, lease_s=lease_s, queue_s=queue_s)
        except Queued as place:
            came.setdefault(run_id, place.since)
            in_vain[run_id] = in_vain.get(run_id, 0.0) + time.perf_counter() - asked
            raise
        let_in[run_id] = ledger.now()
        came.setdefault(run_id, let_in[run_id])
        return waited[run_id]

    ledger.acquire = acquire  # type: ignore[method-assign]
    while (item := queue.get()) is not None:
        run_id, target = item
        began = time.perf_counter()
        with metered() as meter:
            verdict = one.run(ask(run_id, target))
        wall = time.perf_counter() - began
        require(verdict.run_id == run_id, "verdict.run_id == run_id")
        trials = sum(trial.wall_s for trial in Run(ledger, run_id).trials()) * TRIAL_S
        ledger_s = meter.seconds - in_vain.get(run_id, 0.0)
        told = (run_id, target_name(target), came[run_id], let_in[run_id], waited[run_id], trials, ledger_s, wall)
        done.put(Done(*told))
    done.put(None)


def measure(url: str, folder: Path, *, runs: int = RUNS, workers: int = WORKERS) -> dict[str, Any]:
    """Run them, hold the promises against the ledger's records, and say what it took."""
    order = random.Random(4)
    asked = [(f"run-{number:03}", order.randrange(TARGETS)) for number in range(runs)]
    ledger = open_ledger(url)
    context = multiprocessing.get_context("spawn")
    queue, done = context.Queue(), context.Queue()
    for item in [*asked, *[None] * workers]:
        queue.put(item)
    homes = [str(folder / f"home-{number}") for number in range(workers)]
    running = [context.Process(target=work, args=(home, url, queue, done)) for home in homes]
    began = time.perf_counter()
    for process in running:
        process.start()
    found = _collect(ledger, done, running)
    wall_s = time.perf_counter() - began
    for process in running:
        process.join()
    check(ledger, found, asked)
    return {"workers": workers, "targets": TARGETS, **figures(found, wall_s)}


def _collect(ledger: DatabaseLedger, done: Any, running: Sequence[Any]) -> list[Done]:
    """What the workers did; this process is the sweeper that the guards ask for."""
    import queue

    found: list[Done] = []
    ended = 0
    while ended < len(running):
        ledger.beat(SWEEPER)
        try:
            one = done.get(timeout=2)
        except queue.Empty:
            require(all(process.is_alive() or process.exitcode == 0 for process in running), "a worker died")
            continue
        ended += one is None
        found += [] if one is None else [one]
    return found


def check(ledger: DatabaseLedger, found: Sequence[Done], asked: Sequence[tuple[str, int]]) -> None:
    """The promises: all judged and reverted, a target held by one run at a time, nobody passed."""
    require(
        sorted(one.run_id for one in found) == sorted(run_id for run_id, _ in asked),
        "sorted(one.run_id for one in found) == sorted(run_id for run_id, _ in asked)",
    )
    states = ledger.handles()
    require(len(states) == len(asked), "len(states) == len(asked)")
    require(
        {state.phase for state in states} == {Phase.REVERTED}, "{state.phase for state in states} == {Phase.REVERTED}"
    )
    require(
        all(Run(ledger, run_id).verdict() is not None for run_id, _ in asked),
        "all(Run(ledger, run_id).verdict() is not None for run_id, _ in asked)",
    )
    require(ledger.waiting() == [], "ledger.waiting() == []")
    require(ledger.locked_runs() == frozenset(), "ledger.locked_runs() == frozenset()")
    target = {one.run_id: one.target for one in found}
    kinds = (RecordKind.LOCKS_TAKEN, RecordKind.LOCKS_RELEASED)
    log = [(stored.record.run_id, stored.record.kind) for stored in ledger.records(kinds=kinds)]
    holder: dict[str, str] = {}
    for run_id, kind in log:
        if kind is RecordKind.LOCKS_TAKEN:
            require(target[run_id] not in holder, f"{run_id} and {holder.get(target[run_id])} held {target[run_id]}")
            holder[target[run_id]] = run_id
        else:
            require(holder.pop(target[run_id]) == run_id, "holder.pop(target[run_id]) == run_id")
    for name in set(target.values()):
        taken = [run_id for run_id, kind in log if kind is RecordKind.LOCKS_TAKEN and target[run_id] == name]
        came = {one.run_id: one.came for one in found if one.target == name}
        passed = [(a, b) for a, b in itertools.pairwise(taken) if came[a] > came[b]]
        require(passed == [], f"passed on {name}: {passed}")


def figures(found: Sequence[Done], wall_s: float) -> dict[str, Any]:
    """Throughput, waiting, and the shares of a worker's time."""
    waits = sorted(one.waited_s for one in found)
    worked = sum(one.wall_s for one in found)
    trials, ledger = sum(one.trials_s for one in found), sum(one.ledger_s for one in found)
    line = sum(waits)
    return {
        "runs": len(found),
        "runs_per_minute": round(60 * len(found) / wall_s, 1),
        "wall_s": round(wall_s, 1),
        "stood_in_line": sum(wait > 0 for wait in waits),
        "wait_s": {
            "p50": round(waits[len(waits) // 2], 2),
            "p95": round(waits[int(0.95 * len(waits))], 2),
            "max": round(waits[-1], 2),
        },
        "share": {
            "trials": round(trials / worked, 3),
            "in_line": round(line / worked, 3),
            "ledger": round(ledger / worked, 3),
            "rest": round(1 - (trials + line + ledger) / worked, 3),
        },
        "promises": "no target held twice, nobody passed, every run judged and reverted",
    }
