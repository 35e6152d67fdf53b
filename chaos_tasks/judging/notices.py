"""What the target's owners heard in a trial, and which of it counts as noticing the fault.

Only their own signals: what the target declares, its gate, how a run ends where that is watched, and its own restarts.
Never a probe: the oracle knows what no owner does.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from chaos_tasks.judging.evidence import Evidence
from chaos_tasks.judging.facts import RunFacts
from chaos_tasks.model.plan import Plan
from chaos_tasks.model.reaction import Discounted, Heard
from chaos_tasks.model.target import ExitCodeSignal, Target
from chaos_tasks.model.trial import Arm, SignalEvent, Trial, TrialStatus

GATE = "gate"
EXIT_CODE = "exit_code"
RESTART = "restart"


@dataclass(frozen=True)
class Notices:
    """The signals of one treatment trial, by time, beside the moments at which its faults were in."""

    faults_at: tuple[datetime, ...]
    events: tuple[SignalEvent, ...]
    heard: tuple[Heard, ...]  # one per event

    @property
    def counted(self) -> tuple[SignalEvent, ...]:
        """Those that count as noticing, the first one first."""
        return tuple(event for event, told in zip(self.events, self.heard, strict=True) if told.discounted is None)

    @property
    def detect_s(self) -> float | None:
        """From the first fault to the first signal that counts."""
        counted = self.counted
        if not counted or not self.faults_at:
            return None
        return max(0.0, (counted[0].at - self.faults_at[0]).total_seconds())

    @property
    def faults_noticed(self) -> int:
        """Faults that a signal followed before the next fault came."""
        later = (*self.faults_at[1:], None)
        return sum(
            any(at <= event.at and (until is None or event.at < until) for event in self.counted)
            for at, until in zip(self.faults_at, later, strict=False)
        )


def listen(plan: Plan, evidence: Evidence, facts: RunFacts) -> dict[str, Notices]:
    """What was heard in each treatment trial, by its id.

    A signal that rings without a fault too, under control or before the fault, is no notice: its owners could not tell.
    """
    treated = evidence.arm(Arm.TREATMENT)
    ringing = rings_anyway(plan, evidence, facts)
    limit = plan.experiment.guards.detect_within
    return {
        trial.id: _notices(signals_of(plan.target, trial), faults_at(plan, trial, facts), ringing, limit)
        for trial in treated
    }


def rings_anyway(plan: Plan, evidence: Evidence, facts: RunFacts) -> frozenset[str]:
    """Names of the signals that rang where no fault was in."""
    found = {event.name for trial in evidence.arm(Arm.CONTROL) for event in signals_of(plan.target, trial)}
    for trial in evidence.arm(Arm.TREATMENT):
        struck = faults_at(plan, trial, facts)
        found |= {event.name for event in signals_of(plan.target, trial) if struck and event.at < struck[0]}
    return frozenset(found)


def signals_of(target: Target, trial: Trial) -> tuple[SignalEvent, ...]:
    """What was heard in a trial, by time; a refusal, a watched bad end and a restart are signals by themselves."""
    found = list(trial.signals)
    named = {signal.name for signal in found}
    if trial.status is TrialStatus.BLOCKED and GATE not in named:
        found.append(SignalEvent(name=GATE, at=trial.ended_at))
    watched = any(isinstance(signal, ExitCodeSignal) for signal in target.signals)
    if trial.status is TrialStatus.FAILED and watched and EXIT_CODE not in named:
        found.append(SignalEvent(name=EXIT_CODE, at=trial.ended_at))
    found += [SignalEvent(name=RESTART, at=at) for at in trial.restarted_at]
    return tuple(sorted(found, key=lambda signal: (signal.at, signal.name)))


def faults_at(plan: Plan, trial: Trial, facts: RunFacts) -> tuple[datetime, ...]:
    """When the trial's faults were in: what was injected before it started, and its own firings; empty: not known."""
    standing = {step.name for step in plan.experiment.method if not step.fires_during}
    found = [item.injected_at for item in facts.injections if item.step in standing and item.injected_at is not None]
    found += [firing.fired_at for firing in trial.firings]
    if not found and facts.injected_at is not None:
        return (facts.injected_at,)
    return tuple(sorted(found))


def _notices(
    events: Sequence[SignalEvent], struck: tuple[datetime, ...], ringing: Iterable[str], limit: timedelta | None
) -> Notices:
    heard = tuple(_heard(event, struck, ringing, limit) for event in events)
    return Notices(struck, tuple(events), heard)


def _heard(event: SignalEvent, struck: Sequence[datetime], ringing: Iterable[str], limit: timedelta | None) -> Heard:
    before = [at for at in struck if at <= event.at]
    discounted: Discounted | None = None
    if struck and not before:
        discounted = Discounted.BEFORE_THE_FAULT
    elif event.name in ringing:
        discounted = Discounted.RINGS_ANYWAY
    elif before and limit is not None and event.at - before[-1] > limit:
        discounted = Discounted.TOO_LATE
    after_s = (event.at - struck[0]).total_seconds() if struck else None
    return Heard(name=event.name, after_s=after_s, discounted=discounted, label_delay_s=event.label_delay_s)
