"""The records of one search: its question before the first run, its answer after the last."""

from __future__ import annotations

from dataclasses import dataclass

from chaos_tasks.engine import Engine
from chaos_tasks.errors import LedgerError, SquallError
from chaos_tasks.model.record import Judged, RecordKind, SearchEnded, SearchStarted
from chaos_tasks.model.request import RunRequest
from chaos_tasks.model.verdict import Verdict
from chaos_tasks.notifying.notices import of_search
from chaos_tasks.ports import LedgerReader
from chaos_tasks.runs import Run, RunWriter


@dataclass(frozen=True)
class SearchLog:
    """Reads and writes one search; what is written once is read back instead of being written again."""

    engine: Engine
    search_id: str

    def start(self, started: SearchStarted) -> SearchStarted:
        """Record what will be asked."""
        self._writer(started.experiment.name).write(RecordKind.SEARCH_STARTED, started)
        return started

    def end(self, ended: SearchEnded) -> SearchEnded:
        """Record what was found; the first answer stands."""
        known = ended_of(self.engine.parts.ledger, self.search_id)
        if known is None:
            self._writer(ended.experiment).write(RecordKind.SEARCH_ENDED, ended)
        return known or ended

    def judge(self, verdict: Verdict) -> Verdict:
        """Record the verdict that a search amounts to, and tell people of it."""
        judged = Judged(verdict=verdict)
        self._writer(verdict.experiment).write(RecordKind.EVALUATE_VERDICT, judged, outcome=verdict.outcome)
        notifier = self.engine.parts.notifier
        if notifier is not None and verdict.needs_action:
            notifier.tell(of_search(verdict, at=self.engine.parts.clock.now()))
        return verdict

    def refuse(self, request: RunRequest, error: SquallError) -> None:
        """Record why nothing was asked at all."""
        name = request.experiment.name
        facts = {"experiment": name, "campaign_id": request.campaign_id, "remedy": error.remedy}
        key = str(len(Run(self.engine.parts.ledger, self.search_id).stored(RecordKind.RUN_REFUSED)))
        self._writer(name).note(RecordKind.RUN_REFUSED, error.message, key=key, facts=dict(facts))

    def _writer(self, experiment: str) -> RunWriter:
        parts = self.engine.parts
        return RunWriter(parts.ledger, parts.clock, parts.recorder, self.search_id, experiment)


def started_of(ledger: LedgerReader, search_id: str) -> SearchStarted | None:
    """What a search was to ask, or None."""
    found = Run(ledger, search_id).payloads(RecordKind.SEARCH_STARTED)
    return next((one for one in found if isinstance(one, SearchStarted)), None)


def ended_of(ledger: LedgerReader, search_id: str) -> SearchEnded | None:
    """What a search found, or None."""
    found = Run(ledger, search_id).payloads(RecordKind.SEARCH_ENDED)
    return next((one for one in found if isinstance(one, SearchEnded)), None)


def require_ended(ledger: LedgerReader, search_id: str) -> SearchEnded:
    """What a search found; raises LedgerError where there is none."""
    ended = ended_of(ledger, search_id)
    if ended is None:
        raise LedgerError(f"no search {search_id} has ended", remedy="`squall report` lists the runs of the last night")
    return ended
