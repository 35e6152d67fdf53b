"""What the system did about the fault, by the signals that its owners really have; the oracle has no say in it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from chaos_tasks.judging.evidence import Evidence
from chaos_tasks.judging.facts import RunFacts
from chaos_tasks.judging.notices import Notices, listen
from chaos_tasks.judging.reacting import detail_of
from chaos_tasks.model.plan import Plan
from chaos_tasks.model.reaction import ReactionDetail, Response
from chaos_tasks.model.trial import Arm, Trial, TrialStatus
from chaos_tasks.model.verdict import CheckResult, CheckState

WORST_FIRST = (Response.HUNG, Response.CRASHED, Response.SILENT, Response.RECOVERED, Response.DETECTED, Response.MASKED)


@dataclass(frozen=True)
class Reaction:
    """The response, with who noticed and how long it took."""

    response: Response
    noticed_by: str = ""
    detect_s: float | None = None
    recover_s: float | None = None
    noticed: int = 0  # treatment trials in which a signal fired
    trials: int = 0
    detail: ReactionDetail | None = None


def react(plan: Plan, evidence: Evidence, facts: RunFacts, checks: Iterable[CheckResult]) -> Reaction:
    """The worst that a treatment trial showed.

    A signal that rings without the fault too is no notice: its owners could not tell.  After a deviation every trial
    that went unnoticed is silent.  UNKNOWN: no treatment trial, or nothing noticed and not known whether it deviated.
    """
    treated = evidence.arm(Arm.TREATMENT)
    if not treated:
        return Reaction(Response.UNKNOWN)
    notices = listen(plan, evidence, facts)
    quiet = _quiet(checks)
    responses = {trial.id: _of_trial(plan, trial, notices[trial.id], quiet, facts, evidence) for trial in treated}
    return Reaction(
        response=next((response for response in WORST_FIRST if response in responses.values()), Response.UNKNOWN),
        noticed_by=_first_name(notices),
        detect_s=_detect_s(treated, notices),
        recover_s=_recover_s(treated, facts),
        noticed=sum(bool(found.counted) for found in notices.values()),
        trials=len(treated),
        detail=detail_of(plan, evidence, notices, responses),
    )


def _quiet(checks: Iterable[CheckResult]) -> Response:
    """What it means that nothing was noticed."""
    states = {check.state for check in checks}
    if CheckState.FAILED in states:
        return Response.SILENT
    return Response.MASKED if states == {CheckState.PASSED} else Response.UNKNOWN


def _of_trial(
    plan: Plan, trial: Trial, notices: Notices, quiet: Response, facts: RunFacts, evidence: Evidence
) -> Response:
    if trial.status in (TrialStatus.TIMED_OUT, TrialStatus.FAILED):
        if _came_back_after_revert(plan, facts, evidence):
            return Response.RECOVERED
        return Response.HUNG if trial.status is TrialStatus.TIMED_OUT else Response.CRASHED
    if trial.status is TrialStatus.BLOCKED:
        return Response.DETECTED
    if trial.status is TrialStatus.COMPLETED and trial.restarted_at and _in_time(plan, trial):
        return Response.RECOVERED
    return Response.DETECTED if notices.counted else quiet


def _in_time(plan: Plan, trial: Trial) -> bool:
    """Whether a run that fired faults was back within the RTO of each one's end; one that comes back later is late."""
    limit = plan.experiment.guards.rto
    for firing in trial.firings:
        over_at = firing.reverted.at if firing.reverted is not None else firing.fired_at
        back = [at for at in trial.restarted_at if at >= firing.fired_at]
        if back and back[0] - over_at > limit:
            return False
    return True


def _came_back_after_revert(plan: Plan, facts: RunFacts, evidence: Evidence) -> bool:
    """A fault held throughout the trial leaves no chance to come back before the revert; a fired one does.

    A measured recovery within the RTO counts, proved by a recovery trial that completed.
    """
    if any(step.fires_during for step in plan.experiment.method):
        return False
    recovery = facts.recovery
    if recovery is None or not recovery.healthy or recovery.seconds is None:
        return False
    proved = any(trial.status is TrialStatus.COMPLETED for trial in evidence.arm(Arm.RECOVERY))
    return proved and recovery.seconds <= plan.experiment.guards.rto.total_seconds()


def _first_name(notices: Mapping[str, Notices]) -> str:
    firsts = [found.counted[0] for found in notices.values() if found.counted]
    return min(firsts, key=lambda signal: (signal.at, signal.name)).name if firsts else ""


def _detect_s(treated: Iterable[Trial], notices: Mapping[str, Notices]) -> float | None:
    """To the first signal after an injection that all trials share; the slowest trial where each has its own firing."""
    own: list[float] = []
    shared: list[float] = []
    for trial in treated:
        seconds = notices[trial.id].detect_s
        if seconds is not None:
            (own if trial.firings else shared).append(seconds)
    return max(own) if own else min(shared, default=None)


def _recover_s(treated: Iterable[Trial], facts: RunFacts) -> float | None:
    """From firing to first progress of the next launch, the slowest trial; else from revert to healthy, as measured."""
    times = [seconds for trial in treated if (seconds := _restart_s(trial)) is not None]
    if times:
        return max(times)
    return facts.recovery.seconds if facts.recovery is not None and facts.recovery.healthy else None


def _restart_s(trial: Trial) -> float | None:
    if trial.status is not TrialStatus.COMPLETED or not trial.firings:
        return None
    if trial.progress is not None:
        told = [one.back_s for one in trial.progress.setbacks if one.resumed_from is not None]
        return max((seconds for seconds in told if seconds is not None), default=None)
    fired_at = min(firing.fired_at for firing in trial.firings)
    later = [launch for launch in trial.launches[1:] if launch.started_at >= fired_at]
    if not later:
        return None
    back_at = later[0].first_progress_at or later[0].started_at  # without visible progress, its start is all we know
    return max(0.0, (back_at - fired_at).total_seconds())
