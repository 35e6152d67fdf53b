"""A verdict: what happened to the system, and what the system did about it."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from pydantic import Field

from chaos_tasks.model.base import Value
from chaos_tasks.model.experiment import KnownFinding, When
from chaos_tasks.model.reaction import ReactionDetail
from chaos_tasks.model.reaction import Response as Response  # said with the outcome, so named beside it


class Outcome(StrEnum):
    """Whether the hypothesis survived."""

    HELD = "held"
    DEVIATED = "deviated"
    INCONCLUSIVE = "inconclusive"
    ABORTED = "aborted"
    UNREVERTED = "unreverted"  # the only one that pages


class Reason(StrEnum):
    """Why a check or a verdict came out as it did.  Text may change, codes may not."""

    WITHIN_MARGIN = "within_margin"
    BEYOND_MARGIN = "beyond_margin"
    WITHIN_TOLERANCE = "within_tolerance"
    OUT_OF_TOLERANCE = "out_of_tolerance"
    GATE_BLOCKED = "gate_blocked"  # nothing new was shipped, so the model in service is the control's
    INTERVAL_TOO_WIDE = "interval_too_wide"
    TOO_FEW_TRIALS = "too_few_trials"
    CHEAP_RUNG = "cheap_rung"  # said at a cheap rung, which is not the whole workload
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


class EvidencePoint(Value):
    """The evidence of one check after its first ``n`` units; what the plot of evidence over trials shows."""

    n: int
    log_e_pass: float
    log_e_fail: float
    estimate: float | None = None
    low: float | None = None
    high: float | None = None


class CheckResult(Value):
    """One check judged: estimate with interval against its margin, in the metric's own unit.

    Paired (`unit: seed` or `row`): how much *worse* the treatment is, so positive is bad and the margin is positive;
    the interval has level 1 - 2 alpha, at every n at once where the design is sequential.  Per trial: the share of
    trials within tolerance with its reliability bound.  ``log_e_pass`` is the natural log of the e-value against
    "worse by the margin or more", ``log_e_fail`` of that against "worse by the margin or less".
    """

    check: str
    when: When
    state: CheckState
    reason: Reason
    sentence: str = Field(description="For a manager: one sentence with the numbers.")
    unit: str = Field("seed", description="What was resampled: `seed` (paired trainings), `row` or `trial`.")
    estimand: str = Field("", description="What the estimate is of, and about what it speaks.")
    method: str = ""
    estimate: float | None = None
    low: float | None = None
    high: float | None = None
    margin: float | None = None
    n_control: int = 0
    n_treatment: int = 0
    log_e_pass: float | None = None
    log_e_fail: float | None = None
    decided_at_n: int | None = Field(None, description="Units after which the evidence was enough.")
    seeds: tuple[int, ...] = ()
    evidence: tuple[EvidencePoint, ...] = ()


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
    reaction: ReactionDetail | None = Field(None, description="The response in numbers; None: no treatment trial.")
    lost_steps: int = 0
    trials: int = 0
    trials_wall_s: float = 0.0
    trials_reused: int = Field(0, ge=0, description="Control trials whose observations came from the ledger.")
    trials_saved: int = Field(0, ge=0, description="Planned trials that were not needed, reused ones included.")
    steps_saved: int = Field(0, ge=0, description="Steps that forked trials did not train again.")
    rung: str = Field(
        "", description="Rung of the fidelity ladder that the answer is about; empty: the whole workload."
    )
    continues: tuple[str, ...] = Field((), description="Undecided runs of earlier nights whose pairs count too.")
    decided_at: datetime

    @property
    def needs_action(self) -> bool:
        """Whether a person should look: anything but held or a known finding."""
        return self.outcome is not Outcome.HELD and self.known_finding is None
