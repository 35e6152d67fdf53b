"""How much may be hurt at most: for everything, for an environment, for a target."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import time
from typing import Self

from pydantic import Field, model_validator

from chaos_tasks.model.base import Value
from chaos_tasks.model.calendar import WallTime, Zone
from chaos_tasks.model.experiment import Risk


class Limits(Value):
    """Limits of one scope; what is left out is not limited there."""

    share: float | None = Field(
        None, gt=0, le=1, description="Largest share of rows, objects or keys that a step may touch."
    )
    experiments_per_night: int | None = Field(None, ge=0, description="Runs that inject anything, in one night.")
    injected_minutes_per_night: float | None = Field(
        None, ge=0, description="Minutes of one night in which any fault is in; once they are used up all come out."
    )
    hurt_at_once: int | None = Field(None, ge=1, description="Targets that are held by runs at the same time.")
    max_risk: Risk | None = Field(None, description="Highest class of risk (docs/safety.md) of a step.")


class BlastLimits(Limits):
    """The limits of squall.toml; the narrowest of those that apply counts."""

    night_begins: WallTime = Field(time(12), description="Wall time at which a night's counting begins.")
    zone: Zone = "UTC"
    environments: Mapping[str, Limits] = Field(default_factory=dict)
    targets: Mapping[str, Limits] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _counts_targets_where_there_are_several(self) -> Self:
        if any(one.hurt_at_once is not None for one in self.targets.values()):
            raise ValueError("hurt_at_once counts targets: leave it out of [limits.targets]")
        return self

    def scopes(self, environment: str, target: str) -> tuple[tuple[str, Limits], ...]:
        """What applies to a target, each with a name for records and people."""
        found: list[tuple[str, Limits]] = [("everything", self)]
        if environment in self.environments:
            found.append((f"environment {environment}", self.environments[environment]))
        if target in self.targets:
            found.append((f"target {target}", self.targets[target]))
        return tuple(found)
