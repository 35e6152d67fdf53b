"""One gate test from beginning to end: screen, smallest escapes, a random sample for the score, then proposals."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from chaos_tasks.gates import tables
from chaos_tasks.gates.harming import HarmRule, screen_miss
from chaos_tasks.gates.mutants import families, strata
from chaos_tasks.gates.proposing import Proposal, propose
from chaos_tasks.gates.search import BudgetSpentError, Search
from chaos_tasks.gates.tables import Tables
from chaos_tasks.gates.values import Escape, Family, GateReport, Mutant, Share, Tried
from chaos_tasks.gates.workbench import Workbench
from chaos_tasks.stats.reliability import share_interval

if TYPE_CHECKING:
    import numpy as np

SCREEN_SHARE, SEARCH_SHARE = 0.6, 0.8
"""Of the budget: after so much the screen, and the search for the smallest, begin no mutant any more."""
SAMPLE = 60
EARLIER = 6
"""Earlier versions that limits are learnt from as well."""
POPULATION = (
    "strata (kind, file, column, grouping column) in which the corruption of most rows at the largest possible "
    "intensity was shown to harm, each alike; in it a family at random, its intensity uniform, its seed new"
)


def run_gate_test(
    bench: Workbench,
    rule: HarmRule,
    *,
    rng: np.random.Generator,
    budget: int,
    only: Callable[[Family], bool] = lambda family: True,
    samples: int = SAMPLE,
    tell: Callable[[Tried], None] = lambda tried: None,
) -> GateReport:
    """Search and score within a budget of trainings; ``only`` narrows the families down."""
    every, left_out = families(bench.profiles(), versions=len(bench.versions()))
    found = [family for family in every if only(family)]
    before = bench.cost()
    search = Search(bench, rule, rng, before.trainings + budget, tell)
    search.begin_until = before.trainings + round(budget * SCREEN_SHARE)
    harmful = search.screen(found)
    search.begin_until = before.trainings + round(budget * SEARCH_SHARE)
    escapes = _smallest(search, harmful)
    search.begin_until = None
    sampled = search.sample(harmful, found, samples)
    escapes.extend(search.met_by_chance(escapes))
    return GateReport(
        target=bench.target.name,
        commit=bench.version.commit,
        data_digest=bench.version.data_digest,
        gates=tuple(step.name for step in bench.gates),
        harms=rule.harms,
        alpha=rule.alpha,
        cap=rule.cap,
        screen=rule.screen,
        screen_miss=screen_miss(rule, [pairs for pairs in search.pairs.values() if len(pairs) > 1]),
        families=len(found),
        strata=len(strata(found)),
        left_out=left_out,
        unsearched=search.unsearched,
        tried=tuple(search.tried.values()),
        escapes=tuple(sorted(escapes, key=lambda one: (one.mutant.family.stratum, one.mutant.intensity))),
        score=score(sampled, rule.alpha),
        population=POPULATION,
        cost=bench.cost().less(before),
    )


def score(sampled: Sequence[Tried], alpha: float) -> Share | None:
    """Killed among killed and escaped, with its exact interval; None where nothing harmful was drawn."""
    killed, escaped = sum(one.killed for one in sampled), sum(one.escaped for one in sampled)
    interval = share_interval(killed, killed + escaped, alpha=alpha)
    return None if interval is None else Share.of(interval)


def propose_checks(bench: Workbench, escaped: Sequence[Mutant], *, rng: np.random.Generator) -> Proposal:
    """From the clean versions up to this one and the tables of the escapes."""
    form = bench.target.source.format
    latest = tables.read(bench.tables(None), form)
    made = [tables.read(bench.tables(mutant), form) for mutant in escaped]
    return propose(latest, earlier(bench, latest), made, rng=rng)


def earlier(bench: Workbench, latest: Tables) -> list[Tables]:
    """Tables of the versions before this one that have the same tables; the latest few."""
    form = bench.target.source.format
    found = [tables.read(bench.tables_at(commit), form) for commit in bench.versions()[1 : 1 + EARLIER]]
    return [one for one in found if one.keys() == latest.keys()]


def _smallest(search: Search, harmful: Sequence[Family]) -> list[Escape]:
    escapes = []
    for family in harmful:
        try:
            if (escape := search.smallest(family)) is not None:
                escapes.append(escape)
        except BudgetSpentError:
            break
    return escapes
