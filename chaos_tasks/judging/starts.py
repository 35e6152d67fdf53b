"""A run's reports of progress, parted into its starts: the first one, and each time it began anew."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

STEP = "step"
CHECKPOINT = "checkpoint"
OPENING = frozenset({"start", "resume"})
"""Events that tell where a start stands, before it has made a step."""


@dataclass(frozen=True, slots=True)
class ProgressEvent:
    """One report: ``at`` in unix seconds, the ``step`` reached, and what the workload adds."""

    at: float
    step: int
    kind: str = STEP
    samples: int | None = None  # since step 0
    device: str = ""
    devices: int = 1
    write_s: float | None = None  # of a checkpoint, as the workload says it


@dataclass(frozen=True)
class Start:
    """The reports of one start, by time; never empty."""

    events: tuple[ProgressEvent, ...]

    @property
    def at(self) -> float:
        """Its first sign of progress."""
        return self.events[0].at

    @property
    def opened(self) -> bool:
        """Whether it said where it stood before it made a step."""
        return self.events[0].kind in OPENING

    @property
    def base(self) -> int:
        """The step that it went on from; one that only reports steps is taken to report the first that it makes."""
        return self.events[0].step if self.opened else self.events[0].step - 1


def part(events: Sequence[ProgressEvent], launched: Sequence[float]) -> list[Start]:
    """Part reports (by time) at each launch, each opening after other reports, and each step behind the last."""
    parts: list[list[ProgressEvent]] = []
    for event in events:
        if not parts or _anew(parts[-1][-1], event, launched):
            parts.append([])
        parts[-1].append(event)
    return [Start(tuple(found)) for found in parts]


def _anew(before: ProgressEvent, event: ProgressEvent, launched: Sequence[float]) -> bool:
    if event.kind in OPENING and before.kind not in OPENING:
        return True
    return event.step < before.step or any(before.at < at <= event.at for at in launched)


def pace(starts: Sequence[Start]) -> float | None:
    """Seconds that a step usually takes, the median over reports; None where no two reports tell it."""
    found = [
        (after.at - before.at) / (after.step - before.step)
        for start in starts
        for before, after in pairwise(start.events)
        if after.step > before.step and after.kind != CHECKPOINT
    ]
    return max(0.0, median(found)) if found else None
