"""One night (or any period) as values, from ledger records only: what every rendering shows, in its order.

Order of DESIGN section 11: act on, changed, not known, cost.  Same records and same `now`, same report.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum

from pydantic import Field

from chaos_tasks.judging.dossier import Dossier, read_dossiers
from chaos_tasks.judging.score import Score
from chaos_tasks.judging.wording import number
from chaos_tasks.model.adjustment import Standing
from chaos_tasks.model.base import Value
from chaos_tasks.model.record import Note, RecordKind, Stored
from chaos_tasks.model.trial import Trial
from chaos_tasks.model.verdict import CheckResult, CheckState, Outcome, Response, Verdict
from chaos_tasks.reports.standing import AmongMany, adjustments, among_many, words
from chaos_tasks.searching.levels import intensity_name
from chaos_tasks.searching.words import breaks

STALE_AFTER = timedelta(days=7)


class Urgency(StrEnum):
    """Why a row is on the page, the most urgent first."""

    UNREVERTED = "unreverted"
    SILENT = "silent"
    NEWLY_DEVIATED = "newly deviated"
    DEVIATED = "still deviated"
    ABORTED = "aborted"
    INCONCLUSIVE = "inconclusive"
    SKIPPED = "skipped"
    UNJUDGED = "no verdict"
    STALE = "stale"
    KNOWN = "known finding"


TO_ACT_ON = (Urgency.UNREVERTED, Urgency.SILENT, Urgency.NEWLY_DEVIATED, Urgency.DEVIATED)
NOT_KNOWN = (Urgency.ABORTED, Urgency.INCONCLUSIVE, Urgency.SKIPPED, Urgency.UNJUDGED, Urgency.STALE)


class Row(Value):
    """One experiment that needs a reader: whose, since when, how much, and what to type next."""

    urgency: Urgency
    experiment: str
    run_id: str
    owner: str
    since: datetime = Field(description="First run of the unbroken row of runs that came out like this one.")
    effect: str = Field(description="Effect with interval against its margin, or the reason.")
    sentence: str
    next_command: str
    standing: Standing | None = Field(None, description="What is left of it among all questions of its night.")
    among_many: str = Field("", description="The same in words; empty where there is nothing to add.")


class Change(Value):
    """An experiment that came out otherwise than the time before."""

    experiment: str
    owner: str
    before: str
    after: str
    run_id: str
    next_command: str


class Coverage(Value):
    """Kinds of fault that took effect in the period, against those that are registered."""

    exercised: tuple[str, ...]
    not_exercised: tuple[str, ...]

    @property
    def registered(self) -> int:
        """All kinds."""
        return len(self.exercised) + len(self.not_exercised)


class Cost(Value):
    """What the period took."""

    experiments: int
    trials: int
    reused_trials: int
    trial_seconds: float
    lanes: int = Field(description="Most trials that ran at the same moment.")
    wall_seconds: float


class NightReport(Value):
    """Everything on the first screen."""

    schema_version: int = 1
    title: str
    since: datetime
    until: datetime
    held: int
    known: int
    act_on: tuple[Row, ...]
    changed: tuple[Change, ...]
    not_known: tuple[Row, ...]
    coverage: Coverage
    cost: Cost
    verdicts: tuple[Verdict, ...]
    among_many: AmongMany | None = Field(None, description="Of a night whose answers were judged among all questions.")
    scores: tuple[Score, ...] = Field((), description="Of each target, the lowest first.")
    first_seq: int
    last_seq: int


class Period(Value):
    """Which runs a report is about: those of a campaign, or those that began within [since, until)."""

    title: str
    until: datetime
    since: datetime
    campaign_id: str = ""

    def covers(self, dossier: Dossier) -> bool:
        """Whether the run belongs to the period."""
        if self.campaign_id:
            return dossier.campaign_id == self.campaign_id
        return self.since <= dossier.started_at < self.until


def build_report(
    records: Iterable[Stored],
    period: Period,
    *,
    registered: Sequence[str],
    scores: Sequence[Score] = (),
) -> NightReport:
    """The report.  ``records`` should reach back a while before the period, for ages and changes.

    ``registered`` are the kinds of fault that exist (``registry.fault_kinds()``), ``scores`` those of the targets at
    the end of the period.
    """
    log = list(records)
    dossiers = sorted(read_dossiers(log), key=lambda dossier: dossier.seq_range)
    ours = [dossier for dossier in dossiers if period.covers(dossier)]
    history = _by_experiment(_standing_alone(dossiers), period)
    latest = _latest(_standing_alone(ours))
    rows = [row for dossier in latest if (row := _row(dossier, history[dossier.experiment])) is not None]
    rows += _never_started(log, period, {dossier.run_id for dossier in dossiers}, history)
    rows += _stale(history, {dossier.experiment for dossier in ours} | {row.experiment for row in rows}, period)
    adjusted = adjustments(log)
    rows = [_among_many(row, words(adjusted)) for row in rows]
    rows.sort(key=_order)
    verdicts = [dossier.verdict for dossier in latest if dossier.verdict is not None]
    return NightReport(
        title=period.title,
        since=min((dossier.started_at for dossier in ours), default=period.since),
        until=period.until,
        held=sum(verdict.outcome is Outcome.HELD for verdict in verdicts),
        known=sum(row.urgency is Urgency.KNOWN for row in rows),
        act_on=tuple(row for row in rows if row.urgency in TO_ACT_ON),
        changed=_changes(latest, history),
        not_known=tuple(row for row in rows if row.urgency in NOT_KNOWN),
        coverage=_coverage(ours, registered),
        cost=_cost(ours),
        verdicts=tuple(verdicts),
        among_many=among_many(adjusted[period.campaign_id]) if period.campaign_id in adjusted else None,
        scores=tuple(scores),
        first_seq=min((dossier.seq_range[0] for dossier in ours), default=0),
        last_seq=max((dossier.seq_range[1] for dossier in ours), default=0),
    )


def _order(row: Row) -> tuple[int, bool, datetime, str]:
    """The most urgent first, what is sure alone after what stands, then the oldest."""
    return list(Urgency).index(row.urgency), row.standing is Standing.ALONE, row.since, row.experiment


def _among_many(row: Row, said: Mapping[str, tuple[Standing, str]]) -> Row:
    standing, text = said.get(row.run_id, (None, ""))
    return row.model_copy(update={"standing": standing, "among_many": text})


def _standing_alone(dossiers: Sequence[Dossier]) -> Sequence[Dossier]:
    """Runs and ramps that answer for their experiment; where there are only parts of a search, these."""
    return [dossier for dossier in dossiers if dossier.stands_alone] or dossiers


def _by_experiment(dossiers: Sequence[Dossier], period: Period) -> dict[str, list[Dossier]]:
    """Runs of each experiment that began before the end of the period, oldest first."""
    found: dict[str, list[Dossier]] = {}
    for dossier in dossiers:
        if period.covers(dossier) or dossier.started_at < period.until:
            found.setdefault(dossier.experiment, []).append(dossier)
    return found


def _latest(ours: Sequence[Dossier]) -> list[Dossier]:
    """The last run of each experiment; a refused re-run does not hide a verdict."""
    found: dict[str, Dossier] = {}
    for dossier in ours:
        if dossier.verdict is not None or dossier.experiment not in found:
            found[dossier.experiment] = dossier
    return list(found.values())


def _row(dossier: Dossier, history: Sequence[Dossier]) -> Row | None:
    """The run's row, or None where it held."""
    urgency = _urgency(dossier, _previous(dossier, history))
    if urgency is None:
        return None
    verdict = dossier.verdict
    return Row(
        urgency=urgency,
        experiment=dossier.experiment,
        run_id=dossier.run_id,
        owner=owner_of(dossier, history),
        since=_since(dossier, history),
        effect=_row_effect(dossier, verdict) if verdict else dossier.refused or "the run ended without one",
        sentence=verdict.sentence if verdict else dossier.refused,
        next_command=_next_command(urgency, dossier),
    )


