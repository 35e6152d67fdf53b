"""Counts the points of a run, and strikes its process at one of them; works in whatever process it is forked into."""

from __future__ import annotations

import json
import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from chaos_tasks.testing.crash import COMMIT, Moment
from tests.kill_matrix.cells import How, Point, Role

# Before anything is watched: a blow is no act of the program's own.
_kill, _killpg, _open = os.kill, os.killpg, os.open

BOUNDARY = "step"
INJECTED = "firing: injected"
"""A phase of one point, so that its number is the same however many processes a supervisor had to signal before."""
WHOLE_PHASES = frozenset({"inject", "revert", "sweep", "trial", "firing: inject", "firing: revert"})
"""Phases of which every act counts; of the others the ledger's commits and the boundaries of steps."""


@dataclass
class Striker:
    """What counts, what was counted, and where the blow falls."""

    aim: Point | None = None
    how: How = How.KILL
    trace: Path | None = None  # every point is written there
    mark: Path | None = None  # written at the blow: pid and time
    role: Role = Role.ENGINE
    phase: str = ""
    engine: int = 0
    counts: Counter[tuple[Role, str]] = field(default_factory=Counter)

    def see(self, moment: Moment, what: str) -> None:
        """One side of an act."""
        if not self.phase or not (self.phase in WHOLE_PHASES or what == COMMIT or what.startswith(BOUNDARY)):
            return
        self.counts[self.role, self.phase] += 1
        point = Point(
            role=self.role, phase=self.phase, number=self.counts[self.role, self.phase], moment=moment, what=what
        )
        if self.trace is not None:
            _append(self.trace, point.model_dump_json())
        if self.aim is not None and self._hit(point):
            self._strike()

    @contextmanager
    def within(self, phase: str) -> Iterator[None]:
        """Acts within belong to the phase."""
        outer, self.phase = self.phase, phase
        try:
            yield
        finally:
            self.phase = outer

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """A step of the engine, with a point on either side."""
        with self.within(name):
            self.see(Moment.BEFORE, f"{BOUNDARY} {name}")
            yield
            self.see(Moment.AFTER, f"{BOUNDARY} {name}")

    def _hit(self, point: Point) -> bool:
        """A boundary is known by its name: a ledger on PostgreSQL may commit once more or less before it."""
        aim = self.aim
        if aim is None or (point.role, point.phase) != (aim.role, aim.phase):
            return False
        if aim.what.startswith(BOUNDARY):
            return (point.what, point.moment) == (aim.what, aim.moment)
        return point.number == aim.number

    def _strike(self) -> None:
        if self.mark is not None:
            _append(self.mark, json.dumps({"pid": os.getpid(), "at": time.monotonic()}))
        self.aim = None
        if self.how is How.GROUP:
            if self.role is Role.SUPERVISOR:
                _kill(self.engine, signal.SIGKILL)
            _killpg(0, signal.SIGKILL)
        blow = {How.TERM: signal.SIGTERM, How.STOP: signal.SIGSTOP}.get(self.how, signal.SIGKILL)
        _kill(os.getpid(), blow)


def _append(path: Path, line: str) -> None:
    descriptor = _open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        os.write(descriptor, line.encode() + b"\n")
    finally:
        os.close(descriptor)
