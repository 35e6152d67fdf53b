"""What gate testing speaks about: families of corruptions, one mutant, what became of it, and the whole report."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Literal

from pydantic import Field, JsonValue

from chaos_tasks.model.base import Value
from chaos_tasks.stats.interval import Interval


class Harm(Value):
    """What counts as harm: a metric of the workload that gets worse by more than a margin, in its own unit."""

    metric: str
    slice: str = Field("", description="A slice of the metrics file, e.g. carrier=EV; empty for the whole set.")
    margin: float = Field(gt=0)
    better: Literal["higher", "lower"] = "higher"

    @property
    def name(self) -> str:
        """As people say it."""
        return f"{self.metric} of {self.slice}" if self.slice else self.metric


class Family(Value):
    """One corruption at any intensity: kind, file, columns and parameters; its intensity lies within [floor, top]."""

    kind: str
    path: str
    columns: tuple[str, ...] = Field(description="Columns that are changed; empty where rows or the file are.")
    params: Mapping[str, JsonValue] = Field(description="Parameters of the fault but for its intensity.")
    group: str = Field("", description="Column whose value chooses the rows, where only a group is hit.")
    floor: float = Field(0.02, gt=0, description="Smallest intensity that is tried.")
    top: float = Field(1.0, gt=0, description="Largest intensity that is tried.")
    rows: float = Field(1.0, gt=0, le=1, description="Largest share of the rows that it can reach.")
    graded: bool = Field(True, description="False for a kind without intensity: it is in or not.")
    whole: bool = Field(False, description="Intensities are whole numbers.")

    @property
    def stratum(self) -> str:
        """Kind, file, columns and what chooses the rows: mutants of one stratum resemble each other."""
        return " ".join((self.kind, self.path, ",".join(self.columns), *((f"by {self.group}",) if self.group else ())))

    @property
    def name(self) -> str:
        """One line for people; names of columns and values of groups, never rows."""
        told = {name: value for name, value in self.params.items() if name not in ("path", "column", "columns")}
        more = " ".join(f"{name}={_plain(value)}" for name, value in told.items())
        return " ".join(part for part in (self.kind, ",".join(self.columns), more, f"({self.path})") if part)


class Mutant(Value):
    """One corruption: a family, an intensity, and the seed of its random draw."""

    family: Family
    intensity: float
    seed: int


class Passing(StrEnum):
    """How far a mutant came."""

    EQUIVALENT = "equivalent"  # what the workload reads is the same, byte for byte
    INVALID = "invalid"  # a step before or beside the gate failed: nobody needs a gate to notice
    REFUSED = "refused"
    PASSED = "passed"


class HarmState(StrEnum):
    """What is known about a mutant's harm."""

    HARMFUL = "harmful"  # shown: worse by more than the margin
    HARMLESS = "harmless"  # shown, or screened out by one pair (see GateReport.screen_miss)
    UNKNOWN = "unknown"  # neither is shown within the cap of pairs, or the budget ended
    CRASHED = "crashed"  # the workload itself ended with an error: noticed without a gate
    UNASKED = "unasked"


class Measured(Value):
    """One measure of harm: mean worsening over the pairs of trainings, with its confidence sequence."""

    harm: str
    margin: float
    worsening: float = Field(description="Mean over pairs; positive is worse.")
    low: float
    high: float
    level: float
    pairs: int
    method: str


class Tried(Value):
    """What became of one mutant."""

    mutant: Mutant
    passing: Passing
    stopped_by: str = Field("", description="Name of the step that refused or failed.")
    harm: HarmState = HarmState.UNASKED
    pairs: int = Field(0, description="Trainings on the mutant's data, each paired with a control of the same seed.")
    screened: bool = Field(False, description="Called harmless after one pair, far below the margin.")
    measured: tuple[Measured, ...] = ()
    purpose: Literal["screen", "search", "sample"] = "search"

    @property
    def escaped(self) -> bool:
        """Harmful, and the gate let it through."""
        return self.harm is HarmState.HARMFUL and self.passing is Passing.PASSED

    @property
    def killed(self) -> bool:
        """Harmful, and the gate refused it."""
        return self.harm is HarmState.HARMFUL and self.passing is Passing.REFUSED


class Escape(Value):
    """The smallest corruption of one family that was shown to harm and passed the gate."""

    mutant: Mutant
    worsening: float
    harm: str
    not_shown_below: float = Field(
        description="Largest smaller intensity tried that was not shown to harm, 0 for none: harm begins in between."
    )
    passes_up_to: float = Field(description="Largest intensity tried that passed the gate.")
    refused_from: float | None = Field(None, description="Smallest intensity tried that was refused; None if none.")


class Share(Value):
    """A share (0..1) with its exact interval."""

    estimate: float
    low: float
    high: float
    level: float
    n: int
    method: str

    @classmethod
    def of(cls, interval: Interval) -> Share:
        """From the interval of the same share."""
        return cls(
            estimate=interval.estimate,
            low=interval.low,
            high=interval.high,
            level=interval.level,
            n=interval.n,
            method=interval.method,
        )


class Cost(Value):
    """What a search used."""

    trainings: int = Field(description="Of controls and mutants.")
    controls: int
    gate_runs: int
    preparations: int
    seconds: float

    def less(self, before: Cost) -> Cost:
        """What was used since."""
        return Cost(
            trainings=self.trainings - before.trainings,
            controls=self.controls - before.controls,
            gate_runs=self.gate_runs - before.gate_runs,
            preparations=self.preparations - before.preparations,
            seconds=self.seconds - before.seconds,
        )


class GateReport(Value):
    """What is known about a gate after a search."""

    target: str
    commit: str
    data_digest: str
    gates: tuple[str, ...] = Field(description="Set-up steps that are gates.")
    harms: tuple[Harm, ...]
    alpha: float
    cap: int = Field(description="Most pairs of trainings per mutant.")
    screen: float = Field(description="One pair below this share of every margin is called harmless.")
    screen_miss: float | None = Field(
        description="Chance (0..1) that the screen calls a mutant harmless whose true worsening is exactly the margin, "
        "from the spread within mutants with more pairs; None where that is not known."
    )
    families: int
    strata: int
    left_out: Mapping[str, str] = Field(description="Kinds that were not searched, and why.")
    unsearched: int = Field(description="Strata for which the budget did not suffice.")
    tried: tuple[Tried, ...]
    escapes: tuple[Escape, ...]
    score: Share | None = Field(description="Killed among harmful, over the random sample alone; None without harm.")
    population: str = Field(description="What the sample was drawn from, in words.")
    cost: Cost

    def count(self, passing: Passing | None = None, harm: HarmState | None = None) -> int:
        """Mutants with this passing and this harm."""
        return sum(
            (passing is None or one.passing is passing) and (harm is None or one.harm is harm) for one in self.tried
        )


def _plain(value: JsonValue) -> str:
    if isinstance(value, dict):
        return ",".join(f"{name}={one}" for name, one in value.items())
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)
