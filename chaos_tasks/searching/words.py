"""Sentences about searches, for a manager; the only place of searching where numbers are rounded."""

from __future__ import annotations

from collections.abc import Sequence

from chaos_tasks.judging.wording import count, percent
from chaos_tasks.model.experiment import Experiment, Step
from chaos_tasks.model.search import BreakingPoint, Difference, SearchRun
from chaos_tasks.searching.shrink import intensity_of


def breaks(point: BreakingPoint, name: str, highest: float) -> str:
    """'Breaks between fraction 0.05 and 0.1', 'Holds up to fraction 0.25, the highest level'; without a full stop."""
    if not point.monotone:
        low = f"above {name} {point.held_at:g}" if point.held_at is not None else "from the lowest level on"
        high = f", at or below {point.broke_at:g}" if point.broke_at is not None else ""
        return f"Breaks and holds again, {low}{high}"
    if point.broke_at is not None:
        if point.held_at is not None:
            return f"Breaks between {name} {point.held_at:g} and {point.broke_at:g}"
        return f"Breaks at {name} {point.broke_at:g} or below"
    if point.refused_at is not None and point.complete:
        harmless = f"is harmless up to {name} {point.held_at:g}, and " if point.held_at is not None else ""
        sentence = f"{harmless}is refused by the target's own gate from {name} {point.refused_at:g} on"
        return sentence[0].upper() + sentence[1:]
    if point.held_at == highest:
        return f"Holds up to {name} {highest:g}, the highest level"
    if point.held_at is not None:
        return f"Holds up to {name} {point.held_at:g}; above, nothing is known"
    return "No level could be decided"


def certainty(point: BreakingPoint, runs: Sequence[SearchRun]) -> str:
    """How sure it is, what is taken for granted, and what it cost."""
    if not point.monotone:
        wrong = f"or one of the verdicts is wrong (at most {percent(1 - point.confidence)})"
        return f"More of it does not always harm more, {wrong}; {cost(runs)}."
    if point.broke_at is None and point.held_at is None and point.refused_at is None:
        return f"{cost(runs)}."
    doubt = f"; undecided at {_levels(point.undecided)}" if point.undecided else ""
    leak = "; the gate let more of it through than it refused" if point.leaky else ""
    assumed = "if more of it never harms less"
    return f"{percent(point.confidence)} confidence, {assumed}{doubt}{leak}; {cost(runs)}."


def cost(runs: Sequence[SearchRun]) -> str:
    """'3 runs, 22 trainings (8 more reused)'."""
    reused = sum(run.reused for run in runs)
    ran = sum(run.trials for run in runs) - reused
    return f"{count(len(runs), 'run')}, {count(ran, 'trial')}" + (f" ({reused} more reused)" if reused else "")


def reduced(before: Experiment, after: Experiment, runs: int) -> str:
    """'0.2 on [a, b, c] -> 0.05 on [b], 5 runs.'"""
    fewer = after.analysis.seeds < before.analysis.seeds
    if before.method == after.method and not fewer:
        return f"Nothing smaller than {size(before)} deviated again, {count(runs, 'run')}."
    parts = [f"{size(before)} -> {size(after)}"] if before.method != after.method else [size(before)]
    if fewer:
        parts.append(f"{before.analysis.seeds} -> {count(after.analysis.seeds, 'seed')}")
    return f"{', '.join(parts)}, {count(runs, 'run')}."


def size(experiment: Experiment) -> str:
    """'0.2 on [a, b, c]'; of several steps, each with its name."""
    if len(experiment.method) == 1:
        return _size_of(experiment.method[0])
    return "; ".join(f"{step.name} {_size_of(step)}" for step in experiment.method)


def _size_of(step: Step) -> str:
    value = intensity_of(step)[1]
    lists = [_listed(items) for items in step.params.values() if isinstance(items, list | tuple)]
    where = step.params.get("where")
    if isinstance(where, dict):
        lists += [f"{name} {_listed(one if isinstance(one, list) else [one])}" for name, one in where.items()]
    amount = step.fault if value is None else f"{value:g}"
    return f"{amount} on {', '.join(lists)}" if lists else amount


def repeated(differences: Sequence[Difference], agrees: bool, anyway: bool) -> str:
    """Whether a repeated run agrees, and in what it differs."""
    said = "The same verdict" if agrees else "Another verdict"
    what = ", ".join(one.what for one in differences)
    numbers = "every number is the same" if not differences else f"other in {what}"
    return f"{said}; {numbers}{' (not on the version of then)' if anyway else ''}."


def _levels(levels: Sequence[float]) -> str:
    return ", ".join(f"{level:g}" for level in levels)


def _listed(items: Sequence[object]) -> str:
    return f"[{', '.join(str(item) for item in items)}]"
