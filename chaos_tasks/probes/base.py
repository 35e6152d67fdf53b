"""The protocol of a probe: what it reads, in which unit, and when it could not."""

from __future__ import annotations

from typing import ClassVar, Protocol, TypeVar

from chaos_tasks.model.base import Reading, Value
from chaos_tasks.model.trial import Trial


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
