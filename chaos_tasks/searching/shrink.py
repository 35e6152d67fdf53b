"""Which smaller experiment to try next; pure.

Delta debugging (Zeller, Hildebrandt: Simplifying and isolating failure-inducing input, IEEE Transactions on Software
Engineering 28, 2002) over the steps of the method and over every list among a fault's parameters, then bisection of
each fault's intensity, then fewer seeds.  Knows no fault: the registry says which parameter is the intensity, and
refuses parameters that do not fit.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeVar

from pydantic import JsonValue, ValidationError

from chaos_tasks import registry
from chaos_tasks.model.experiment import Design, Experiment, Step

FINE_ENOUGH = 0.25
"""An intensity is not narrowed further once the largest that was too little is within this share of the smallest."""

SMALL_ENOUGH = 0.01
"""Nor below this share of where it started: a hundredth that still deviates is small."""


@dataclass(frozen=True)
class Candidate:
    """A smaller experiment, and what makes it smaller."""

    experiment: Experiment
    change: str


@dataclass(frozen=True)
class Tried:
    """Whether a candidate deviated again by the same check, and after how many pairs of trials."""

    again: bool
    pairs: int = 0


Search = Generator[Candidate, Tried, Experiment]
T = TypeVar("T")


def next_candidate(start: Experiment, tried: Sequence[Tried]) -> Candidate | None:
    """What to try after these tries, in their order; None when nothing smaller is left.  Same tries, same candidate."""
    return next(iter(_played(start, tried)[len(tried) :]), None)


def smallest(start: Experiment, tried: Sequence[Tried]) -> Experiment:
    """The smallest experiment that deviated again, or the start."""
    candidates = _played(start, tried)
    found = [one.experiment for one, try_ in zip(candidates, tried, strict=False) if try_.again]
    return found[-1] if found else start


def _played(start: Experiment, tried: Sequence[Tried]) -> list[Candidate]:
    """The candidates that belong to the tries, and the one after them."""
    search, candidates = _reductions(start), []
    try:
        candidates.append(next(search))
        for one in tried:
            candidates.append(search.send(one))
    except StopIteration:
        pass
    return candidates


# --- the order in which things are left out -------------------------------------------------------------------------


def _reductions(start: Experiment) -> Search:
    """What is left out first makes the most of what comes later unnecessary."""
    found = yield from _fewer_steps(start)
    for name in [step.name for step in found.method]:
        for path in _lists_of(_step(found, name)):
            found = yield from _fewer_items(found, name, path)
    for name in [step.name for step in found.method]:
        found = yield from _lower_intensity(found, name)
    return (yield from _fewer_seeds(found))


def _fewer_steps(start: Experiment) -> Search:
    def without(names: Sequence[str]) -> Candidate:
        kept = tuple(step for step in start.method if step.name in names)
        return Candidate(start.model_copy(update={"method": kept}), f"steps {_listed(names)}")

    kept = yield from _minimal([step.name for step in start.method], without)
    return without(kept).experiment


def _fewer_items(start: Experiment, step: str, path: tuple[str, ...]) -> Search:
    def with_items(items: Sequence[JsonValue]) -> Candidate | None:
        return _with_param(start, step, path, list(items), f"{path[-1]} {_listed(items)}")

    kept = yield from _minimal(_items_at(_step(start, step).params, path), with_items)
    smaller = with_items(kept)
    return smaller.experiment if smaller is not None else start


def _minimal(
    items: Sequence[T], make: Callable[[Sequence[T]], Candidate | None]
) -> Generator[Candidate, Tried, Sequence[T]]:
    """ddmin: halves first, then what is left without a part, in ever smaller parts."""
    failed: set[tuple[T, ...]] = set()
    pieces = 2
    while len(items) > 1:
        for part, left in _subsets(items, pieces):
            candidate = make(part) if tuple(part) not in failed else None
            if candidate is not None and (yield candidate).again:
                items, pieces = part, max(left, 2)
                break
            failed.add(tuple(part))
        else:
            if pieces >= len(items):
                break
            pieces = min(len(items), 2 * pieces)
    return items


def _subsets(items: Sequence[T], pieces: int) -> Iterator[tuple[Sequence[T], int]]:
    """Each piece, then each complement; with the number of pieces to go on with where it is enough."""
    edges = [round(index * len(items) / pieces) for index in range(pieces + 1)]
    spans = list(pairwise(edges))
    for first, end in spans:
        yield items[first:end], 2
    if pieces > 2:
        for first, end in spans:
            yield [*items[:first], *items[end:]], pieces - 1


def _lower_intensity(start: Experiment, name: str) -> Search:
    """Bisection between nothing at all, which is taken to be too little, and what is known to be enough."""
    step = _step(start, name)
    field, enough = intensity_of(step)
    if field is None or enough is None:
        return start
    found, too_little = start, 0.0
    whole, small = isinstance(enough, int), SMALL_ENOUGH * enough
    while too_little < (1 - FINE_ENOUGH) * enough * (1 - 1e-9) and enough > small:
        middle = _rounded((enough + too_little) / 2, whole)
        if not too_little < middle < enough:
            break
        smaller = _with_param(found, name, (field,), middle, f"{field} {middle:g}")
        if smaller is not None and (yield smaller).again:
            found, enough = smaller.experiment, middle
        else:
            too_little = middle
    return found


def _fewer_seeds(start: Experiment) -> Search:
    """Halves as long as they tell; a sequential run then keeps as many as it needed, and could not do with fewer."""
    found, seeds = start, start.analysis.seeds
    while seeds > 1:
        fewer = (seeds + 1) // 2
        tried = yield Candidate(_with_seeds(start, fewer), f"{fewer} seeds")
        if not tried.again:
            break
        found, seeds = _with_seeds(start, fewer), fewer
        if start.analysis.design is Design.SEQUENTIAL and tried.pairs:
            needed = _with_seeds(start, tried.pairs)
            enough = tried.pairs < fewer and (yield Candidate(needed, f"{tried.pairs} seeds")).again
            return needed if enough else found
    return found


# --- experiments with one thing changed ------------------------------------------------------------------------------


def intensity_of(step: Step) -> tuple[str | None, int | float | None]:
    """Name and value of a step's intensity; None where its fault has none or it is not set."""
    params = registry.fault_params(step.fault, step.params)
    field = params.intensity_field
    value = getattr(params, field) if field else None
    return field, value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _with_param(
    experiment: Experiment, name: str, path: tuple[str, ...], value: JsonValue, change: str
) -> Candidate | None:
    """The experiment with one parameter of one step changed; None where the fault refuses it."""
    step = _step(experiment, name)
    params = dict(step.params)
    inner = params.get(path[0])
    if len(path) == 2 and isinstance(inner, dict):
        params[path[0]] = {**inner, path[1]: value}
    else:
        params[path[0]] = value
    try:
        registry.fault_params(step.fault, params)
    except ValidationError:
        return None
    changed = step.model_copy(update={"params": params})
    method = tuple(changed if one.name == name else one for one in experiment.method)
    return Candidate(experiment.model_copy(update={"method": method}), change)


