"""Exit codes of `squall run`, and of every other command as far as they apply."""

from __future__ import annotations

from enum import IntEnum

from chaos_tasks.model.verdict import Outcome, Verdict


class ExitCode(IntEnum):
    """What a shell or a CI job can tell apart."""

    HELD = 0
    DEVIATED = 1
    INVALID = 2
    INCONCLUSIVE = 3
    ABORTED = 4
    UNREVERTED = 5


_CODES = {
    Outcome.HELD: ExitCode.HELD,
    Outcome.DEVIATED: ExitCode.DEVIATED,
    Outcome.INCONCLUSIVE: ExitCode.INCONCLUSIVE,
    Outcome.ABORTED: ExitCode.ABORTED,
    Outcome.UNREVERTED: ExitCode.UNREVERTED,
}


def exit_code(verdict: Verdict) -> ExitCode:
    """The code of a verdict; a known finding that has not expired counts as held."""
    if verdict.known_finding is not None and verdict.outcome is Outcome.DEVIATED:
        return ExitCode.HELD
    return _CODES[verdict.outcome]
