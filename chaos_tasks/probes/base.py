"""The protocols of probes: what they read from one trial, or from a pair of them, and when they could not."""

from __future__ import annotations

from typing import ClassVar, Literal, Protocol, TypeVar

from pydantic import Field

from chaos_tasks.model.base import Reading, Value
from chaos_tasks.model.experiment import NonInferiority
from chaos_tasks.model.target import Predictions
from chaos_tasks.model.trial import PairMeasured, Trial


class ProbeParams(Value):
    """Parameters of a probe."""


P = TypeVar("P", bound=ProbeParams, contravariant=True)


class Measurement(Value):
    """A value with its unit."""

    value: Reading
    unit: str = ""


class Probe(Protocol[P]):
    """Reads one number or state from one trial."""

    kind: ClassVar[str]
    summary: ClassVar[str]
    params_type: ClassVar[type[ProbeParams]]
    oracle: ClassVar[bool]  # True: measured on the sealed set; False: a signal its owners would really have

    def measure(self, trial: Trial, params: P) -> Measurement:
        """Read it; raises ProbeError when it cannot be measured (absent, unreadable, timed out)."""


Better = Literal["higher", "lower"]


class PairQuestion(Value):
    """What is asked of a pair: the margin, the one-sided error rate, and where the target keeps its predictions."""

    tolerance: NonInferiority
    alpha: float = Field(gt=0, lt=0.5)
    predictions: Predictions | None = Field(None, description="`reads.predictions` of the target.")


class PairProbe(Protocol[P]):
    """Compares the control and the treatment trial of one seed, row by row: about these two models (unit `row`)."""

    kind: ClassVar[str]
    summary: ClassVar[str]
    params_type: ClassVar[type[ProbeParams]]

    def better(self, params: P) -> Better | None:
        """Which direction is good by the metric's nature, so that a file that says otherwise can be refused; None
        where it may be either."""

    def compare(self, control: Trial, treatment: Trial, params: P, question: PairQuestion) -> PairMeasured:
        """Compare them on the rows of the sealed set; raises ProbeError when that cannot be done.  No row is kept."""
