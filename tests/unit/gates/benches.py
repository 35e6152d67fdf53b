"""A bench without a pipeline: the gate refuses from one intensity on, and harm grows with intensity."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from chaos_tasks.gates.values import Cost, Family, Harm, Mutant, Passing
from chaos_tasks.gates.workbench import Passage, Worsening

AUC = Harm(metric="auc", margin=0.01)


def family(name: str = "late", **more: object) -> Family:
    told = {"kind": "data.label_flip", "path": "a.parquet", "columns": (name,), "params": {"column": name}, **more}
    return Family.model_validate(told)


@dataclass
class FakeBench:
    """Refuses from ``refused_from`` on; a pair is worse by ``slope`` times the intensity, and a little noise."""

    refused_from: float = math.inf
    slope: float = 0.1
    noise: float = 0.0
    equivalent: frozenset[str] = frozenset()
    invalid_from: float = math.inf
    crashes_from: float = math.inf
    worse: Callable[[Mutant], float] | None = None
    asked: list[Mutant] = field(default_factory=list)
    trained: list[tuple[Mutant, int]] = field(default_factory=list)

    def passage(self, mutant: Mutant) -> Passage:
        self.asked.append(mutant)
        if mutant.family.columns[0] in self.equivalent:
            return Passage(Passing.EQUIVALENT)
        if mutant.intensity >= self.invalid_from:
            return Passage(Passing.INVALID, "prepare")
        return (
            Passage(Passing.REFUSED, "validate") if mutant.intensity >= self.refused_from else Passage(Passing.PASSED)
        )

    def pair(self, mutant: Mutant, number: int) -> Worsening | None:
        self.trained.append((mutant, number))
        if mutant.intensity >= self.crashes_from:
            return None
        drawn = np.random.default_rng([mutant.seed, number]).normal(0, self.noise) if self.noise else 0.0
        return (self.slope * mutant.intensity + drawn if self.worse is None else self.worse(mutant) + drawn,)

    def cost(self) -> Cost:
        trainings = len(self.trained)
        return Cost(trainings=trainings, controls=0, gate_runs=len(self.asked), preparations=0, seconds=0.0)
