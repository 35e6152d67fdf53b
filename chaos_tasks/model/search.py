"""A search: several whole runs of one experiment, each asked for by what the earlier ones answered."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from chaos_tasks.model.base import Value
from chaos_tasks.model.verdict import Outcome


class SearchKind(StrEnum):
    """What is searched for."""

    RAMP = "ramp"  # the intensity at which the target no longer holds
    SHRINK = "shrink"  # the smallest experiment that still deviates
    REPRO = "repro"  # whether the same run comes out the same


class Answer(StrEnum):
    """What one run says about what it was asked."""

    HELD = "held"  # harmless: the checks held on what was shipped
    REFUSED = "refused"  # held because the target's own gate refused it: says nothing about smaller intensities
    DEVIATED = "deviated"
    UNDECIDED = "undecided"


class SearchRun(Value):
    """One run of a search."""

    run_id: str
    asked: str = Field(description="What this run was to show, e.g. `fraction 0.1`.")
    level: float | None = Field(None, description="Of a ramp: the intensity.")
    answer: Answer
    outcome: Outcome
    seeds: int = Field(0, ge=0, description="Paired trials at most.")
    trials: int = Field(0, ge=0, description="Trials that ran, controls and recoveries included.")
    reused: int = Field(0, ge=0, description="Control trials whose observations came from the ledger.")


class BreakingPoint(Value):
    """Where a target stops holding: above ``held_at``, at or below ``broke_at``, in the fault's own unit.

    Taken for granted: what holds at one intensity holds at every smaller one, unless the gate refused it there.
    """

    held_at: float | None = Field(None, description="Highest level that held harmlessly; None when none did.")
    broke_at: float | None = Field(None, description="Lowest level that deviated; None when none did.")
    refused_at: float | None = Field(None, description="Lowest level that the target's own gate refused.")
    undecided: tuple[float, ...] = Field((), description="Levels within the interval that stayed undecided.")
    complete: bool = Field(description="Whether no level is left between the two ends.")
    monotone: bool = Field(True, description="False when a level held above one that deviated.")
    leaky: bool = Field(False, description="Whether a level came through above one that the gate refused.")
    confidence: float = Field(gt=0, lt=1, description="That both ends are right at once, at least.")
    level_alpha: float = Field(gt=0, lt=1, description="Error rate at which each check of each level was judged.")


class Difference(Value):
    """One thing that came out otherwise when a run was repeated."""

    what: str
    before: str
    after: str
