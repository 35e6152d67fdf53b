"""How far a workload is: the steps in its progress file or in its output, read as they are written."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from chaos_tasks.errors import WorkloadError
from chaos_tasks.model.target import Progress

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
    """Reads the steps of one launch; ``look`` is called with the new lines of its output."""

    progress: Progress | None
    out: Path
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
        if self._tail is not None:
            for line in self._tail.lines():
                self._see(step_of_json(line))
        if self._pattern is not None:
            for line in log_lines:
                self._see(step_of_log(self._pattern, line))
        return self.steps

    def _see(self, step: int | None) -> None:
        if step is not None:
            self.steps.see(step)


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
