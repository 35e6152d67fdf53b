"""A notice: what a person is told who has to act, with what to look at and the next command."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from pydantic import Field

from chaos_tasks.model.base import Value


class NoticeKind(StrEnum):
    """Why somebody is told."""

    UNREVERTED = "unreverted"  # a fault whose undo is not proved
    CANNOT_SWEEP = "cannot_sweep"  # nothing is reverted when its lease ends
    SWEEPS_AGAIN = "sweeps_again"
    STOPPED = "stopped"  # a stop condition ended a run
    VERDICT = "verdict"  # anything but held or a known finding
    NOT_SEALED = "not_sealed"  # the log was cut or rebuilt, or its head is not kept where it should be
    FAILED_BESIDE = "failed_beside"  # something of somebody else's failed while a fault was in
    TEST = "test"


class Sight(Value):
    """One thing to look at."""

    name: str
    text: str


class Notice(Value):
    """One thing that a person should know.  Names, counts and digests only: no secret, no row of data."""

    kind: NoticeKind
    about: str = Field(description="Handle, run or process: about one of them the same is not told again at once.")
    sentence: str
    occurred_at: datetime
    run_id: str = ""
    experiment: str = ""
    owner: str = ""
    target: str = ""
    environment: str = ""
    look_at: tuple[Sight, ...] = ()
    command: str = Field("", description="What to type next.")

    @property
    def text(self) -> str:
        """All of it for people: the sentence, what to look at, the command."""
        return "\n".join((f"{self.kind.value}: {self.sentence}", *self.details))

    @property
    def details(self) -> tuple[str, ...]:
        """What to look at and the command, a line each, indented."""
        width = max((len(sight.name) for sight in self.look_at), default=0)
        lines = (f"  {sight.name:<{width}}  {sight.text}" for sight in self.look_at)
        return (*lines, *((f"  -> {self.command}",) if self.command else ()))
