"""What one run did about its fault: how long until its owners knew, until it was back, and what of its time was useful.

Nothing noticed, or never back, is a measurement: the reading is infinite, and no `max` allows that.
"""

from __future__ import annotations

import math
from datetime import datetime
from typing import ClassVar, Literal

from pydantic import Field

from chaos_tasks.errors import ProbeError
from chaos_tasks.model.progress import Setback
from chaos_tasks.model.trial import Arm, Trial, TrialStatus
from chaos_tasks.probes.base import Measurement, ProbeParams
from chaos_tasks.probes.gate import GATE, require_told

RESTART = "restart"


class DetectParams(ProbeParams):
    """Which signal; by default whichever is the first."""

    signal: str = Field(
        "", description="Name of an alarm, or `exit_code`, `gate` or `restart`; empty: the first of any of them."
    )


class RecoverParams(ProbeParams):
    """What counts as recovered."""

    until: Literal["back", "caught_up"] = Field(
        "caught_up",
        description="back: the first progress after the fault; caught_up: the first step beyond the last before it.",
    )


class DetectSeconds:
    """Seconds from the fault to the first signal; from the run's start where the fault was in before it."""

    kind: ClassVar[str] = "response.detect_s"
    summary: ClassVar[str] = "Seconds from the fault to the first signal that the owners really have"
    params_type: ClassVar[type[DetectParams]] = DetectParams
    oracle: ClassVar[bool] = False

    def measure(self, trial: Trial, params: DetectParams) -> Measurement:
        """Read it in seconds, infinite when nothing was noticed; raises ProbeError for a trial without a fault.

        One trial does not know which signals ring without a fault too: name the one that is meant.
        """
        require_told(trial)
        fired = min((firing.fired_at for firing in trial.firings), default=None)
        if fired is None and trial.arm is not Arm.TREATMENT:
            raise _no_fault(trial)
        since = fired or trial.started_at
        heard = [at for name, at in _signals(trial) if params.signal in ("", name) and at >= since]
        return Measurement(value=(min(heard) - since).total_seconds() if heard else math.inf, unit="s")


class RecoverSeconds:
    """Seconds from the fault until the run had caught up, or was back; the slowest of a trial's faults."""

    kind: ClassVar[str] = "response.recover_s"
    summary: ClassVar[str] = "Seconds from the fault until the run had caught up with what it lost"
    params_type: ClassVar[type[RecoverParams]] = RecoverParams
    oracle: ClassVar[bool] = False

    def measure(self, trial: Trial, params: RecoverParams) -> Measurement:
        """Read it in seconds, infinite when it never was; raises ProbeError when no fault or no progress is seen.

        A run that completed without any further step was back by its end.
        """
        require_told(trial)
        if not trial.firings:
            raise _no_fault(trial)
        setbacks = trial.progress.setbacks if trial.progress is not None else ()
        if not setbacks:
            raise _no_progress(trial)
        return Measurement(value=max(_recovered(trial, one, params.until) for one in setbacks), unit="s")


class TrainingRatio:
    """Effective training time ratio (0..1): useful time over all, from the first report to the last step."""

    kind: ClassVar[str] = "response.ettr"
    summary: ClassVar[str] = "Share of the training time whose work was kept (ETTR)"
    params_type: ClassVar[type[ProbeParams]] = ProbeParams
    oracle: ClassVar[bool] = False

    def measure(self, trial: Trial, params: ProbeParams) -> Measurement:
        """Read it; raises ProbeError when the workload showed too little progress to tell."""
        require_told(trial)
        ratio = trial.progress.ettr if trial.progress is not None else None
        if ratio is None:
            raise _no_progress(trial)
        return Measurement(value=ratio)


def _signals(trial: Trial) -> list[tuple[str, datetime]]:
    """Declared signals, the gate's refusal, and restarts by the target's own runtime."""
    found = [(signal.name, signal.at) for signal in trial.signals]
    found += [(GATE, trial.ended_at)] if trial.status is TrialStatus.BLOCKED else []
    return found + [(RESTART, at) for at in trial.restarted_at]


def _recovered(trial: Trial, setback: Setback, until: Literal["back", "caught_up"]) -> float:
    seconds = setback.back_s if until == "back" else setback.caught_up_s
    if seconds is not None:
        return seconds
    if trial.status is TrialStatus.COMPLETED:
        return max(0.0, (trial.ended_at - setback.fired_at).total_seconds())
    return math.inf


def _no_fault(trial: Trial) -> ProbeError:
    return ProbeError(f"no fault fired in trial {trial.id}", remedy="ask with `when: under_fault`")


def _no_progress(trial: Trial) -> ProbeError:
    return ProbeError(
        f"trial {trial.id} showed too little progress to tell how it got on",
        remedy="declare `reads.progress` in the target file",
    )
