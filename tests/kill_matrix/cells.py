"""What the matrix is made of: a point of a run, a cell (kill it there, so), and what came of it."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from chaos_tasks.model.base import Value
from chaos_tasks.testing.crash import Moment


class Role(StrEnum):
    """Who is struck."""

    ENGINE = "engine"
    SUPERVISOR = "supervisor"
    SWEEPER = "sweeper"


class How(StrEnum):
    """What it is struck with."""

    KILL = "SIGKILL"
    GROUP = "SIGKILL of all of it"  # the engine's process group; with a supervisor, its engine too
    TERM = "SIGTERM"
    STOP = "SIGSTOP past the lease"  # swept while it sleeps, then SIGCONT


class By(StrEnum):
    """Who comes after it."""

    SWEEP = "sweep"
    TEARDOWN = "teardown"  # the revert task, within the lease
    NOBODY = "nobody"  # shows that a cell can be red


class Point(Value):
    """One side of one act: the ``number``-th within its phase."""

    role: Role
    phase: str
    number: int = Field(ge=1)
    moment: Moment
    what: str


class Cell(Value):
    """Strike there, so, and let somebody put it right."""

    kind: str
    ledger: str
    point: Point
    how: How = How.KILL
    by: By = By.SWEEP


class Result(Value):
    """What came of a cell; green when nothing is wrong."""

    cell: Cell
    reached: bool = Field(description="False: the run ended before it came to that point.")
    wrong: tuple[str, ...] = ()
    recovered_s: float | None = Field(None, description="From the blow to the proved undo, the lease left out.")
    outcome: str = Field("", description="Verdict of the run, once judged; empty where nothing was registered.")

    @property
    def green(self) -> bool:
        """Whether all is as promised."""
        return not self.wrong
