"""One night's experiments: planned, waited for and summarised as one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

from chaos_tasks.loading import LoadedExperiment, load_experiments
from chaos_tasks.model.base import Value
from chaos_tasks.model.plan import Overrides, Recorder
from chaos_tasks.model.record import Note, Record, RecordKind
from chaos_tasks.model.request import RunRequest
from chaos_tasks.ports import Clock, Ledger
from chaos_tasks.settings import Settings

DAG_PREFIX = "chaos_"
"""Before an experiment's name, the id of its DAG."""


class CampaignEntry(Value):
    """One experiment of a campaign."""

    experiment: str
    run_id: str


class CampaignPlan(Value):
    """What a campaign will run, and which files it could not read."""

    campaign_id: str
    entries: tuple[CampaignEntry, ...]
    broken: tuple[str, ...] = ()


@dataclass(frozen=True)
class Campaigns:
    """Plans campaigns; the running is Airflow's, or `squall night`'s."""

    settings: Settings
    ledger: Ledger
    clock: Clock
    recorder: Recorder

    def plan(self, night: date, *, campaign_id: str = "", requested_by: str = "schedule") -> CampaignPlan:
        """Choose the experiments of a night and record them; a second campaign of one date gets a number."""
        loaded = load_experiments(self.settings.experiments_dir)
        chosen = [one for one in loaded.experiments if one.experiment.nightly and one.experiment.schedule is None]
        name = campaign_id or self._free_id(night)
        entries = tuple(
            CampaignEntry(experiment=one.experiment.name, run_id=run_id(name, one.experiment.name))
            for one in longest_first(chosen)
        )
        plan = CampaignPlan(campaign_id=name, entries=entries, broken=tuple(error.path for error in loaded.errors))
        self._record(plan, requested_by)
        return plan

    def requests(self, plan: CampaignPlan, *, requested_by: str = "schedule") -> Iterable[RunRequest]:
        """What to ask the engine for, in order."""
        loaded = load_experiments(self.settings.experiments_dir)
        for entry in plan.entries:
            found = loaded.named(entry.experiment)
            if found is not None:
                yield request_of(found, entry.run_id, campaign_id=plan.campaign_id, requested_by=requested_by)

    def end(self, campaign_id: str, text: str) -> None:
        """Record that a campaign is over."""
        self._append(RecordKind.CAMPAIGN_ENDED, campaign_id, Note(text=text))

    def _free_id(self, night: date) -> str:
        taken = {stored.record.run_id for stored in self.ledger.records(kinds=(RecordKind.CAMPAIGN_PLANNED,))}
        base = f"night-{night.isoformat()}"
        names = [base, *(f"{base}-{number}" for number in range(2, len(taken) + 2))]
        return next(name for name in names if name not in taken)

    def _record(self, plan: CampaignPlan, requested_by: str) -> None:
        facts = {
            "experiments": [entry.experiment for entry in plan.entries],
            "runs": [entry.run_id for entry in plan.entries],
            "broken": list(plan.broken),
            "requested_by": requested_by,
            "lanes": self.settings.lanes,
        }
        text = f"{len(plan.entries)} experiments planned"
        self._append(RecordKind.CAMPAIGN_PLANNED, plan.campaign_id, Note(text=text, facts=facts))

    def _append(self, kind: RecordKind, campaign_id: str, note: Note) -> None:
        self.ledger.append(
            Record(
                kind=kind,
                idem_key=f"{campaign_id}/{kind.value}",
                occurred_at=self.clock.now(),
                run_id=campaign_id,
                recorder=self.recorder,
                payload=note,
            )
        )


def run_id(campaign_id: str, experiment: str) -> str:
    """Id of an experiment's run within a campaign."""
    return f"{campaign_id}.{experiment}"


def request_of(
    loaded: LoadedExperiment,
    run_id: str,
    *,
    campaign_id: str = "",
    overrides: Overrides | None = None,
    requested_by: str = "schedule",
) -> RunRequest:
    """A request for one loaded experiment."""
    return RunRequest(
        run_id=run_id,
        campaign_id=campaign_id,
        experiment=loaded.experiment,
        experiment_file_sha256=loaded.sha256,
        overrides=overrides or Overrides(),
        requested_by=requested_by,
    )


def longest_first(loaded: Iterable[LoadedExperiment]) -> list[LoadedExperiment]:
    """Experiments by how much they run, so that a night does not end on its longest one with idle lanes."""

    def weight(one: LoadedExperiment) -> tuple[int, str]:
        analysis = one.experiment.analysis
        return (-(2 * analysis.seeds + analysis.recovery_trials), one.experiment.name)

    return sorted(loaded, key=weight)
