"""How the run itself went: whether it completed, how long it took, and how it came back after a restart."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

from chaos_tasks.errors import ProbeError
from chaos_tasks.model.trial import Launch, Trial, TrialStatus
from chaos_tasks.probes.base import Measurement, ProbeParams
from chaos_tasks.probes.gate import require_told


class Completed:
    """True when the run ended with exit code 0 within its time."""

    kind: ClassVar[str] = "workload.completed"
    summary: ClassVar[str] = "Whether the run completed"
    params_type: ClassVar[type[ProbeParams]] = ProbeParams
    oracle: ClassVar[bool] = False

    def measure(self, trial: Trial, params: ProbeParams) -> Measurement:
        """Read it; raises ProbeError for a trial that says nothing (void or aborted)."""
        require_told(trial)
        return Measurement(value=trial.status is TrialStatus.COMPLETED)


class DurationSeconds:
    """Wall time of a run that completed; a run cut short has no duration to compare."""

    kind: ClassVar[str] = "workload.duration_s"
    summary: ClassVar[str] = "Seconds that a completed run took"
    params_type: ClassVar[type[ProbeParams]] = ProbeParams
    oracle: ClassVar[bool] = False

    def measure(self, trial: Trial, params: ProbeParams) -> Measurement:
        """Read it in seconds; raises ProbeError unless the trial completed, and did all of its work."""
        if trial.status is not TrialStatus.COMPLETED:
            raise ProbeError(
                f"trial {trial.id} did not complete ({trial.status.value}), so it has no duration to compare",
                remedy="a check of `workload.completed` answers whether it should have",
            )
        if trial.forked_from:
            raise ProbeError(
                f"trial {trial.id} was forked, so it did a part of the work only",
                remedy="leave out `analysis.fork` to compare durations",
            )
        return Measurement(value=trial.wall_s, unit="s")


class ExitCode:
    """Exit code of the last launch; negative: ended by that signal."""

    kind: ClassVar[str] = "workload.exit_code"
    summary: ClassVar[str] = "Exit code of the run's last launch"
    params_type: ClassVar[type[ProbeParams]] = ProbeParams
    oracle: ClassVar[bool] = False

    def measure(self, trial: Trial, params: ProbeParams) -> Measurement:
        """Read it; raises ProbeError when nothing was launched or the code is not known."""
        require_told(trial)
        code = trial.launches[-1].exit_code if trial.launches else None
        if code is None:
            raise ProbeError(f"trial {trial.id} has no exit code ({trial.status.value})", remedy="see its log")
        return Measurement(value=code)


class LostSteps:
    """Steps done again after restarts."""

    kind: ClassVar[str] = "workload.lost_steps"
    summary: ClassVar[str] = "Steps done again after restarts"
    params_type: ClassVar[type[ProbeParams]] = ProbeParams
    oracle: ClassVar[bool] = False

    def measure(self, trial: Trial, params: ProbeParams) -> Measurement:
        """Read it; raises ProbeError when the workload showed no progress at all."""
        require_told(trial)
        if not any(_progressed(launch) for launch in trial.launches):
            raise _no_progress(trial)
        return Measurement(value=trial.lost_steps, unit="steps")


class Resumed:
    """True when a later launch went on from a checkpoint: it starts beyond where the first launch started.

    Not simply beyond step 0: a workload that reports every fifth step starts its first launch at step 5.
    """

    kind: ClassVar[str] = "workload.resumed"
    summary: ClassVar[str] = "Whether a restarted run went on from a checkpoint"
    params_type: ClassVar[type[ProbeParams]] = ProbeParams
    oracle: ClassVar[bool] = False

    def measure(self, trial: Trial, params: ProbeParams) -> Measurement:
        """Read it; raises ProbeError when a later launch is there but showed no progress."""
        require_told(trial)
        later = trial.launches[1:]
        if later and not any(_progressed(launch) for launch in later) and trial.status is TrialStatus.COMPLETED:
            raise _no_progress(trial)
        start = trial.launches[0].first_step if trial.launches else None
        if start is None:  # ended before any progress, so there was nothing to go on from
            return Measurement(value=False)
        if trial.fork is not None:  # its own start was a checkpoint already: to start there again is no loss
            start = min(start, trial.fork.step) - 1
        return Measurement(value=any((launch.first_step or 0) > start for launch in later))


class RecoverSeconds:
    """Seconds from the first firing to the first progress of the next launch; the slowest of a trial's firings."""

    kind: ClassVar[str] = "workload.recover_s"
    summary: ClassVar[str] = "Seconds from the fault to the first progress of the next launch"
    params_type: ClassVar[type[ProbeParams]] = ProbeParams
    oracle: ClassVar[bool] = False

    def measure(self, trial: Trial, params: ProbeParams) -> Measurement:
        """Read it in seconds; raises ProbeError when nothing fired or the run never made progress again."""
        require_told(trial)
        if not trial.firings:
            raise ProbeError(f"no fault fired in trial {trial.id}", remedy="ask with `when: under_fault`")
        return Measurement(value=max(_recovery(trial, firing.fired_at) for firing in trial.firings), unit="s")


def _recovery(trial: Trial, fired_at: datetime) -> float:
    for launch in trial.launches:
        if launch.started_at >= fired_at and launch.first_progress_at is not None:
            return (launch.first_progress_at - fired_at).total_seconds()
    raise ProbeError(
        f"trial {trial.id} made no progress in a launch after the fault",
        remedy="`workload.completed` answers whether it came back; `reads.progress` makes its progress visible",
    )


def _progressed(launch: Launch) -> bool:
    return launch.first_step is not None or launch.last_step is not None


def _no_progress(trial: Trial) -> ProbeError:
    return ProbeError(
        f"trial {trial.id} showed no progress, so lost and resumed steps cannot be told",
        remedy="declare `reads.progress` in the target file",
    )
