"""How far a workload is: the steps in its progress file or in its output, read as they are written."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TypeGuard

from chaos_tasks.errors import WorkloadError
from chaos_tasks.judging.starts import STEP, ProgressEvent
from chaos_tasks.model.target import Progress

SEEN_FILE = "progress.seen.jsonl"
"""Steps that the workload did not date, with the time at which its supervisor saw them."""

MOST_EVENTS = 200_000  # of one trial; beyond that every other report is passed over
CHUNK_BYTES = 1 << 20
LONGEST_LINE_BYTES = 1 << 20  # a program that never ends its line must not fill our memory


@dataclass
class Tail:
    """Complete lines appended to a file since the last look; a file that shrank is read from its start again."""

    path: Path
    offset: int = 0
    _rest: bytes = b""

    @classmethod
    def at_end(cls, path: Path) -> Tail:
        """Only what is written from now on."""
        return cls(path, path.stat().st_size if path.exists() else 0)

    def lines(self) -> Iterator[str]:
        """Lines without their end; the last one waits until it is whole."""
        while chunk := self._chunk():
            *whole, self._rest = (self._rest + chunk).split(b"\n")
            self._rest = self._rest[-LONGEST_LINE_BYTES:]
            yield from (line.decode("utf-8", errors="replace").rstrip("\r") for line in whole)

    def _chunk(self) -> bytes:
        try:
            with self.path.open("rb") as stream:
                if stream.seek(0, 2) < self.offset:
                    self.offset, self._rest = 0, b""
                stream.seek(self.offset)
                chunk = stream.read(CHUNK_BYTES)
        except OSError:  # not there yet, or being replaced
            return b""
        self.offset += len(chunk)
        return chunk


@dataclass
class Steps:
    """First and last step of one launch, and the highest one."""

    first: int | None = None
    last: int | None = None
    highest: int | None = None

    def see(self, step: int) -> None:
        """One more step was reported."""
        self.first = step if self.first is None else self.first
        self.last = step
        self.highest = step if self.highest is None else max(self.highest, step)


@dataclass
class ProgressWatch:
    """Reads the steps of one launch; ``look`` is called with the new lines of its output.

    With ``now``, steps without a time of their own are noted with that at which they were seen.
    """

    progress: Progress | None
    out: Path
    now: Callable[[], datetime] | None = None
    steps: Steps = field(default_factory=Steps)
    _tail: Tail | None = None
    _pattern: re.Pattern[str] | None = None

    def __post_init__(self) -> None:
        if self.progress and self.progress.file:
            self._tail = Tail.at_end(self.out / self.progress.file)
        if self.progress and self.progress.log:
            self._pattern = compile_step_pattern(self.progress.log)

    def look(self, log_lines: Iterable[str]) -> Steps:
        """The steps so far."""
        undated: list[ProgressEvent] = []
        for event in self._new(log_lines):
            self.steps.see(event.step)
            undated += [] if math.isfinite(event.at) else [event]
        if undated and self.now is not None:
            self._note(undated, self.now().timestamp())
        return self.steps

    def _new(self, log_lines: Iterable[str]) -> Iterator[ProgressEvent]:
        """New reports; one that the workload does not date is at NaN."""
        if self._tail is not None:
            for line in self._tail.lines():
                event = report_of_json(line)
                if event is not None:
                    yield event
        if self._pattern is not None:
            for line in log_lines:
                step = step_of_log(self._pattern, line)
                if step is not None:
                    yield ProgressEvent(math.nan, step)

    def _note(self, events: Sequence[ProgressEvent], at: float) -> None:
        """Of the steps of one look the first and the last; a full disk costs us their times, never the trial."""
        ends = (0, len(events) - 1)
        shown = [event for place, event in enumerate(events) if place in ends or event.kind != STEP]
        with suppress(OSError), (self.out / SEEN_FILE).open("a", encoding="utf-8") as file:
            file.writelines(json.dumps(_line(event, at)) + "\n" for event in shown)


def _line(event: ProgressEvent, at: float) -> dict[str, str | int | float]:
    told = {"samples": event.samples, "device": event.device, "devices": event.devices, "write_s": event.write_s}
    known = {name: value for name, value in told.items() if value is not None}
    return {"t": at, "event": event.kind, "step": event.step, **known}


def compile_step_pattern(pattern: str) -> re.Pattern[str]:
    """Raises WorkloadError for what is no regular expression with one group."""
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise WorkloadError(f"reads.progress.log {pattern!r}: {error}", remedy="mend the regular expression") from error
    if compiled.groups != 1:
        what = f"reads.progress.log {pattern!r} has {compiled.groups} groups"
        raise WorkloadError(what, remedy="give it one: the step")
    return compiled


def step_of_json(line: str) -> int | None:
    """`step` of one JSON line; None for a line that is no object or has no whole number there."""
    with suppress(ValueError, RecursionError):
        entry = json.loads(line)
        step = entry.get("step") if isinstance(entry, dict) else None
        if isinstance(step, int) and not isinstance(step, bool):
            return step
    return None


def event_of_json(line: str) -> ProgressEvent | None:
    """A dated report, {"t": unix seconds, "step": n} and what else it says; None for any other line."""
    event = report_of_json(line)
    return event if event is not None and math.isfinite(event.at) else None


def report_of_json(line: str) -> ProgressEvent | None:
    """A report with a whole number as its `step`, at NaN when it is not dated; None for any other line."""
    with suppress(ValueError, RecursionError, OverflowError):
        entry = json.loads(line)
        step, at = (entry.get("step"), entry.get("t")) if isinstance(entry, dict) else (None, None)
        if isinstance(step, int) and not isinstance(step, bool):
            return ProgressEvent(
                at=float(at) if _is_number(at) and math.isfinite(at) else math.nan,
                step=step,
                kind=str(entry.get("event") or STEP),
                samples=_whole(entry.get("samples")),
                device=str(entry.get("device") or ""),
                devices=max(1, _whole(entry.get("devices")) or 1),
                write_s=_seconds(entry.get("write_s")),
            )
    return None


def _is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _seconds(value: object) -> float | None:
    return float(value) if _is_number(value) and math.isfinite(value) and value >= 0 else None


def read_events(progress: Progress | None, out: Path) -> list[ProgressEvent]:
    """All dated reports of a trial, its supervisors' sightings among them; thinned evenly where there are too many."""
    files = [name for name in (progress.file if progress else None, SEEN_FILE) if name]
    found: list[ProgressEvent] = []
    position, stride = -1, 1
    for name in files if progress else ():
        for line in Tail(out / name).lines():
            event = event_of_json(line)
            if event is None:
                continue
            position += 1
            if position % stride == 0:
                found.append(event)
            if len(found) > MOST_EVENTS:
                found, stride = found[::2], 2 * stride
    return found


