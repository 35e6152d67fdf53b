"""Whether something that the target's owners would notice fired: an alarm, an exit code, a gate."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from chaos_tasks.model.trial import Trial
from chaos_tasks.probes.base import Measurement, ProbeParams
from chaos_tasks.probes.gate import require_told


class SignalParams(ProbeParams):
    """Which signal."""

    name: str = Field(min_length=1, description="Name of the alarm, or `exit_code`, or `gate`.")


class SignalFired:
    """True when the named signal fired in the trial."""

    kind: ClassVar[str] = "signal.fired"
    summary: ClassVar[str] = "Whether a signal that the owners really have fired"
    params_type: ClassVar[type[SignalParams]] = SignalParams
    oracle: ClassVar[bool] = False

    def measure(self, trial: Trial, params: SignalParams) -> Measurement:
        """Read it; raises ProbeError for a trial that says nothing (void or aborted)."""
        require_told(trial)
        return Measurement(value=any(signal.name == params.name for signal in trial.signals))
