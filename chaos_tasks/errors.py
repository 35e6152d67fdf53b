"""The exception tree.  Each message says what, on which object; ``remedy`` says what to do next.

SquallError
├── InvalidFile          a target, experiment or settings file is wrong; nothing was touched
├── UnknownKind          no fault or probe of that kind is registered
├── DuplicateKind        two distributions register the same kind
├── SetupError           a part of the installation or the environment is missing (server, port, package, disk)
├── GuardTripped         refused or stopped on purpose; not a bug
│   ├── NotPermitted     nobody who may has agreed to this plan, or not any more
│   └── TargetBusy       another run holds the target, or an unreverted handle blocks it
│       └── Queued       the same, and this run has its place in the line; ask again later
├── FaultError           carries ``handle_id``
│   ├── InjectError      stopped part-way; still revertible
│   └── RevertError      the prior state is not back; pages a person
├── Fenced               the lease was lost: this process must not act any more
│   └── LeaseRenewed     a sweep came too late: somebody works on the handle again
├── ProbeError           could not measure; never means deviated
├── SignatureInvalid     a key, a signature or signed bytes are not what they must be; nothing in them may be believed
├── WorkloadError        a trial could not be run at all (as opposed to: ran, and failed)
└── LedgerError          a record cannot be written or read, or does not agree with the log
    └── IdempotencyConflict   same key, other content
"""

from __future__ import annotations

import errno
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path


class SquallError(Exception):
    """What happened, on which object; ``remedy`` is the next thing to do."""

    def __init__(self, message: str, *, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message}\n  -> {self.remedy}" if self.remedy else self.message


@dataclass(frozen=True)
class Problem:
    """One thing wrong in a file: where (1-based line, dotted field), the cause and the remedy."""

    line: int
    field: str
    cause: str
    remedy: str = ""

    def __str__(self) -> str:
        where = f" {self.field}:" if self.field else ""
        tail = f"\n      -> {self.remedy}" if self.remedy else ""
        return f"line {self.line}:{where} {self.cause}{tail}"


class InvalidFile(SquallError):
    """A target, experiment or settings file is wrong; nothing was touched."""

    def __init__(self, path: Path | str, problems: tuple[Problem, ...]) -> None:
        self.path = str(path)
        self.problems = problems
        listing = "\n".join(f"  {self.path}:{problem}" for problem in problems)
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        super().__init__(f"{self.path}: {count}\n{listing}")


class UnknownKind(SquallError):
    """No fault or probe of that kind is registered."""


class DuplicateKind(SquallError):
    """Two distributions register the same kind."""


class SetupError(SquallError):
    """A part of the installation or the environment is missing: a server, a port, a package, disk space."""


_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def of_system(error: OSError) -> SetupError:
    """What the operating system refused, in our words: nothing of a full disk is a bug of Squall's."""
    at = f" at {error.filename}" if error.filename else ""
    if error.errno in _FULL:
        return SetupError(f"the disk is full{at} ({error.strerror})", remedy="free some space, then repeat the command")
    what = error.strerror or type(error).__name__
    return SetupError(f"the system refuses: {what}{at}", remedy="see to the path, its rights and its disk")


def own_words(error: BaseException) -> str:
    """What may go into a record: the words of our own errors; others may quote data, so only their names."""
    if isinstance(error, KeyboardInterrupt):
        return "stopped by a person"
    if isinstance(error, OSError):
        error = of_system(error)
    return error.message if isinstance(error, SquallError) else f"an error of Squall's own: {type(error).__name__}"


class GuardTripped(SquallError):
    """Refused or stopped on purpose; not a bug."""


class NotPermitted(GuardTripped):
    """Nobody who may has agreed to this plan, or not any more; nothing was touched."""


class TargetBusy(GuardTripped):
    """Another run holds the target, or an unreverted handle blocks it; ``passes`` unless only a person can end that."""

    def __init__(self, message: str, *, remedy: str = "", passes: bool = True) -> None:
        super().__init__(message, remedy=remedy)
        self.passes = passes


class Queued(TargetBusy):
    """Not its turn yet: this run has its place in the line, ``since`` when, and asks again."""

    def __init__(self, message: str, *, since: datetime, remedy: str = "") -> None:
        super().__init__(message, remedy=remedy)
        self.since = since


class InLine(SquallError):
    """No refusal: the run stands in line for its locks and has left its place to be kept; arm it again at its turn."""

    def __init__(self, message: str, *, run_id: str, since: datetime) -> None:
        super().__init__(message, remedy="keep its place, and arm it again at its turn")
        self.run_id = run_id
        self.since = since


class FaultError(SquallError):
    """A fault could not do its work on one handle."""

    def __init__(self, message: str, *, handle_id: str = "", remedy: str = "") -> None:
        super().__init__(message, remedy=remedy)
        self.handle_id = handle_id


class InjectError(FaultError):
    """Injection stopped part-way; the handle is still revertible."""


class RevertError(FaultError):
    """The prior state is not back; this pages a person."""


class Fenced(SquallError):
    """The lease was lost to a sweep or a newer epoch: this process must not act any more."""


class LeaseRenewed(Fenced):
    """A sweep came too late: somebody has renewed the lease since it looked, so nothing was taken over."""


class ProbeError(SquallError):
    """A probe could not measure; this never means that the system deviated."""


class SignatureInvalid(SquallError):
    """A key, a signature or signed bytes are not what they must be: nothing in them may be believed."""


class WorkloadError(SquallError):
    """A trial could not be run at all, as opposed to one that ran and failed."""


class LedgerError(SquallError):
    """A record cannot be written or read, or does not agree with the log."""


class IdempotencyConflict(LedgerError):
    """The same idempotency key was used with other content."""
