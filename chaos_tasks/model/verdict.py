"""A verdict: what happened to the system, and what the system did about it."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from pydantic import Field

from chaos_tasks.model.base import Value
from chaos_tasks.model.experiment import KnownFinding, When


class Outcome(StrEnum):
    """Whether the hypothesis survived."""

    HELD = "held"
    DEVIATED = "deviated"
    INCONCLUSIVE = "inconclusive"
    ABORTED = "aborted"
    UNREVERTED = "unreverted"  # the only one that pages


class Response(StrEnum):
    """What the system did about the fault, by the signals that its owners really have."""

    MASKED = "masked"
    DETECTED = "detected"
    RECOVERED = "recovered"
    SILENT = "silent"
    CRASHED = "crashed"
    HUNG = "hung"
    UNKNOWN = "unknown"


class Reason(StrEnum):
    """Why a check or a verdict came out as it did.  Text may change, codes may not."""

    WITHIN_MARGIN = "within_margin"
    BEYOND_MARGIN = "beyond_margin"
    WITHIN_TOLERANCE = "within_tolerance"
    OUT_OF_TOLERANCE = "out_of_tolerance"
    GATE_BLOCKED = "gate_blocked"  # nothing new was shipped, so the model in service is the control's
    INTERVAL_TOO_WIDE = "interval_too_wide"
    TOO_FEW_TRIALS = "too_few_trials"
    PROBE_ERROR = "probe_error"
    RETURNED_NAN = "returned_nan"  # measured: the model itself returned no number
    TRIAL_FAILED = "trial_failed"
    CONTROL_FAILED = "control_failed"
    NO_RECEIPT = "no_receipt"
    TRIGGER_NOT_FIRED = "trigger_not_fired"
    TRIALS_VOID = "trials_void"
    GUARD_TRIPPED = "guard_tripped"
    STOPPED_BY_PERSON = "stopped_by_person"
    STOP_CONDITION = "stop_condition"
    REVERT_FAILED = "revert_failed"
    INTERNAL_ERROR = "internal_error"


class CheckState(StrEnum):
    """Three-valued answer of one check."""

    PASSED = "passed"
    FAILED = "failed"
    UNKNOWN = "unknown"


class CheckResult(Value):
    """One check judged: estimate with interval against its margin, in the metric's own unit.

    Paired (`unit: seed`): how much *worse* the treatment is, so positive is bad and the margin is positive; the
    interval is two-sided with level 1 - 2 alpha.  Per trial: the share of trials within tolerance with its reliability
    bound.
    """

    check: str
    when: When
    state: CheckState
    reason: Reason
    sentence: str = Field(description="For a manager: one sentence with the numbers.")
    unit: str = Field("seed", description="What was resampled: `seed` (paired trainings) or `trial`.")
    method: str = ""
    estimate: float | None = None
    low: float | None = None
    high: float | None = None
    margin: float | None = None
    n_control: int = 0
    n_treatment: int = 0


class Verdict(Value):
    """The answer of one run of one experiment."""

    run_id: str
    experiment: str
    outcome: Outcome
    response: Response
    checks: tuple[CheckResult, ...]
    reasons: tuple[Reason, ...] = ()
    sentence: str = ""
    known_finding: KnownFinding | None = Field(
        None, description="Set when the deviation is an accepted, unexpired one."
    )
    noticed_by: str = ""
    detect_s: float | None = Field(None, description="From injection to the first operational signal.")
    recover_s: float | None = Field(None, description="From revert (or firing) to healthy again.")
    lost_steps: int = 0
    trials: int = 0
    trials_wall_s: float = 0.0
    decided_at: datetime

    @property
    def needs_action(self) -> bool:
        """Whether a person should look: anything but held or a known finding."""
        return self.outcome is not Outcome.HELD and self.known_finding is None
