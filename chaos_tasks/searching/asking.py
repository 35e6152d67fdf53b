"""Asks the engine one whole run: as the log has it, resumed where a killed process left it, or run now."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from chaos_tasks.engine import Engine, never
from chaos_tasks.errors import GuardTripped, RevertError
from chaos_tasks.model.handle import CLOSED_PHASES, Phase
from chaos_tasks.model.record import Note, RecordKind
from chaos_tasks.model.request import RunRequest
from chaos_tasks.model.search import Answer
from chaos_tasks.model.verdict import CheckResult, CheckState, Outcome, Reason, Verdict
from chaos_tasks.ports import LedgerReader
from chaos_tasks.runs import Run, RunWriter

LEFT = "search"
"""Who stopped a run, in its record, when the process that ran it had died and its fault was taken out meanwhile."""

ENDING = frozenset({Outcome.ABORTED, Outcome.UNREVERTED})
"""After one of these nothing more is asked."""

WANTING = frozenset({Reason.INTERVAL_TOO_WIDE, Reason.TOO_FEW_TRIALS})
"""Reasons for which more seeds may help."""


@dataclass(frozen=True)
class Asking:
    """Runs the parts of one search."""

    engine: Engine
    stop: Callable[[], bool] = never

    @property
    def ledger(self) -> LedgerReader:
        """Where the runs are recorded."""
        return self.engine.parts.ledger

    def ask(self, name: str, request: Callable[[str], RunRequest]) -> Verdict:
        """The verdict of the part called ``name``; ``request`` makes the request of a run id.

        A part whose process was killed goes on at its first unfinished trial while its fault is still in; otherwise it
        is closed and run anew, as ``name-2``.  Raises GuardTripped where it is refused.
        """
        if self.stop():
            raise GuardTripped(f"the search that {name} belongs to was stopped", remedy="start it again")
        tries = attempts(self.ledger, name)
        if tries and not judged(self.ledger, tries[-1]):
            if not self._taken_out(tries[-1]):
                return self.engine.run(request(tries[-1]), stop=self.stop)
            self.close(tries[-1])
        return self.engine.run(request(attempt_id(name, len(tries) + 1)), stop=self.stop)

    def close(self, run_id: str) -> Verdict:
        """Revert what a killed process left in, and judge what there is: it answers nothing."""
        plan = Run(self.ledger, run_id).plan()
        parts = self.engine.parts
        writer = RunWriter.of(plan, parts.ledger, parts.clock, parts.recorder)
        text = "the process that ran it ended before it was over"
        facts = {"by": LEFT, "reason": Reason.INTERNAL_ERROR.value}
        writer.note(RecordKind.STOP_TRIGGERED, text, key=LEFT, facts=dict(facts))
        with suppress(RevertError):  # recorded; the verdict says unreverted
            self.engine.revert(run_id)
        return self.engine.judge(run_id)

    def _taken_out(self, run_id: str) -> bool:
        """Whether a sweep, or the revert of the killed process itself, was here: then nothing can go on."""
        gone = (Phase.REVERTING, Phase.UNREVERTED, *CLOSED_PHASES)
        return any(state.phase in gone for state in Run(self.ledger, run_id).handles())


def attempt_id(name: str, number: int) -> str:
    """Run id of a part's n-th attempt."""
    return name if number == 1 else f"{name}-{number}"


def attempts(ledger: LedgerReader, name: str) -> list[str]:
    """Run ids of a part that were registered, in order."""
    found: list[str] = []
    while Run(ledger, run_id := attempt_id(name, len(found) + 1)).registered() is not None:
        found.append(run_id)
    return found


def judged(ledger: LedgerReader, run_id: str) -> bool:
    """Whether a run has its verdict."""
    return Run(ledger, run_id).verdict() is not None


def answered(ledger: LedgerReader, name: str) -> list[Verdict]:
    """Verdicts of a part's attempts; those of killed processes, which answer nothing, are left out."""
    found = []
    for run_id in attempts(ledger, name):
        run = Run(ledger, run_id)
        notes = [one for one in run.payloads(RecordKind.STOP_TRIGGERED) if isinstance(one, Note)]
        verdict = run.verdict()
        if verdict is not None and not any(note.facts.get("by") == LEFT for note in notes):
            found.append(verdict)
    return found


def answer_of(verdict: Verdict) -> Answer:
    """What a verdict says about what was asked."""
    if verdict.outcome is Outcome.DEVIATED:
        return Answer.DEVIATED
    if verdict.outcome is Outcome.HELD:
        blocked = any(check.reason is Reason.GATE_BLOCKED for check in verdict.checks)
        return Answer.REFUSED if blocked else Answer.HELD
    return Answer.UNDECIDED


def more_may_help(verdict: Verdict) -> bool:
    """Whether an undecided run lacked nothing but trials, and twice as many may be enough.

    Which runs are asked changes no error rate (every level has its share), only what the search costs.
    """
    if not verdict.reasons or not set(verdict.reasons) <= WANTING:
        return False
    return all(_promising(check) for check in verdict.checks if check.state is CheckState.UNKNOWN)


def _promising(check: CheckResult) -> bool:
    """Whether an interval narrower by the root of two would leave the margin out, as far as the estimate can tell."""
    if check.margin is None or check.estimate is None or check.low is None or check.high is None:
        return True
    reach = (check.high - check.low) / 2
    return not math.isfinite(reach) or abs(check.estimate - check.margin) * math.sqrt(2) > reach
