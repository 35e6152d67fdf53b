"""One night's experiments: planned, waited for and summarised as one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import date

from chaos_tasks.errors import IdempotencyConflict, LedgerError
from chaos_tasks.judging.adjustment import adjust
from chaos_tasks.judging.dossier import Dossier, read_dossier
from chaos_tasks.loading import LoadedExperiment, load_experiments
from chaos_tasks.model.adjustment import Adjusted, Memory
from chaos_tasks.model.base import Value
from chaos_tasks.model.plan import Overrides, Recorder
from chaos_tasks.model.record import Note, Payload, Record, RecordKind, Stored
from chaos_tasks.model.request import RunRequest
from chaos_tasks.ports import Clock, Ledger
from chaos_tasks.settings import Settings

DAG_PREFIX = "chaos_"
"""Before an experiment's name, the id of its DAG."""

RACES = 5
"""How often another campaign may take the next place in the order of adjustments before we give up."""


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
        self._record(plan, {one.experiment.name: one for one in chosen}, requested_by)
        return plan

    def requests(self, plan: CampaignPlan, *, requested_by: str = "schedule") -> Iterable[RunRequest]:
        """What to ask the engine for, in order."""
        loaded = load_experiments(self.settings.experiments_dir)
        for entry in plan.entries:
            found = loaded.named(entry.experiment)
            if found is not None:
                yield request_of(found, entry.run_id, campaign_id=plan.campaign_id, requested_by=requested_by)

    def is_over(self, campaign_id: str) -> bool:
        """Whether every planned run has its verdict, was refused, or was a search that ended."""
        return all(one is not None and _is_over(one) for one in self._dossiers(campaign_id))

    def adjust(self, campaign_id: str) -> Adjusted:
        """Judge the answers of a campaign among all its questions, and record that; once, and it rewrites nothing.

        Adjustments form a chain: each goes on from the memory of the one before it in the log.  Raises LedgerError
        when other campaigns take the next place again and again.
        """
        for _ in range(RACES):
            known = self._adjustments()
            done = [payload for stored, payload in known if stored.record.run_id == campaign_id]
            if done:
                return done[0]
            previous, memory = (known[-1][0], known[-1][1].after) if known else (None, Memory())
            night = [one for one in self._dossiers(campaign_id) if one is not None]
            adjusted = adjust(night, memory, alpha=self.settings.campaign_alpha, previous=previous)
            key = f"{RecordKind.CAMPAIGN_ADJUSTED.value}/{adjusted.after.procedure.nights}"
            with suppress(IdempotencyConflict):
                self._append(RecordKind.CAMPAIGN_ADJUSTED, campaign_id, adjusted, key=key)
                return adjusted
        raise LedgerError(
            f"campaign {campaign_id} could not be adjusted: others were always faster",
            remedy=f"run `squall report {campaign_id}` again",
        )

    def end(self, campaign_id: str, text: str) -> None:
        """Record that a campaign is over."""
        self._append(RecordKind.CAMPAIGN_ENDED, campaign_id, Note(text=text))

    def _adjustments(self) -> list[tuple[Stored, Adjusted]]:
        found = self.ledger.records(kinds=(RecordKind.CAMPAIGN_ADJUSTED,))
        return [(one, one.record.payload) for one in found if isinstance(one.record.payload, Adjusted)]

    def _dossiers(self, campaign_id: str) -> list[Dossier | None]:
        """Of each planned run, None for one that never began."""
        planned = self.ledger.records(run_id=campaign_id, kinds=(RecordKind.CAMPAIGN_PLANNED,))
        notes = [stored.record.payload for stored in planned if isinstance(stored.record.payload, Note)]
        runs = [str(run) for note in notes for run in _listed(note.facts.get("runs"))]
        return [read_dossier(list(self.ledger.records(run_id=run))) for run in dict.fromkeys(runs)]

    def _free_id(self, night: date) -> str:
        taken = {stored.record.run_id for stored in self.ledger.records(kinds=(RecordKind.CAMPAIGN_PLANNED,))}
        base = f"night-{night.isoformat()}"
        names = [base, *(f"{base}-{number}" for number in range(2, len(taken) + 2))]
        return next(name for name in names if name not in taken)

    def _record(self, plan: CampaignPlan, chosen: Mapping[str, LoadedExperiment], requested_by: str) -> None:
        planned = [chosen[entry.experiment].experiment for entry in plan.entries]
        facts = {
            "experiments": [entry.experiment for entry in plan.entries],
            "runs": [entry.run_id for entry in plan.entries],
            # What a run was to test: one that leaves no other record still counts as not held.  A ramp asks for a
            # breaking point, not whether the target holds.
            "targets": [one.target for one in planned],
            "faults": [[] if one.ramp else sorted({step.fault for step in one.method}) for one in planned],
            "broken": list(plan.broken),
            "requested_by": requested_by,
            "lanes": self.settings.lanes,
        }
        text = f"{len(plan.entries)} experiments planned"
        self._append(RecordKind.CAMPAIGN_PLANNED, plan.campaign_id, Note(text=text, facts=facts))

    def _append(self, kind: RecordKind, campaign_id: str, payload: Payload, *, key: str = "") -> None:
        self.ledger.append(
            Record(
                kind=kind,
                idem_key=key or f"{campaign_id}/{kind.value}",
                occurred_at=self.clock.now(),
                run_id=campaign_id,
                recorder=self.recorder,
                payload=payload,
            )
        )


def _is_over(dossier: Dossier) -> bool:
    ended = any(stored.record.kind is RecordKind.SEARCH_ENDED for stored in dossier.records)
    return ended or dossier.verdict is not None or bool(dossier.refused)


def _listed(value: object) -> list[object]:
    return list(value) if isinstance(value, list) else []


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
        analysis, ramp = one.experiment.analysis, one.experiment.ramp
        runs = ramp.runs if ramp else 1
        return (-runs * (2 * analysis.seeds + analysis.recovery_trials), one.experiment.name)

    return sorted(loaded, key=weight)
