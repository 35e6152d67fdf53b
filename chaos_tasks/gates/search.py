"""The search: which strata harm at all, where the gate stops refusing, and the smallest harm that still passes.

Harm and refusal are taken to grow with intensity (the data faults change a superset of the rows at a larger one).  So
each family is asked first at its largest intensity that is possible; only where that harms is the gate's border found,
by bisection, and below it the smallest harm.  What is reported as an escape was itself shown to pass and to harm.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from chaos_tasks.gates.harming import HarmRule
from chaos_tasks.gates.mutants import draw_intensity, strata
from chaos_tasks.gates.values import Escape, Family, HarmState, Mutant, Passing, Tried
from chaos_tasks.gates.workbench import Bench, Worsening

if TYPE_CHECKING:
    import numpy as np

RATIO = 1.6
"""Bisection ends when the two ends are within this factor: a border is known to about a quarter either way."""

CRASHES = 4
"""So often a smaller intensity is tried after the workload crashed on one."""

Purpose = Literal["screen", "search", "sample"]


class BudgetSpentError(Exception):
    """No training may be started any more; what is known so far stands."""


@dataclass
class Search:
    """Tries mutants on a bench, remembers what became of each, and never asks twice."""

    bench: Bench
    rule: HarmRule
    rng: np.random.Generator
    budget: int  # trainings, controls among them; none is started beyond it
    tell: Callable[[Tried], None] = lambda tried: None
    tried: dict[str, Tried] = field(default_factory=dict)
    pairs: dict[str, list[Worsening]] = field(default_factory=dict)
    unsearched: int = 0
    begin_until: int | None = None  # trainings after which no new mutant is begun; one that was begun is decided

    def screen(self, found: Sequence[Family]) -> list[Family]:
        """Of each stratum a family that reaches most rows, at its largest possible intensity: those that harm."""
        harmful = []
        todo = list(strata(found).values())
        order = self.rng.permutation(len(todo))
        for place, index in enumerate(order):
            members = [one for one in todo[index] if one.rows == max(other.rows for other in todo[index])]
            family = members[int(self.rng.integers(len(members)))]
            try:
                if self._largest_possible(family) is not None:
                    harmful.append(family)
            except BudgetSpentError:
                self.unsearched += len(order) - place
                break
        return harmful

    def smallest(self, family: Family) -> Escape | None:
        """The smallest mutant of a harmful family that passes and is shown to harm; None where none is."""
        seed = seed_of(family)
        highest = self._border(family, seed)
        if highest is None:
            return None
        if self.decide(highest, "search").harm is not HarmState.HARMFUL:
            return None
        harmful, not_shown = highest.intensity, 0.0
        while (intensity := next_between(family, not_shown, harmful)) is not None:
            one = self.ask(Mutant(family=family, intensity=intensity, seed=seed), "search")
            if one.passing is Passing.PASSED and self.decide(one.mutant, "search").harm is HarmState.HARMFUL:
                harmful = intensity
            else:
                not_shown = intensity
        return self._escape(Mutant(family=family, intensity=harmful, seed=seed), not_shown)

    def sample(self, harmful: Sequence[Family], everything: Sequence[Family], count: int) -> list[Tried]:
        """Mutants at random: stratum among the harmful ones, family in it, intensity and seed; ends with the budget."""
        members = strata(everything)
        names = sorted({family.stratum for family in harmful})
        found: list[Tried] = []
        for _ in range(count if names else 0):
            chosen = members[names[int(self.rng.integers(len(names)))]]
            family = chosen[int(self.rng.integers(len(chosen)))]
            mutant = Mutant(family=family, intensity=draw_intensity(family, self.rng), seed=self._new_seed())
            try:
                self.ask(mutant, "sample")
                found.append(self.decide(mutant, "sample"))
            except BudgetSpentError:
                break
        return found

    def met_by_chance(self, known: Sequence[Escape]) -> list[Escape]:
        """The smallest escape met in each family that has none among ``known``: its search may have had no budget."""
        searched = {key_of_family(one.mutant.family) for one in known}
        smallest: dict[str, Mutant] = {}
        for one in sorted(self.tried.values(), key=lambda one: one.mutant.intensity):
            if one.escaped and key_of_family(one.mutant.family) not in searched:
                smallest.setdefault(key_of_family(one.mutant.family), one.mutant)
        return [self._escape(mutant, self._not_shown_below(mutant)) for mutant in smallest.values()]

    # --- one family -----------------------------------------------------------------------------------------------

    def _largest_possible(self, family: Family) -> Mutant | None:
        """The mutant at the largest intensity that a training is possible on, if it harms."""
        mutant = Mutant(family=family, intensity=family.top, seed=seed_of(family))
        top = self.ask(mutant, "screen")
        if top.passing is Passing.EQUIVALENT:
            return None
        if top.passing is Passing.INVALID:
            possible = self._border(family, mutant.seed)
            if possible is None:
                return None
            mutant = possible
        tried = self.decide(mutant, "screen")
        for _ in range(CRASHES):
            lower = self._border(family, mutant.seed) if tried.harm is HarmState.CRASHED else None
            if lower is None:
                break
            tried = self.decide(lower, "screen")
        return tried.mutant if tried.harm is HarmState.HARMFUL else None

    def _border(self, family: Family, seed: int) -> Mutant | None:
        """The mutant at the largest intensity that passes the gate, to within RATIO; None when none was found."""
        same = self._of(family, seed)
        stopped = [one for one in same if _is_noticed(one)]
        passed = [one for one in same if one.passing is Passing.PASSED and not _is_noticed(one)]
        passes = max((one.mutant.intensity for one in passed), default=0.0)
        if passes == family.top:
            return Mutant(family=family, intensity=passes, seed=seed)
        refused = min((one.mutant.intensity for one in stopped), default=math.inf)
        if refused == math.inf:
            top = self.ask(Mutant(family=family, intensity=family.top, seed=seed), "search")
            if top.passing in (Passing.PASSED, Passing.EQUIVALENT):
                return top.mutant
            refused = family.top
        while (intensity := next_between(family, passes, refused)) is not None:
            one = self.ask(Mutant(family=family, intensity=intensity, seed=seed), "search")
            if one.passing in (Passing.PASSED, Passing.EQUIVALENT):
                passes = intensity
            else:
                refused = intensity
        return Mutant(family=family, intensity=passes, seed=seed) if passes else None

    def _not_shown_below(self, mutant: Mutant) -> float:
        same = (one for one in self._of(mutant.family, mutant.seed) if one.harm is not HarmState.HARMFUL)
        return max((one.mutant.intensity for one in same if one.mutant.intensity < mutant.intensity), default=0.0)

    def _escape(self, mutant: Mutant, not_shown: float) -> Escape:
        same = self._of(mutant.family, mutant.seed)
        passed = [one.mutant.intensity for one in same if one.passing is Passing.PASSED]
        refused = [one.mutant.intensity for one in same if one.passing is Passing.REFUSED]
        measured = self.tried[key(mutant)].measured
        worst = max(measured, key=lambda one: one.worsening / one.margin, default=None)
        return Escape(
            mutant=mutant,
            worsening=worst.worsening if worst else math.nan,
            harm=worst.harm if worst else self.rule.harms[0].name,
            not_shown_below=not_shown,
            passes_up_to=max(passed),
            refused_from=min(refused, default=None),
        )

    def _of(self, family: Family, seed: int) -> list[Tried]:
        return [one for one in self.tried.values() if one.mutant.family == family and one.mutant.seed == seed]

    def _new_seed(self) -> int:
        return int(self.rng.integers(1, 2**31))

    # --- one mutant -----------------------------------------------------------------------------------------------

    def ask(self, mutant: Mutant, purpose: Purpose) -> Tried:
        """What the gate says."""
        if key(mutant) not in self.tried:
            passage = self.bench.passage(mutant)
            harmless = passage.passing is Passing.EQUIVALENT
            self._note(
                Tried(
                    mutant=mutant,
                    passing=passage.passing,
                    stopped_by=passage.stopped_by,
                    harm=HarmState.HARMLESS if harmless else HarmState.UNASKED,
                    purpose=purpose,
                )
            )
        return self.tried[key(mutant)]

    def decide(self, mutant: Mutant, purpose: Purpose) -> Tried:
        """Pairs until decided; raises BudgetSpentError when not even the first can be had."""
        known = self.ask(mutant, purpose)
        if known.passing in (Passing.INVALID, Passing.EQUIVALENT) or known.harm is not HarmState.UNASKED:
            return known
        seen = self.pairs.setdefault(key(mutant), [])
        state, screened = self.rule.judge(seen)
        while self.rule.goes_on(seen):
            if not seen and self._spent(self.begin_until):
                raise BudgetSpentError
            if self._spent(self.budget):
                break
            pair = self.bench.pair(mutant, len(seen))
            if pair is None:
                state = HarmState.CRASHED
                break
            seen.append(pair)
            state, screened = self.rule.judge(seen)
        self._note(
            known.model_copy(
                update={
                    "harm": state,
                    "screened": screened,
                    "pairs": len(seen),
                    "measured": self.rule.measured(seen) if seen else (),
                }
            )
        )
        return self.tried[key(mutant)]

    def _spent(self, until: int | None) -> bool:
        return self.bench.cost().trainings >= (self.budget if until is None else min(until, self.budget))

    def _note(self, tried: Tried) -> None:
        self.tried[key(tried.mutant)] = tried
        self.tell(tried)


def seed_of(family: Family) -> int:
    """The seed of a family's mutants in screen and search: they are nested, and the same in every search."""
    return int(family.content_sha256[:7], 16) + 1


def key_of_family(family: Family) -> str:
    """A family's name among others."""
    return family.content_sha256


def key(mutant: Mutant) -> str:
    """A mutant's name among others: its parameters are a mapping, which cannot be hashed."""
    return mutant.content_sha256


def _is_noticed(tried: Tried) -> bool:
    """Whether something stopped: a step before the gate, the gate, or the workload itself."""
    return tried.passing in (Passing.REFUSED, Passing.INVALID) or tried.harm is HarmState.CRASHED


def next_between(family: Family, low: float, high: float) -> float | None:
    """Which intensity to ask next to narrow a bracket; None when it is narrow enough.

    ``low``: the largest of one side, 0 where nothing is known of it; ``high``: the smallest of the other side.  The
    steps are geometric, never below the family's floor.
    """
    if not family.graded or not math.isfinite(high) or high <= family.floor:
        return None
    if family.whole:
        bottom = max(low, family.floor - 1)
        return float((bottom + high) // 2) if high - bottom > 1 else None
    if low == 0:
        return family.floor if high / family.floor <= RATIO else math.sqrt(family.floor * high)
    return math.sqrt(low * high) if high / low > RATIO else None