def _urgency(dossier: Dossier, previous: Dossier | None) -> Urgency | None:
    verdict = dossier.verdict
    if verdict is None:
        return Urgency.SKIPPED if dossier.refused else Urgency.UNJUDGED
    if verdict.outcome is Outcome.UNREVERTED:
        return Urgency.UNREVERTED
    if verdict.outcome is Outcome.DEVIATED:
        if verdict.known_finding is not None:
            return Urgency.KNOWN
        if verdict.response is Response.SILENT:
            return Urgency.SILENT
        return Urgency.DEVIATED if _state(previous) == Outcome.DEVIATED.value else Urgency.NEWLY_DEVIATED
    return {Outcome.ABORTED: Urgency.ABORTED, Outcome.INCONCLUSIVE: Urgency.INCONCLUSIVE}.get(verdict.outcome)


def _next_command(urgency: Urgency, dossier: Dossier) -> str:
    if urgency is Urgency.UNREVERTED:
        opened = still_open(dossier)
        return f"squall revert {opened[0]}" if opened else f"squall report {dossier.experiment}"
    if urgency in (Urgency.SKIPPED, Urgency.STALE, Urgency.ABORTED, Urgency.UNJUDGED):
        return f"squall run {dossier.experiment}"
    return f"squall report {dossier.experiment}"