def step_of_log(pattern: re.Pattern[str], line: str) -> int | None:
    """The first group of the first match, as a whole number."""
    found = pattern.search(line)
    with suppress(ValueError, TypeError):
        return int(found[1]) if found else None
    return None


def highest_step(progress: Progress | None, out: Path) -> int | None:
    """Highest step ever reported in a trial's folder: what a resumed trial had reached."""
    steps = Steps()
    if progress and progress.file:
        for line in Tail(out / progress.file).lines():
            step = step_of_json(line)
            steps = steps if step is None else _seen(steps, step)
    if progress and progress.log:
        pattern = compile_step_pattern(progress.log)
        for line in Tail(out / "workload.log").lines():
            step = step_of_log(pattern, line)
            steps = steps if step is None else _seen(steps, step)
    return steps.highest


def _seen(steps: Steps, step: int) -> Steps:
    steps.see(step)
    return steps


def lost_steps(launches: Iterable[tuple[int | None, int | None]]) -> int:
    """Steps done again: for (first, highest) of each launch in order, how far the next one started behind."""
    reached: int | None = None
    lost = 0
    for first, highest in launches:
        if reached is not None and first is not None:
            lost += max(0, reached - first + 1)
        reached = max((step for step in (reached, highest) if step is not None), default=None)
    return lost
