"""One run, read back from its ledger records: everything that is published or reported about it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from chaos_tasks.judging.facts import RunFacts, facts_of
from chaos_tasks.model.plan import Plan
from chaos_tasks.model.record import (
    Judged,
    Note,
    RecordKind,
    Registered,
    SearchEnded,
    SearchStarted,
    Stored,
    TrialEnd,
    is_refused,
)
from chaos_tasks.model.search import SearchKind
from chaos_tasks.model.trial import Arm, Observation, Trial
from chaos_tasks.model.verdict import Verdict

NOT_OF_A_RUN = frozenset(
    {
        RecordKind.CAMPAIGN_PLANNED,
        RecordKind.CAMPAIGN_ADJUSTED,
        RecordKind.CAMPAIGN_ENDED,
        RecordKind.REPORT_ISSUED,
    }
)


@dataclass(frozen=True)
class Dossier:
    """A run; ``plan`` is None for one that was refused before it was registered, ``verdict`` for one not judged yet."""

    run_id: str
    experiment: str
    records: tuple[Stored, ...]
    plan: Plan | None
    plan_sha256: str
    trials: tuple[Trial, ...]
    observations: tuple[Observation, ...]
    facts: RunFacts
    verdict: Verdict | None
    refused: str  # why, or empty
    campaign_id: str
    question: SearchStarted | None = None  # of a search: what it was to find
    search: SearchEnded | None = None  # and what it found

    @property
    def search_id(self) -> str:
        """The search that this run, or search, is a part of; empty for one of its own."""
        return self.plan.search_id if self.plan else self.question.part_of if self.question else ""

    @property
    def stands_alone(self) -> bool:
        """Whether it answers for its experiment: not a part of a search, nor a reduction or a repetition."""
        return not self.search_id and (self.question is None or self.question.search is SearchKind.RAMP)

    @property
    def started_at(self) -> datetime:
        """Time of the first record."""
        return self.records[0].record.occurred_at

    @property
    def seq_range(self) -> tuple[int, int]:
        """First and last sequence number in the log."""
        return self.records[0].seq, self.records[-1].seq

    @property
    def verdict_seq(self) -> int | None:
        """Of the verdict that stands: what comes after it (a publication, say) changes nothing of it."""
        return next((stored.seq for stored in self.records if isinstance(stored.record.payload, Judged)), None)

    @property
    def by_hand(self) -> tuple[float | None, float | None]:
        """Intensity and hold in seconds that a person asked for instead of what the experiment's file says."""
        return (self.plan.overrides.intensity, self.plan.overrides.hold_s) if self.plan is not None else (None, None)

    def arm(self, arm: Arm) -> list[Trial]:
        """Trials of one arm, by seed."""
        return sorted((trial for trial in self.trials if trial.arm is arm), key=lambda trial: trial.seed)


def read_dossier(records: Sequence[Stored]) -> Dossier | None:
    """The dossier of one run's records, in log order; None without records."""
    if not records:
        return None
    plan, plan_sha256, verdict, refused, campaign_id = None, "", None, "", ""
    ends: dict[str, TrialEnd] = {}
    question: SearchStarted | None = None
    search: SearchEnded | None = None
    for stored in records:
        payload = stored.record.payload
        if isinstance(payload, Registered):
            plan, plan_sha256, campaign_id = payload.plan, payload.plan_sha256, payload.plan.campaign_id
        elif isinstance(payload, SearchStarted):
            question, campaign_id = payload, payload.campaign_id
        elif isinstance(payload, SearchEnded):
            search = payload
        elif isinstance(payload, TrialEnd):
            ends[payload.trial.id] = payload
        elif isinstance(payload, Judged):
            verdict = verdict or payload.verdict  # the first one stands
        elif isinstance(payload, Note) and stored.record.kind is RecordKind.RUN_REFUSED:
            refused = payload.text
            campaign_id = campaign_id or str(payload.facts.get("campaign_id") or "")
    return Dossier(
        run_id=records[0].record.run_id,
        experiment=next((stored.record.experiment for stored in records if stored.record.experiment), ""),
        records=tuple(records),
        plan=plan,
        plan_sha256=plan_sha256,
        trials=tuple(end.trial for end in ends.values()),
        observations=tuple(observation for end in ends.values() for observation in end.observations),
        facts=facts_of(records),
        verdict=verdict,
        refused=refused if is_refused(stored.record.kind for stored in records) else "",
        campaign_id=campaign_id,
        question=question,
        search=search,
    )


def read_dossiers(records: Iterable[Stored]) -> list[Dossier]:
    """The dossiers of all runs in a stretch of the log, by their first record; records without a run are left out."""
    by_run: dict[str, list[Stored]] = {}
    for stored in records:
        if stored.record.run_id and stored.record.kind not in NOT_OF_A_RUN:
            by_run.setdefault(stored.record.run_id, []).append(stored)
    return [dossier for part in by_run.values() if (dossier := read_dossier(part)) is not None]
