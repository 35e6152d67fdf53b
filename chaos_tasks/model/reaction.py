"""What a system did about a fault, in numbers: who noticed and when, when it was back, and what that cost."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from pydantic import Field

from chaos_tasks.model.base import Value


class Response(StrEnum):
    """What the system did about the fault, by the signals that its owners really have."""

    MASKED = "masked"
    DETECTED = "detected"
    RECOVERED = "recovered"
    SILENT = "silent"
    CRASHED = "crashed"
    HUNG = "hung"
    UNKNOWN = "unknown"


class Share(Value):
    """``count`` of ``n``, with Clopper and Pearson's exact interval."""

    count: int = Field(ge=0)
    n: int = Field(ge=1)
    low: float = Field(ge=0, le=1)
    high: float = Field(ge=0, le=1)
    level: float = Field(gt=0, lt=1, description="Coverage of the interval.")


class Spread(Value):
    """Seconds over trials."""

    median: float
    worst: float
    n: int = Field(ge=1)


class Discounted(StrEnum):
    """Why a signal is no notice of the fault."""

    BEFORE_THE_FAULT = "before the fault"
    RINGS_ANYWAY = "rings without a fault too"
    TOO_LATE = "too late"


class Heard(Value):
    """A signal of a treatment trial."""

    name: str
    after_s: float | None = Field(None, description="From the first fault; negative: before it.  None: not known.")
    discounted: Discounted | None = Field(None, description="Why it does not count as noticing; None: it counts.")
    label_delay_s: float = Field(0.0, ge=0, description="Part of that time that was waiting for labels.")


class TrialReaction(Value):
    """One treatment trial.  Times run from its first fault; of several faults they are the worst; None: never."""

    trial_id: str
    seed: int
    response: Response
    noticed_by: str = ""
    detect_s: float | None = Field(None, description="To the first signal that counts.")
    signals: tuple[Heard, ...] = ()
    faults: int = Field(1, ge=0)
    faults_noticed: int = Field(0, ge=0, description="Faults that a signal followed before the next one.")
    restart_s: float | None = Field(None, description="To the start of the next launch by its own runtime.")
    back_s: float | None = Field(None, description="To the first sign of progress.")
    first_step_s: float | None = Field(None, description="To the first step made.")
    caught_up_s: float | None = Field(None, description="To the first step beyond the last one before the fault.")
    redone_steps: int = Field(0, ge=0)
    redone_s: float = Field(0.0, ge=0)
    ettr: float | None = Field(None, description="Useful share of the training time.")


class SignalQuality(Value):
    """How far one signal can be relied on: how often it rang under the fault, and how often without."""

    name: str
    caught: Share = Field(description="Treatment trials in which it rang after the fault, in time.")
    false_alarms: Share | None = Field(None, description="Control trials in which it rang; None: no control trial.")
    precision: float | None = Field(
        None, ge=0, le=1, description="Share of its alarms that are true, were half of all runs under a fault."
    )
    rings_anyway: bool = Field(False, description="It rings without a fault too, so it counts as no notice.")


class WorkLost(Value):
    """What the faults cost all treatment trials together."""

    steps: int = Field(0, ge=0, description="Steps done again.")
    samples: int | None = Field(None, description="Samples trained on again; None: the progress does not tell.")
    redone_s: float = Field(0.0, ge=0, description="Work done again.")
    stalled_s: float = Field(0.0, ge=0, description="Standing still or slowed down, without a restart.")
    down_s: float = Field(0.0, ge=0, description="From failures until the runs were back.")
    gpu_s: float = Field(0.0, ge=0, description="GPU-seconds of the three above.")
    device: str = Field("", description="What the workload says it ran on; `no GPU used` where it says no GPU.")


class TrainingRatio(Value):
    """Effective training time ratio over the treatment trials, and how often to save for the most of it.

    A *period* runs from save to save and includes the save.  Start-up before the first report and evaluation after the
    last step are left out.
    """

    measured: float = Field(ge=0, le=1)
    predicted: float | None = Field(None, description="Closed form of arXiv:2410.21680 on the measured inputs.")
    agrees: bool | None = Field(None, description="Whether the two are within 3 % of the measured one.")
    trials: int = Field(ge=1)
    failures: int = Field(ge=0, description="Faults that a run had to restart after, or never came back from.")
    never_back: int = Field(0, ge=0, description="Runs that did not complete; the closed form knows none such.")
    mtbf_s: float | None = Field(None, description="Training time per failure, as it was injected here.")
    restart_s: float | None = Field(None, description="From a failure until work goes on, the mean.")
    write_s: float | None = Field(None, description="Cost of a save, the median; None: it does not show.")
    period_s: float | None = Field(None, description="From save to save, as it is now.")
    best_period_s: float | None = Field(None, description="The most available period, arXiv:2410.18124.")
    young_period_s: float | None = Field(None, description="Young's interval and a save.")
    best_predicted: float | None = Field(None, description="The ratio to expect of the most available period.")
    sentence: str = ""


class ReactionDetail(Value):
    """The response of a run in numbers: what the panel and the report show beside the word."""

    trials: tuple[TrialReaction, ...] = ()
    responses: Mapping[Response, int] = Field(default_factory=dict, description="Treatment trials by response.")
    noticed: Share | None = Field(None, description="Treatment trials in which a signal that counts rang in time.")
    signals: tuple[SignalQuality, ...] = ()
    detect_s: Spread | None = None
    restart_s: Spread | None = None
    back_s: Spread | None = None
    first_step_s: Spread | None = None
    caught_up_s: Spread | None = None
    lost: WorkLost | None = Field(None, description="None: no treatment trial showed progress.")
    ratio: TrainingRatio | None = Field(
        None, description="Only where a process was hurt in mid-run and the workload saves checkpoints."
    )
    sentence: str = ""
