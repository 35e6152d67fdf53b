"""Records are lost.

In real life: a producer with acks=0, a full buffer, a retention that cuts in before a slow consumer, a bad filter.
"""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from chaos_tasks.faults.base import FaultParams
from chaos_tasks.faults.stream.relayed import RelayedFault
from chaos_tasks.model.handle import Handle
from chaos_tasks.model.place import Place
from chaos_tasks.targets.stream import RelayFault


class DropParams(FaultParams):
    """Which records are lost."""

    intensity_field: ClassVar[str | None] = "fraction"

    fraction: float = Field(gt=0, le=1, description="Share of the records that are lost.")


class Drop(RelayedFault[DropParams]):
    """Lets selected records vanish in the relay."""

    kind: ClassVar[str] = "stream.drop"
    summary: ClassVar[str] = "A share of the records of a stream is lost."
    cause: ClassVar[str] = "Unacknowledged writes, a full buffer, retention shorter than a consumer lags, a bad filter."
    params_type: ClassVar[type[FaultParams]] = DropParams

    def order(self, handle: Handle, params: DropParams) -> RelayFault:
        """What the relay shall do."""
        return RelayFault(handle=handle.id, seed=handle.seed, action="drop", fraction=params.fraction)

    def blast_radius(self, place: Place, params: DropParams) -> float:
        """The share that is lost."""
        return params.fraction
