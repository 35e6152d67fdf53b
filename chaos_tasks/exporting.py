"""Writes reports to folders: of a night, of one run; each from ledger records alone."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from chaos_tasks import registry
from chaos_tasks.campaign import Campaigns
from chaos_tasks.catalogue import applicable_kinds
from chaos_tasks.errors import LedgerError, SquallError
from chaos_tasks.judging.dossier import Dossier, read_dossier, read_dossiers
from chaos_tasks.judging.history import SCORED_BY, scores_of
from chaos_tasks.judging.score import Score
from chaos_tasks.model.base import Value
from chaos_tasks.model.record import RecordKind, Stored
from chaos_tasks.model.target import Target
from chaos_tasks.ports import Clock
from chaos_tasks.reports.html import render_html
from chaos_tasks.reports.markdown import render_markdown
from chaos_tasks.reports.night import NightReport, Period, build_report
from chaos_tasks.reports.screen import first_screen
from chaos_tasks.tracking.night import night_numbers

log = logging.getLogger(__name__)

LOOK_BACK = timedelta(days=30)
"""How far back a report reads for ages and changes."""


SCORE_BACK = timedelta(days=180)
"""How far back scores read: what is older weighs less than a ten-millionth."""


class Exported(Value):
    """Where a report is, and what its first screen says."""

    folder: Path
    html: Path
    screen: str
    report: NightReport


@dataclass(frozen=True)
class Exports:
    """Reads the ledger and writes report folders below Squall's home."""

    campaigns: Campaigns
    clock: Clock
    end_night: Callable[[str, datetime, Mapping[str, float]], str] | None = None  # shows a night's numbers somewhere

    def night(self, campaign_id: str, *, over: bool = False) -> Exported:
        """Report of a campaign; raises LedgerError for an unknown one.

        Once it is over, its answers are judged among all its questions, and its end is recorded: when the caller says
        so, or every planned run has its verdict.
        """
        ledger = self.campaigns.ledger
        planned = list(ledger.records(run_id=campaign_id, kinds=(RecordKind.CAMPAIGN_PLANNED,)))
        if not planned:
            raise LedgerError(f"no campaign {campaign_id} in the ledger", remedy="`squall report` shows the last night")
        over = over or self.campaigns.is_over(campaign_id)
        if over:
            self.campaigns.adjust(campaign_id)
        until = self.clock.now()
        period = Period(title=campaign_id, since=planned[0].record.occurred_at, until=until, campaign_id=campaign_id)
        exported = self._write(period, campaign_id)
        if over and not list(ledger.records(run_id=campaign_id, kinds=(RecordKind.CAMPAIGN_ENDED,))):
            self.campaigns.end(campaign_id, exported.screen.splitlines()[0])
            self._show_numbers(campaign_id, exported.report)
        return exported

    def _show_numbers(self, campaign_id: str, report: NightReport) -> None:
        """A view, never the evidence: where it cannot be written, the night stands all the same."""
        if self.end_night is None:
            return
        try:
            self.end_night(campaign_id, report.until, night_numbers(report))
        except SquallError as error:
            log.warning("the numbers of %s are not in MLflow: %s", campaign_id, error.message)

    def last_night(self) -> Exported:
        """Report of the latest campaign; raises LedgerError when there was none."""
        planned = list(self.campaigns.ledger.records(kinds=(RecordKind.CAMPAIGN_PLANNED,)))
        if not planned:
            raise LedgerError("no night has been run yet", remedy="run one with `squall night`")
        return self.night(planned[-1].record.run_id)

    def run(self, run_id: str) -> Exported:
        """Report of one run, or of an experiment's last one; raises LedgerError for an unknown name."""
        ledger = self.campaigns.ledger
        begun = (RecordKind.EXPERIMENT_REGISTERED, RecordKind.SEARCH_STARTED)
        last = [one.record.run_id for one in ledger.records(experiment=run_id, kinds=begun) if _stands_alone(one)]
        run_id = last[-1] if last else run_id
        records = list(ledger.records(run_id=run_id))
        if any(one.record.kind is RecordKind.SEARCH_STARTED for one in records):  # with its runs
            since, parts = records[0].record.occurred_at, f"{run_id}."
            later = ledger.records(since=since)
            records = [one for one in later if one.record.run_id == run_id or one.record.run_id.startswith(parts)]
        if not records:
            raise LedgerError(
                f"no run {run_id} in the ledger", remedy="`squall report` lists the runs of the last night"
            )
        dossiers = read_dossiers(records)
        period = Period(title=run_id, since=records[0].record.occurred_at, until=self.clock.now())
        return self._render([*self._before(records, dossiers), *records], dossiers, period, run_id)

    def _before(self, records: Sequence[Stored], dossiers: Sequence[Dossier]) -> list[Stored]:
        """Earlier runs of the same experiments: without them nothing would ever be said to have changed.

        Whole, though a run that waits in line is registered before the one that it waits for is judged.
        """
        first, own = records[0], {one.record.run_id for one in records}
        since = first.record.occurred_at - LOOK_BACK
        names = sorted({dossier.experiment for dossier in dossiers})
        found = [one for name in names for one in self.campaigns.ledger.records(experiment=name, since=since)]
        earlier = {one.record.run_id for one in found if one.seq < first.seq} - own
        return [one for one in found if one.record.run_id in earlier]

    def scores(self, now: datetime | None = None) -> tuple[Score, ...]:
        """How resilient each target is shown to be, the lowest first; by default as of this moment."""
        at = now or self.clock.now()
        log = list(self.campaigns.ledger.records(kinds=SCORED_BY, since=at - SCORE_BACK))
        return scores_of(log, self._applicable, at)

    def _applicable(self, target: Target) -> tuple[str, ...]:
        """Irreversible faults count where the inventory says that the target may be thrown away."""
        entry = self.campaigns.settings.targets.get(target.name)
        return applicable_kinds(target, disposable=entry is None or entry.disposable)

    def _write(self, period: Period, name: str) -> Exported:
        ledger = self.campaigns.ledger
        records = list(ledger.records(since=period.since - LOOK_BACK, until=period.until))
        if period.campaign_id:  # written at this very moment, which `until` leaves out
            known = {stored.seq for stored in records}
            adjusted = ledger.records(run_id=period.campaign_id, kinds=(RecordKind.CAMPAIGN_ADJUSTED,))
            records += [stored for stored in adjusted if stored.seq not in known]
        dossiers = [one for one in read_dossiers(records) if period.covers(one)]
        return self._render(records, dossiers, period, name, scores=self.scores(period.until))

    def _render(
        self,
        records: list[Stored],
        dossiers: Sequence[Dossier],
        period: Period,
        name: str,
        scores: Sequence[Score] = (),
    ) -> Exported:
        report = build_report(records, period, registered=registry.fault_kinds(), scores=scores)
        folder = self.campaigns.settings.home / "reports" / name
        folder.mkdir(parents=True, exist_ok=True)
        _write_json(folder / "report.json", report)
        (folder / "report.md").write_text(render_markdown(report), encoding="utf-8")
        html = folder / "report.html"
        html.write_text(render_html(report, dossiers), encoding="utf-8")
        return Exported(folder=folder, html=html, screen=first_screen(report), report=report)


def _stands_alone(stored: Stored) -> bool:
    """Whether a run or a search that begins here answers for its experiment."""
    dossier = read_dossier([stored])
    return dossier is not None and dossier.stands_alone


def _write_json(path: Path, report: NightReport) -> None:
    text = json.dumps(report.model_dump(mode="json"), indent=2, sort_keys=True)
    path.write_text(text + "\n", encoding="utf-8")
