"""The start of a campaign: a sweeper watches, what earlier ones left is put back and on record, then it is planned."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from pydantic import JsonValue

from chaos_tasks.campaign import CampaignPlan, Campaigns
from chaos_tasks.model.record import Note, Record, RecordKind
from chaos_tasks.safety import guards
from chaos_tasks.sweeping import Sweeper, Swept

BOOT = "boot sweep"


@dataclass(frozen=True)
class Beginning:
    """Begins campaigns; every entry that starts one comes here."""

    campaigns: Campaigns
    sweeper: Sweeper

    def begin(self, night: date, *, requested_by: str = "schedule") -> CampaignPlan:
        """Sweep, plan, and record both.  Raises GuardTripped, nothing planned, where no sweeper watches.

        What cannot be put back keeps its own target blocked, and no other; the record names it.
        """
        settings, ledger = self.campaigns.settings, self.campaigns.ledger
        if settings.require_sweeper:
            guards.check_sweeper(settings.sweeper_max_age_s, ledger)
        swept = self.sweeper.sweep(by=BOOT)
        plan = self.campaigns.plan(night, requested_by=requested_by)
        ledger.append(self._record(plan.campaign_id, swept))
        return plan

    def _record(self, campaign_id: str, swept: tuple[Swept, ...]) -> Record:
        left: list[JsonValue] = [one.handle_id for one in swept if not one.reverted]
        back: list[JsonValue] = [one.handle_id for one in swept if one.reverted]
        text = f"{len(back)} faults of earlier runs put back, {len(left)} not" if swept else "nothing was left in"
        return Record(
            kind=RecordKind.CAMPAIGN_SWEPT,
            idem_key=f"{campaign_id}/{RecordKind.CAMPAIGN_SWEPT.value}",
            occurred_at=self.campaigns.clock.now(),
            run_id=campaign_id,
            recorder=self.campaigns.recorder,
            payload=Note(text=text, facts={"reverted": back, "not_reverted": left}),
        )
