"""What the system did about the fault, by the signals that its owners really have; the oracle has no say in it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from chaos_tasks.judging.evidence import Evidence
from chaos_tasks.judging.facts import RunFacts
from chaos_tasks.model.plan import Plan
from chaos_tasks.model.target import ExitCodeSignal
from chaos_tasks.model.trial import Arm, SignalEvent, Trial, TrialStatus
from chaos_tasks.model.verdict import CheckResult, CheckState, Response

GATE = "gate"
EXIT_CODE = "exit_code"

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


def react(plan: Plan, evidence: Evidence, facts: RunFacts, checks: Iterable[CheckResult]) -> Reaction:
    """The worst that a treatment trial showed.

    A signal that rings under control too is no notice: its owners could not tell.  After a deviation every trial that
    went unnoticed is silent.  UNKNOWN: no treatment trial, or nothing noticed and not known whether it deviated.
    """
    treated = evidence.arm(Arm.TREATMENT)
    if not treated:
        return Reaction(Response.UNKNOWN)
    ringing = {signal.name for trial in evidence.arm(Arm.CONTROL) for signal in trial.signals}
    notices = {trial.id: _notices(plan, trial, ringing, _injected_at(trial, facts)) for trial in treated}
    quiet = _quiet(checks)
    responses = {_of_trial(plan, trial, bool(notices[trial.id]), quiet, facts, evidence) for trial in treated}
    return Reaction(
        response=next((response for response in WORST_FIRST if response in responses), Response.UNKNOWN),
        noticed_by=_first_name(notices.values()),
        detect_s=_detect_s(treated, notices, facts),
        recover_s=_recover_s(treated, facts),
        noticed=sum(bool(found) for found in notices.values()),
        trials=len(treated),
    )


def _quiet(checks: Iterable[CheckResult]) -> Response:
    """What it means that nothing was noticed."""
    states = {check.state for check in checks}
    if CheckState.FAILED in states:
        return Response.SILENT
    return Response.MASKED if states == {CheckState.PASSED} else Response.UNKNOWN


def _of_trial(
    plan: Plan, trial: Trial, noticed: bool, quiet: Response, facts: RunFacts, evidence: Evidence
) -> Response:
    if trial.status in (TrialStatus.TIMED_OUT, TrialStatus.FAILED):
        if _came_back_after_revert(plan, facts, evidence):
            return Response.RECOVERED
        return Response.HUNG if trial.status is TrialStatus.TIMED_OUT else Response.CRASHED
    if trial.status is TrialStatus.BLOCKED:
        return Response.DETECTED
    if _restarted(trial):
        return Response.RECOVERED
    return Response.DETECTED if noticed else quiet


def _restarted(trial: Trial) -> bool:
    return trial.status is TrialStatus.COMPLETED and len(trial.launches) > 1


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


def _notices(plan: Plan, trial: Trial, ringing: set[str], injected_at: datetime | None) -> list[SignalEvent]:
    """Signals after the injection that control does not show, by time; how a run ends is one where owners watch it."""
    found = [signal for signal in trial.signals if signal.name not in ringing]
    if injected_at is not None:
        found = [signal for signal in found if signal.at >= injected_at]
    named = {signal.name for signal in found}
    if trial.status is TrialStatus.BLOCKED and GATE not in named:
        found.append(SignalEvent(name=GATE, at=trial.ended_at))
    watched = any(isinstance(signal, ExitCodeSignal) for signal in plan.target.signals)
    if trial.status is TrialStatus.FAILED and watched and EXIT_CODE not in named:
        found.append(SignalEvent(name=EXIT_CODE, at=trial.ended_at))
    return sorted(found, key=lambda signal: (signal.at, signal.name))


def _injected_at(trial: Trial, facts: RunFacts) -> datetime | None:
    """When this trial's first fault was in: its own firing, or what was injected before it started."""
    fired = min((firing.fired_at for firing in trial.firings), default=None)
    return fired if fired is not None else facts.injected_at


def _first_name(notices: Iterable[list[SignalEvent]]) -> str:
    firsts = [found[0] for found in notices if found]
    return min(firsts, key=lambda signal: (signal.at, signal.name)).name if firsts else ""


def _detect_s(treated: list[Trial], notices: dict[str, list[SignalEvent]], facts: RunFacts) -> float | None:
    """To the first signal after an injection that all trials share; the slowest trial where each has its own firing."""
    own: list[float] = []
    shared: list[float] = []
    for trial in treated:
        at, found = _injected_at(trial, facts), notices[trial.id]
        if at is None or not found:
            continue
        (own if trial.firings else shared).append(max(0.0, (found[0].at - at).total_seconds()))
    return max(own) if own else min(shared, default=None)


def _recover_s(treated: list[Trial], facts: RunFacts) -> float | None:
    """From firing to first progress of the next launch, the slowest trial; else from revert to healthy, as measured."""
    times = [seconds for trial in treated if (seconds := _restart_s(trial)) is not None]
    if times:
        return max(times)
    return facts.recovery.seconds if facts.recovery is not None and facts.recovery.healthy else None


def _restart_s(trial: Trial) -> float | None:
    if not _restarted(trial) or not trial.firings:
        return None
    fired_at = min(firing.fired_at for firing in trial.firings)
    later = [launch for launch in trial.launches[1:] if launch.started_at >= fired_at]
    if not later:
        return None
    back_at = later[0].first_progress_at or later[0].started_at  # without visible progress, its start is all we know
    return max(0.0, (back_at - fired_at).total_seconds())