def _with_seeds(experiment: Experiment, seeds: int) -> Experiment:
    fewer = experiment.analysis.model_copy(
        update={"seeds": seeds, "min_seeds": min(seeds, experiment.analysis.min_seeds)}
    )
    return experiment.model_copy(update={"analysis": fewer})


def _lists_of(step: Step) -> list[tuple[str, ...]]:
    """Where a step's parameters have a list of two or more: columns, or the values that `where` allows of a column."""
    found: list[tuple[str, ...]] = []
    for name, value in step.params.items():
        if isinstance(value, dict):
            found += [(name, key) for key in value if len(_items_at(step.params, (name, key))) > 1]
        elif len(_items_at(step.params, (name,))) > 1:
            found.append((name,))
    return found


def _items_at(params: object, path: Sequence[str]) -> list[JsonValue]:
    for key in path:
        params = params[key] if isinstance(params, dict) and key in params else None
    return list(params) if isinstance(params, list | tuple) else []


def _step(experiment: Experiment, name: str) -> Step:
    return next(step for step in experiment.method if step.name == name)


def _rounded(value: float, whole: bool) -> int | float:
    """Two digits are enough for a file that a person reads."""
    return int(value) if whole else float(f"{value:.2g}")


def _listed(items: Sequence[object]) -> str:
    return f"[{', '.join(str(item) for item in items)}]"
