"""Records arrive late.

In real life: a slow broker, a consumer group that rebalances, a saturated link, a mobile client that was offline.
"""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from chaos_tasks.faults.base import FaultParams
from chaos_tasks.faults.stream.relayed import RelayedFault
from chaos_tasks.model.handle import Handle
from chaos_tasks.model.place import Place
from chaos_tasks.targets.stream import RelayFault


class DelayParams(FaultParams):
    """Which records are late, and by how much."""

    intensity_field: ClassVar[str | None] = "delay_ms"

    delay_ms: float = Field(gt=0, le=3_600_000, description="How late a selected record is, in milliseconds.")
    fraction: float = Field(1.0, gt=0, le=1, description="Share of the records that are selected.")
    jitter_ms: float = Field(0, ge=0, le=3_600_000, description="Up to this much later still, drawn per record, in ms.")
    reorder: bool = Field(
        False, description="True: others overtake a late record.  False: it holds back those behind it, as TCP does."
    )


class Delay(RelayedFault[DelayParams]):
    """Holds selected records back in the relay."""

    kind: ClassVar[str] = "stream.delay"
    summary: ClassVar[str] = "A share of the records of a stream arrives late, in order or overtaken."
    cause: ClassVar[str] = "Slow broker, rebalancing consumers, saturated link, or a producer that was offline."
    params_type: ClassVar[type[FaultParams]] = DelayParams

    def order(self, handle: Handle, params: DelayParams) -> RelayFault:
        """What the relay shall do."""
        return RelayFault(
            handle=handle.id,
            seed=handle.seed,
            action="delay",
            fraction=params.fraction,
            delay_ms=params.delay_ms,
            jitter_ms=params.jitter_ms,
            reorder=params.reorder,
        )

    def blast_radius(self, place: Place, params: DelayParams) -> float:
        """Without reordering, a late record holds back all behind it."""
        return params.fraction if params.reorder else 1.0
