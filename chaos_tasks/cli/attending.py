"""What commands that run experiments do around it: show progress, see to a sweeper, stop cleanly."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from types import FrameType
from typing import TYPE_CHECKING

from rich.console import Console

from chaos_tasks.model.record import Judged, RecordKind, Registered, Stored, TrialEnd

if TYPE_CHECKING:
    from chaos_tasks.composition import Squall

NEXT_BEAT_S = 5.0
"""A watcher beats every two seconds, at a long undo every three or four; one that is silent for longer is joined.

Two do no harm.
"""

LOOK_S = 0.1


@contextmanager
def attended(squall: Squall, run_id: str, *, show: bool) -> Iterator[None]:
    """Around a run, or around a search, whose runs have names that begin with its own."""
    with own_sweeper(squall), _progress(squall, run_id, show=show), _interruptible():
        yield


@contextmanager
def _interruptible() -> Iterator[None]:
    """SIGTERM is a person or a scheduler who wants it to stop: the same as Ctrl-C, so that everything is reverted."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    previous = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


@contextmanager
def own_sweeper(squall: Squall) -> Iterator[None]:
    """Without `squall up` there is no sweeper: run one as a process of its own, which outlives a killed command.

    One of another host is none: it sees neither the processes here nor this disk.
    """
    if _is_watched(squall):
        yield
        return
    from chaos_tasks.cli.sweeper_process import start

    start(squall)
    yield  # it ends by itself once nothing is open


def _is_watched(squall: Squall) -> bool:
    """Whether a sweeper of this host beats now: what a killed one said last looks fresh, and nobody would come."""
    from chaos_tasks.safety.guards import is_fresh, last_watch
    from chaos_tasks.targets.process import host

    beat = last_watch(squall.ledger, host())
    if not is_fresh(beat, squall.ledger.now(), squall.settings.sweeper_max_age_s):
        return False
    deadline = squall.clock.monotonic() + NEXT_BEAT_S
    while (latest := last_watch(squall.ledger, host())) == beat and squall.clock.monotonic() < deadline:
        squall.clock.sleep(LOOK_S)
    return latest is not None and latest != beat


@contextmanager
def _progress(squall: Squall, run_id: str, *, show: bool) -> Iterator[None]:
    """A line per record as it is written, from a connection of its own."""
    if not show:
        yield
        return
    done = threading.Event()
    thread = threading.Thread(target=_follow, args=(squall, run_id, done), daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join(timeout=5)


def _follow(squall: Squall, run_id: str, done: threading.Event) -> None:
    console, seen, ending, since = Console(stderr=True), -1, False, squall.clock.now() - timedelta(seconds=1)
    while not ending:
        ending = done.wait(0.3)  # one more look after the end
        for stored in squall.ledger.records(since=since, after_seq=seen):
            seen = stored.seq
            name = stored.record.run_id
            line = _line(stored) if name == run_id else _part_line(stored) if name.startswith(f"{run_id}.") else ""
            if line:
                console.print(f"[dim]{stored.record.occurred_at:%H:%M:%S}[/dim]  {line}", soft_wrap=True)


def _line(stored: Stored) -> str:
    record, payload = stored.record, stored.record.payload
    if isinstance(payload, TrialEnd):
        trial = payload.trial
        numbers = "  ".join(f"{name} {value:.4g}" for name, value in list(trial.metrics.items())[:3])
        return (
            f"trial      {trial.arm.value:<9} seed {trial.seed}  {trial.status.value}  {trial.wall_s:.1f} s  {numbers}"
        )
    receipt = getattr(payload, "receipt", None)
    if receipt is not None:
        return f"{record.kind.value:<16} {receipt.summary}"
    if record.kind in (RecordKind.INJECT_INTENT, RecordKind.REVERT_INTENT, RecordKind.TRIAL_STARTED):
        return ""
    if record.kind is RecordKind.EVALUATE_VERDICT:
        return ""
    return f"{record.kind.value:<16} {getattr(payload, 'text', '') or getattr(payload, 'error', '')}"


def _part_line(stored: Stored) -> str:
    """Of a run of a search: what it asks, its trials, and what came out."""
    payload = stored.record.payload
    if isinstance(payload, Registered):
        overrides, experiment = payload.plan.overrides, payload.plan.experiment
        asked = f"intensity {overrides.intensity:g}" if overrides.intensity is not None else experiment.name
        return f"run        {stored.record.run_id}  {asked}, at most {len(payload.plan.seeds)} seeds"
    if isinstance(payload, Judged):
        return f"verdict    {payload.verdict.outcome.value}  {payload.verdict.sentence}"
    return _line(stored) if isinstance(payload, TrialEnd) else ""