def still_open(dossier: Dossier) -> list[str]:
    """Handles that the log does not show as reverted; a sweep may have reverted them after the verdict.

    Of a ramp, the runs that could not be.
    """
    if dossier.search is not None:
        return [run.run_id for run in dossier.search.runs if run.outcome is Outcome.UNREVERTED]
    return [item.handle_id for item in dossier.facts.injections if item.reverted_at is None]


def _row_effect(dossier: Dossier, verdict: Verdict) -> str:
    if verdict.outcome is Outcome.UNREVERTED:
        opened = still_open(dossier)
        return f"still in: {', '.join(opened)}" if opened else "reverted since the verdict; look why it was late"
    found = breaking_point_of(dossier)
    return f"{found}; {effect_of(verdict)}" if found and verdict.checks else found or effect_of(verdict)


def breaking_point_of(dossier: Dossier) -> str:
    """Of a ramp: 'breaks between fraction 0.05 and 0.1'; empty for anything else."""
    if dossier.question is None or dossier.search is None or dossier.search.breaking_point is None:
        return ""
    said = breaks(dossier.search.breaking_point, intensity_name(dossier.question.experiment), dossier.search.levels[-1])
    return said[0].lower() + said[1:]


def _state(dossier: Dossier | None) -> str:
    """One word for how a run came out."""
    if dossier is None:
        return "never run"
    if dossier.verdict is None:
        return Urgency.SKIPPED.value if dossier.refused else Urgency.UNJUDGED.value
    return dossier.verdict.outcome.value


def _previous(dossier: Dossier, history: Sequence[Dossier]) -> Dossier | None:
    """The last judged run before this one and before its campaign."""
    earlier = [one for one in _earlier(dossier, history) if one.verdict is not None]
    if dossier.campaign_id:
        earlier = [one for one in earlier if one.campaign_id != dossier.campaign_id]
    return earlier[-1] if earlier else None


def _earlier(dossier: Dossier, history: Sequence[Dossier]) -> list[Dossier]:
    """Runs before it that asked the same: one at another intensity or hold says nothing about a change."""
    return [one for one in history if one.seq_range < dossier.seq_range and one.by_hand == dossier.by_hand]


def _since(dossier: Dossier, history: Sequence[Dossier]) -> datetime:
    since = dossier.started_at
    for earlier in reversed(_earlier(dossier, history)):
        if _state(earlier) != _state(dossier):
            break
        since = earlier.started_at
    return since


def owner_of(dossier: Dossier, history: Sequence[Dossier] = ()) -> str:
    """Whose experiment it is; a refused run has no plan, so an earlier run is asked."""
    for one in (dossier, *reversed(history)):
        if one.plan is not None:
            return one.plan.experiment.owner
        if one.question is not None:
            return one.question.experiment.owner
    return "unknown"


def effect_of(verdict: Verdict) -> str:
    """'auc worse by 0.031 [0.024, 0.038], margin 0.010'; the interval is that of the worsening."""
    wanted = CheckState.FAILED if verdict.outcome is Outcome.DEVIATED else CheckState.UNKNOWN
    checks = [check for check in verdict.checks if check.state is wanted]
    measured = [check for check in checks if check.margin is not None and check.estimate is not None]
    if measured:
        return effect_of_check(measured[0])
    if verdict.outcome is Outcome.DEVIATED and checks:
        return effect_of_check(checks[0])
    return ", ".join(reason.value.replace("_", " ") for reason in verdict.reasons) or verdict.sentence


def effect_of_check(check: CheckResult) -> str:
    """One check's effect with interval against its margin."""
    if check.estimate is None or check.low is None or check.high is None:
        return f"{check.check}: {check.reason.value.replace('_', ' ')}"
    if check.margin is None:
        ok = round(check.estimate * check.n_treatment)
        return f"{check.check}: {ok} of {check.n_treatment} trials as expected"
    low, high, margin = (number(value, check.margin) for value in (check.low, check.high, check.margin))
    word = "worse" if check.estimate >= 0 else "better"
    return f"{check.check} {word} by {number(abs(check.estimate), check.margin)} [{low}, {high}], margin {margin}"


