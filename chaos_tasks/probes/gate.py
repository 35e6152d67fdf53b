"""Whether the pipeline's own gate refused the data."""

from __future__ import annotations

from typing import ClassVar

from chaos_tasks.errors import ProbeError
from chaos_tasks.model.trial import Trial, TrialStatus
from chaos_tasks.probes.base import Measurement, ProbeParams

GATE = "gate"
UNTOLD = (TrialStatus.VOID, TrialStatus.ABORTED)


class GateRefused:
    """True when a set-up step marked `gate` refused, so that nothing new was shipped."""

    kind: ClassVar[str] = "gate.refused"
    summary: ClassVar[str] = "Whether the pipeline's own gate refused the data"
    params_type: ClassVar[type[ProbeParams]] = ProbeParams
    oracle: ClassVar[bool] = False

    def measure(self, trial: Trial, params: ProbeParams) -> Measurement:
        """Read it; raises ProbeError for a trial that says nothing (void or aborted)."""
        require_told(trial)
        named = any(signal.name == GATE for signal in trial.signals)
        return Measurement(value=named or trial.status is TrialStatus.BLOCKED)


def require_told(trial: Trial) -> None:
    """Raise ProbeError for a trial that was void or aborted: what it left behind says nothing."""
    if trial.status in UNTOLD:
        raise ProbeError(
            f"trial {trial.id} is {trial.status.value}, so it says nothing", remedy="run the experiment again"
        )
