"""Where a trial's time went: work kept, work done again, saving, standing still, and being down.

Work is kept on a stack of pieces, each from one reported step to the next.  A new start takes off what lies beyond the
step that it goes on from: that is the work lost.  The time from the last report to the failure is lost with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import median

from chaos_tasks.judging.setbacks import Hit, Restart, hits_of, setbacks
from chaos_tasks.judging.starts import CHECKPOINT, ProgressEvent, Start, pace, part
from chaos_tasks.model.progress import Checkpointing, TrialProgress
from chaos_tasks.model.trial import Trial, TrialStatus

CLOCK_SLACK_S = 5.0
"""A workload's own clock may be a little off; what it dates further outside its trial is passed over."""

STALL = 2.0
"""While a fault is in, a step that takes more than so many times its usual time has been held up."""


def account(trial: Trial, events: Sequence[ProgressEvent]) -> TrialProgress | None:
    """Where the time of the trial went; None when it showed no progress.  ``events`` may come in any order."""
    low, high = trial.started_at.timestamp() - CLOCK_SLACK_S, trial.ended_at.timestamp() + CLOCK_SLACK_S
    seen = sorted((event for event in events if low <= event.at <= high), key=lambda event: event.at)
    if not seen:
        return None
    starts = part(seen, [launch.started_at.timestamp() for launch in trial.launches])
    hits = hits_of(trial.firings)
    book = _Book(top=starts[0].base, pace=pace(starts))
    book.write(starts, hits, trial)
    completed = trial.status is TrialStatus.COMPLETED
    end = book.last_at if completed else max(book.last_at, trial.ended_at.timestamp())
    told = next((event for event in reversed(seen) if event.device), None)
    return TrialProgress(
        span_s=_rounded(end - seen[0].at),
        useful_s=_rounded(sum(piece.seconds for piece in book.kept)),
        redone_s=_rounded(sum(restart.redone_s for restart in book.restarts)),
        saving_s=_rounded(sum(book.writes)),
        stalled_s=_rounded(book.stalled_s),
        down_s=_rounded(sum(restart.down_s for restart in book.restarts)),
        redone_steps=sum(restart.redone_steps for restart in book.restarts),
        redone_samples=_samples(book.redone, seen),
        device=told.device if told else "",
        devices=told.devices if told else 1,
        checkpoints=_checkpointing(book),
        setbacks=setbacks(hits, starts, book.restarts, trial),
    )


@dataclass(frozen=True)
class _Piece:
    """Work from one reported step to the next."""

    low: int
    high: int
    seconds: float
    samples: int | None

    def parted(self, step: int) -> tuple[_Piece, _Piece]:
        """The parts up to and beyond a step within it, in proportion."""
        share = (step - self.low) / (self.high - self.low)
        before = None if self.samples is None else round(self.samples * share)
        after = None if self.samples is None or before is None else self.samples - before
        kept = self.seconds * share
        return _Piece(self.low, step, kept, before), _Piece(step, self.high, self.seconds - kept, after)