def _never_started(
    log: Sequence[Stored], period: Period, started: set[str], history: dict[str, list[Dossier]]
) -> list[Row]:
    """What the campaign planned and never began, and files that it could not read: no record of theirs would tell."""
    rows = []
    for stored in log:
        note = stored.record.payload
        if stored.record.kind is not RecordKind.CAMPAIGN_PLANNED or not isinstance(note, Note):
            continue
        if not period.campaign_id or stored.record.run_id != period.campaign_id:
            continue
        at = stored.record.occurred_at
        for name, run_id in zip(_texts(note, "experiments"), _texts(note, "runs"), strict=False):
            if run_id not in started:
                rows.append(_missing(name, run_id, "planned, never started", f"squall run {name}", at, history))
        for name in _texts(note, "broken"):
            rows.append(_missing(name, "", "its file could not be read", "squall validate", at, history))
    return rows


def _texts(note: Note, fact: str) -> list[str]:
    found = note.facts.get(fact)
    return [str(one) for one in found] if isinstance(found, list) else []


def _missing(
    experiment: str, run_id: str, why: str, command: str, at: datetime, history: dict[str, list[Dossier]]
) -> Row:
    runs = history.get(experiment, [])
    return Row(
        urgency=Urgency.SKIPPED,
        experiment=experiment,
        run_id=run_id,
        owner=owner_of(runs[-1], runs) if runs else "unknown",
        since=at,
        effect=why,
        sentence=why,
        next_command=command,
    )


def _stale(history: dict[str, list[Dossier]], ran: set[str], period: Period) -> list[Row]:
    """Experiments that ran once, and not lately."""
    rows = []
    for experiment, runs in history.items():
        judged = [one for one in runs if one.verdict is not None]
        if experiment in ran or not judged or period.until - judged[-1].started_at < STALE_AFTER:
            continue
        last = judged[-1]
        rows.append(
            Row(
                urgency=Urgency.STALE,
                experiment=experiment,
                run_id=last.run_id,
                owner=owner_of(last),
                since=last.started_at,
                effect=f"last run: {_state(last)}",
                sentence="",
                next_command=_next_command(Urgency.STALE, last),
            )
        )
    return rows


def _changes(latest: Sequence[Dossier], history: dict[str, list[Dossier]]) -> tuple[Change, ...]:
    found = []
    for dossier in sorted(latest, key=lambda one: one.experiment):
        previous = _previous(dossier, history[dossier.experiment])
        before, after = _words(previous), _words(dossier)
        if previous is not None and before != after:
            owner = owner_of(dossier, history[dossier.experiment])
            command = f"squall report {dossier.experiment}"
            found.append(
                Change(
                    experiment=dossier.experiment,
                    owner=owner,
                    before=before,
                    after=after,
                    run_id=dossier.run_id,
                    next_command=command,
                )
            )
    return tuple(found)


def _words(dossier: Dossier | None) -> str:
    """Outcome and response."""
    if dossier is None or dossier.verdict is None:
        return _state(dossier)
    more = breaking_point_of(dossier) or dossier.verdict.response.value
    return f"{dossier.verdict.outcome.value}, {more}"


def _coverage(ours: Sequence[Dossier], registered: Sequence[str]) -> Coverage:
    exercised: set[str] = set()
    for dossier in ours:
        exercised |= {item.kind for item in dossier.facts.injections if item.injected and item.injected.effective}
        exercised |= _fired(dossier)
    known = set(registered)
    return Coverage(exercised=tuple(sorted(exercised & known)), not_exercised=tuple(sorted(known - exercised)))


def _fired(dossier: Dossier) -> set[str]:
    """Kinds whose firings during a workload took effect."""
    if dossier.plan is None:
        return set()
    kinds = {step.name: step.fault for step in dossier.plan.experiment.method}
    firings = [firing for trial in dossier.trials for firing in trial.firings]
    return {kinds[one.step] for one in firings if one.step in kinds and one.injected and one.injected.effective}


def _cost(ours: Sequence[Dossier]) -> Cost:
    trials = [trial for dossier in ours for trial in dossier.trials]
    fresh = [trial for trial in trials if not trial.reused_from]
    ends = [dossier.records[-1].record.occurred_at for dossier in ours]
    wall = (max(ends) - min(dossier.started_at for dossier in ours)).total_seconds() if ours else 0.0
    return Cost(
        experiments=sum(dossier.question is None for dossier in ours),  # a search is its runs
        trials=len(fresh),
        reused_trials=len(trials) - len(fresh),
        trial_seconds=sum(trial.wall_s for trial in fresh),
        lanes=_most_at_once(fresh),
        wall_seconds=wall,
    )


def _most_at_once(trials: Sequence[Trial]) -> int:
    """Ends sort before starts of the same moment, so that one after the other counts as one."""
    events = sorted([(trial.started_at, 1) for trial in trials] + [(trial.ended_at, -1) for trial in trials])
    running = most = 0
    for _, step in events:
        running += step
        most = max(most, running)
    return most
