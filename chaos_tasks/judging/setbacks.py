"""What each fault that fired did to a run in progress, and when the run was back, made a step and had caught up."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from chaos_tasks.judging.starts import OPENING, ProgressEvent, Start
from chaos_tasks.model.progress import Setback
from chaos_tasks.model.trial import Firing, Trial, TrialStatus


@dataclass(frozen=True)
class Hit:
    """A fault that was in, from and until when (unix seconds)."""

    firing: Firing
    held_at: float
    until: float

    def during(self, low: float, high: float) -> bool:
        """Whether it was in at some moment between the two."""
        return self.held_at <= high and self.until >= low


@dataclass(frozen=True)
class Restart:
    """A new start after a failure, and what was done again for it."""

    failed_at: float
    start: Start
    redone_steps: int
    redone_s: float

    @property
    def down_s(self) -> float:
        """From the failure to the new start's first sign of progress."""
        return max(0.0, self.start.at - self.failed_at)


def hits_of(firings: Iterable[Firing]) -> tuple[Hit, ...]:
    """The faults that took effect, by time; one without an effective receipt hit nothing."""
    found = []
    for firing in firings:
        if firing.injected is not None and firing.injected.effective:
            held_at = max(firing.fired_at, firing.injected.at).timestamp()
            until = firing.reverted.at.timestamp() if firing.reverted is not None else held_at
            found.append(Hit(firing, held_at, max(held_at, until)))
    return tuple(sorted(found, key=lambda hit: (hit.held_at, hit.firing.handle_id)))


def setbacks(
    hits: Sequence[Hit], starts: Sequence[Start], restarts: Sequence[Restart], trial: Trial
) -> tuple[Setback, ...]:
    """One per hit; a restart that several hits share is charged to the first of them."""
    events = [event for start in starts for event in start.events]
    charged: set[int] = set()
    found: list[Setback] = []
    for number, hit in enumerate(hits):
        following = hits[number + 1].held_at if number + 1 < len(hits) else float("inf")
        restart = _restart_of(hit, following, events, restarts)
        first = restart is not None and id(restart) not in charged
        if restart is not None:
            charged.add(id(restart))
        found.append(_setback(hit, restart, events, trial, following, charge=first))
    return tuple(found)


def _restart_of(
    hit: Hit, following: float, events: Sequence[ProgressEvent], restarts: Sequence[Restart]
) -> Restart | None:
    """The restart that the hit brought about: the next one before the next hit, or across it when nothing went on."""
    later = [restart for restart in restarts if restart.start.at >= hit.held_at]
    if not later:
        return None
    went_on = any(hit.held_at <= event.at < following for event in events)
    return later[0] if later[0].start.at < following or not went_on else None


def _setback(
    hit: Hit,
    restart: Restart | None,
    events: Sequence[ProgressEvent],
    trial: Trial,
    following: float,
    *,
    charge: bool,
) -> Setback:
    back_from = restart.start.at if restart is not None else hit.held_at
    before = [event.step for event in events if event.at < back_from]
    after = [event for event in events if event.at >= back_from]
    reached = max(before, default=None)
    back = after[0] if after else None
    return Setback(
        handle_id=hit.firing.handle_id,
        fired_at=hit.firing.fired_at,
        held_at=_moment(hit.held_at),
        step_before=reached,
        resumed_from=restart.start.base if restart is not None else None,
        restarted_at=_launched(hit, restart, trial, following),
        back_at=_at(back),
        first_step_at=_at(next((event for event in after if event.kind not in OPENING), None)),
        caught_up_at=_at(_caught_up(after, reached, completed=trial.status is TrialStatus.COMPLETED)),
        down_s=round(max(0.0, back.at - hit.held_at), 6) if back is not None else None,
        redone_steps=restart.redone_steps if restart is not None and charge else 0,
        redone_s=round(restart.redone_s, 6) if restart is not None and charge else 0.0,
    )


def _caught_up(after: Sequence[ProgressEvent], reached: int | None, *, completed: bool) -> ProgressEvent | None:
    """The first report beyond the step reached before; in a completed run whose last step that was, the first at it."""
    beyond = next((event for event in after if reached is None or event.step > reached), None)
    if beyond is None and completed:
        return next((event for event in after if reached is not None and event.step >= reached), None)
    return beyond


def _launched(hit: Hit, restart: Restart | None, trial: Trial, following: float) -> datetime | None:
    """The first launch after the hit and before the next; None for one that came back by itself, within its launch.

    Where the next hit came first, the launch that brought it back counts.
    """
    later = [launch.started_at for launch in trial.launches if launch.started_at >= hit.firing.fired_at]
    own = [at for at in later if at.timestamp() < following]
    if own or restart is None:
        return min(own, default=None)
    return max((at for at in later if at.timestamp() <= restart.start.at), default=None)


def _at(event: ProgressEvent | None) -> datetime | None:
    return _moment(event.at) if event is not None else None


def _moment(at: float) -> datetime:
    return datetime.fromtimestamp(at, UTC)
