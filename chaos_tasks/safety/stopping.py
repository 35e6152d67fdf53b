"""When the readings of a stop condition add up to a stop: so many bad ones among the last ones; unreadable is bad."""

from __future__ import annotations

from collections import deque
from datetime import datetime

from pydantic import Field

from chaos_tasks.model.base import Reading, Value
from chaos_tasks.model.experiment import Exactly, Range, StopCondition

KEPT = 20
"""Readings that go on record with a stop."""


class WatchReading(Value):
    """One reading: a number or a state, or why there is none.  ``counts`` is False within the grace period."""

    at: datetime
    value: Reading = None
    error: str = ""
    bad: bool
    counts: bool = True
    trial: str = Field("", description="Id of the trial that ran; empty between two.")


class Stopped(Value):
    """Why a run was stopped, as it goes on record."""

    condition: str
    text: str
    readings: tuple[WatchReading, ...] = ()


class Tally:
    """Counts the readings of one condition: from the start of each trial anew, if they are about the trial.

    What is there without any (a service) is counted through, or short trials would forgive it for ever.
    """

    def __init__(self, condition: StopCondition, *, per_trial: bool = True) -> None:
        self._condition = condition
        self._per_trial = per_trial
        self._last: deque[WatchReading] = deque(maxlen=condition.of)
        self._all: deque[WatchReading] = deque(maxlen=KEPT)
        self._trial = ""

    def add(self, at: datetime, value: Reading, error: str, *, trial: str, in_grace: bool) -> Stopped | None:
        """Add a reading; why to stop, once there are enough bad ones."""
        if self._per_trial and trial != self._trial:
            self._trial = trial
            self._last.clear()
        bad = bool(error) or is_bad(self._condition, value)
        reading = WatchReading(at=at, value=value, error=error, bad=bad, counts=not in_grace, trial=trial)
        self._all.append(reading)
        if in_grace:
            return None
        self._last.append(reading)
        strikes = sum(one.bad for one in self._last)
        return self._stopped(reading, strikes) if bad and strikes >= self._condition.strikes else None

    def silent(self, seconds: float, why: str) -> Stopped:
        """A condition that gives no reading at all."""
        text = f"{self._condition.name} could not be read for {seconds:.0f} s" + (f": {why}" if why else "")
        return Stopped(condition=self._condition.name, text=text, readings=tuple(self._all))

    def _stopped(self, reading: WatchReading, strikes: int) -> Stopped:
        condition = self._condition
        said = f"cannot be read: {reading.error}" if reading.error else f"is {_shown(reading.value)}"
        allowed = "" if reading.error else f", allowed is {_allowed(condition)}"
        often = f" ({strikes} of the last {len(self._last)} readings)" if condition.of > 1 else ""
        text = f"stop condition {condition.name} {said}{allowed}{often}"
        return Stopped(condition=condition.name, text=text, readings=tuple(self._all))


def is_bad(condition: StopCondition, value: Reading) -> bool:
    """Whether a value is out of tolerance; none, NaN and a value of another sort are."""
    tolerance = condition.tolerance
    if isinstance(tolerance, Exactly):
        return value is None or isinstance(value, bool) != isinstance(tolerance.value, bool) or value != tolerance.value
    if isinstance(value, bool) or not isinstance(value, int | float):
        return True
    return not ((tolerance.min is None or value >= tolerance.min) and (tolerance.max is None or value <= tolerance.max))


def _allowed(condition: StopCondition) -> str:
    tolerance = condition.tolerance
    if isinstance(tolerance, Range):
        bounds = [f"at least {tolerance.min:g}"] if tolerance.min is not None else []
        bounds += [f"at most {tolerance.max:g}"] if tolerance.max is not None else []
        return " and ".join(bounds)
    return _shown(tolerance.value)


def _shown(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
