"""Whether a mutant harms: pairs of trainings, one after another, until the evidence decides or the cap is reached."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from chaos_tasks.gates.values import Harm, HarmState, Measured
from chaos_tasks.gates.workbench import Worsening
from chaos_tasks.stats.evidence import Decision
from chaos_tasks.stats.seed_evidence import seed_evidence

NEAR = 2.0


@dataclass(frozen=True)
class HarmRule:
    """Measures of harm, error rate, most pairs, and the screen.

    Harmful when one measure is shown to be worse by more than its margin (each at alpha over their number); harmless
    when all are shown to be worse by less (each at alpha, an intersection-union test).  ``screen``: a first pair below
    this share of every margin ends the question as harmless; ``screen_miss`` says how often that errs.  After
    ``patience`` pairs whose means all lie below the margins, it is left open: harm is what is searched for, and
    stopping early to say "unknown" makes no error of either kind more likely.
    """

    harms: tuple[Harm, ...]
    alpha: float = 0.05
    cap: int = 6
    screen: float = 0.4
    patience: int = 3

    def judge(self, pairs: Sequence[Worsening]) -> tuple[HarmState, bool]:
        """What the pairs so far say, and whether the screen said it; UNKNOWN as long as neither is shown."""
        if not pairs:
            return HarmState.UNKNOWN, False
        columns = list(zip(*pairs, strict=True))
        if any(not math.isfinite(value) for column in columns for value in column):
            return HarmState.HARMFUL, False  # a model that returns NaN is a measured failure
        passed = []
        for harm, column in zip(self.harms, columns, strict=True):
            strict = seed_evidence(column, harm.margin, alpha=self.alpha / len(self.harms))
            if strict is not None and strict.decision() is Decision.FAIL:
                return HarmState.HARMFUL, False
            loose = seed_evidence(column, harm.margin, alpha=self.alpha)
            passed.append(loose is not None and loose.decision() is Decision.PASS)
        if all(passed):
            return HarmState.HARMLESS, False
        if len(pairs) == 1 and self._far_below(pairs[0]):
            return HarmState.HARMLESS, True
        return HarmState.UNKNOWN, False

    def goes_on(self, pairs: Sequence[Worsening]) -> bool:
        """Whether another pair may still show harm."""
        if len(pairs) >= self.cap or self.judge(pairs)[0] is not HarmState.UNKNOWN:
            return False
        means = [math.fsum(column) / len(column) for column in zip(*pairs, strict=True)]
        below = all(mean < harm.margin for mean, harm in zip(means, self.harms, strict=False))
        return len(pairs) < self.patience or not below

    def measured(self, pairs: Sequence[Worsening]) -> tuple[Measured, ...]:
        """Estimates for the report; empty where a number is not finite."""
        found = []
        for harm, column in zip(self.harms, zip(*pairs, strict=True), strict=False):
            evidence = seed_evidence(column, harm.margin, alpha=self.alpha)
            if evidence is not None:
                found.append(
                    Measured(
                        harm=harm.name,
                        margin=harm.margin,
                        worsening=evidence.estimate,
                        low=evidence.low,
                        high=evidence.high,
                        level=1 - 2 * self.alpha,
                        pairs=evidence.n,
                        method=evidence.method,
                    )
                )
        return tuple(found)

    def _far_below(self, pair: Worsening) -> bool:
        return all(worse <= self.screen * harm.margin for worse, harm in zip(pair, self.harms, strict=True))


def screen_miss(rule: HarmRule, several: Sequence[Sequence[Worsening]]) -> float | None:
    """Chance that the screen calls a mutant harmless that is worse by exactly the margin; None without any spread.

    The spread of single pairs is pooled within mutants that have two or more and whose mean is within NEAR margins
    (spread grows with harm), taken as normal; with several measures of harm, the largest chance of them.
    """
    from scipy.special import ndtr

    chances = []
    for index, harm in enumerate(rule.harms):
        groups = [[pair[index] for pair in pairs] for pairs in several]
        near = [group for group in groups if abs(math.fsum(group)) <= NEAR * harm.margin * len(group)]
        spread = _pooled(near or groups)
        if spread is not None:
            below = (1 - rule.screen) * harm.margin
            chances.append(float(ndtr(-below / spread)) if spread > 0 else 0.0)
    return max(chances, default=None)


def _pooled(groups: Sequence[Sequence[float]]) -> float | None:
    """Standard deviation within groups; None where no group has two finite numbers."""
    squares, degrees = 0.0, 0
    for group in groups:
        if len(group) > 1 and all(map(math.isfinite, group)):
            mean = math.fsum(group) / len(group)
            squares += math.fsum((value - mean) ** 2 for value in group)
            degrees += len(group) - 1
    return math.sqrt(squares / degrees) if degrees else None