@dataclass
class _Book:
    """What has been written down so far; times in seconds."""

    top: int  # highest step whose work is kept
    pace: float | None
    kept: list[_Piece] = field(default_factory=list)
    redone: list[_Piece] = field(default_factory=list)
    restarts: list[Restart] = field(default_factory=list)
    writes: list[float] = field(default_factory=list)
    intervals: list[float] = field(default_factory=list)
    saves: int = 0
    stalled_s: float = 0.0
    last_at: float = 0.0  # when the latest step was made or saved
    since_save: float = 0.0

    def write(self, starts: Sequence[Start], hits: Sequence[Hit], trial: Trial) -> None:
        """All starts, in their order."""
        for number, start in enumerate(starts):
            if number:
                self._begin_anew(starts[number - 1], start, hits, trial)
            self.last_at, self.since_save = start.at, 0.0
            if not start.opened:
                self._keep(_Piece(start.base, start.events[0].step, 0.0, None))
            for before, after in pairwise(start.events):
                self._go_on(before, after, struck=any(hit.during(before.at, after.at) for hit in hits))

    def _begin_anew(self, old: Start, new: Start, hits: Sequence[Hit], trial: Trial) -> None:
        """Take off what lies beyond the step that the new start goes on from."""
        failed_at = _failed_at(old, new, hits, trial)
        tail_s = max(0.0, failed_at - old.events[-1].at)
        if new.base > self.top:  # it had been saved, only not reported
            seconds = min(tail_s, (new.base - self.top) * self.pace) if self.pace is not None else 0.0
            self._keep(_Piece(self.top, new.base, seconds, None))
            tail_s -= seconds
        lost = self._take_off(new.base)
        self.redone += lost
        self.restarts.append(
            Restart(
                failed_at=failed_at,
                start=new,
                redone_steps=sum(piece.high - piece.low for piece in lost),
                redone_s=sum(piece.seconds for piece in lost) + tail_s,
            )
        )

    def _take_off(self, base: int) -> list[_Piece]:
        lost: list[_Piece] = []
        while self.kept and self.kept[-1].high > base:
            piece = self.kept.pop()
            if piece.low < base:
                rest, piece = piece.parted(base)
                self.kept.append(rest)
            lost.append(piece)
        self.top = base
        return lost

    def _keep(self, piece: _Piece) -> None:
        self.kept.append(piece)
        self.top = piece.high

    def _go_on(self, before: ProgressEvent, after: ProgressEvent, *, struck: bool) -> None:
        """What lies between two reports of one start."""
        gained, took = after.step - before.step, max(0.0, after.at - before.at)
        saved = after.kind == CHECKPOINT
        if gained <= 0 and not saved:
            return  # an evaluation, or a report without news
        cost = self._cost(after, gained, took) if saved else 0.0
        if gained > 0:
            work = self._without_stall(took - cost, gained) if struck else took - cost
            self._keep(_Piece(before.step, after.step, work, _between(before.samples, after.samples)))
            self.since_save += work
        if saved:
            self._save()
        self.last_at = after.at

    def _without_stall(self, work: float, gained: int) -> float:
        usual = gained * self.pace if self.pace is not None else work
        if work <= STALL * usual:
            return work
        self.stalled_s += work - usual
        return usual

    def _cost(self, save: ProgressEvent, gained: int, took: float) -> float:
        """What the workload says; else all the time at one and the same step; else what the pace does not explain."""
        if save.write_s is not None:
            cost = min(save.write_s, took)
        elif gained <= 0:
            cost = took
        elif self.pace is not None:
            cost = max(0.0, took - gained * self.pace)
        else:
            return 0.0
        self.writes.append(cost)
        return cost

    def _save(self) -> None:
        self.saves += 1
        if self.since_save > 0:
            self.intervals.append(self.since_save)
        self.since_save = 0.0


def _failed_at(old: Start, new: Start, hits: Sequence[Hit], trial: Trial) -> float:
    """When a start came to nothing: at a fault after its last report; else at its end; else at that report."""
    last = old.events[-1].at
    struck = [hit.held_at for hit in hits if last <= hit.held_at <= new.at]
    ended = [launch.ended_at.timestamp() for launch in trial.launches if launch.ended_at is not None]
    return min(struck or [at for at in ended if last <= at <= new.at] or [last])


def _between(before: int | None, after: int | None) -> int | None:
    return None if before is None or after is None else max(0, after - before)


def _samples(redone: Sequence[_Piece], seen: Sequence[ProgressEvent]) -> int | None:
    """Samples done again; None unless all of them are told."""
    known = [piece.samples for piece in redone if piece.samples is not None]
    told = any(event.samples is not None for event in seen)
    return sum(known) if told and len(known) == len(redone) else None


def _checkpointing(book: _Book) -> Checkpointing | None:
    if not book.saves:
        return None
    return Checkpointing(
        count=book.saves,
        interval_s=_rounded(median(book.intervals)) if book.intervals else None,
        write_s=_rounded(median(book.writes)) if book.writes else None,
    )


def _rounded(seconds: float) -> float:
    """To the microsecond, so that records do not carry the dust of additions."""
    return round(max(0.0, seconds), 6)
