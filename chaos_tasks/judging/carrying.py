"""Experiments that span nights: which undecided runs of earlier nights a run goes on from.

Evidence that is valid at every number of pairs may be looked at each night and gathered on: a false answer in any one
night's chain of runs has probability alpha at most (Ville's inequality), whenever it stops.  What is carried over is
decided by the plans and by outcomes of whole runs, never by which pairs looked good.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from chaos_tasks.model.plan import Plan
from chaos_tasks.model.verdict import Outcome, Reason, Verdict

LACK_OF_EVIDENCE = frozenset({Reason.INTERVAL_TOO_WIDE, Reason.TOO_FEW_TRIALS})
"""Reasons of an `inconclusive` that more pairs mend.  Any other says that something was wrong with the run."""


@dataclass(frozen=True)
class Earlier:
    """A judged run."""

    plan: Plan
    verdict: Verdict


def carried_over(plan: Plan, judged: Iterable[Earlier]) -> tuple[str, ...]:
    """Ids of the runs whose pairs count too, the oldest first; none unless the experiment spans nights.

    They ask the same question of the same code and data, under seeds of their own, since the last run that decided it,
    and come from the last ``nights - 1`` nights on which there were any.
    """
    others = plan.experiment.analysis.nights - 1
    taken: list[Plan] = []
    nights: set[str] = set()
    for earlier in _newest_first(plan, judged):
        if earlier.verdict.outcome in (Outcome.HELD, Outcome.DEVIATED):
            break
        night = earlier.plan.planned_at.date().isoformat()
        if not _is_undecided(earlier.verdict) or not _is_disjoint(earlier.plan, [plan, *taken]):
            continue
        if night not in nights and len(nights) >= others:
            break
        nights.add(night)
        taken.append(earlier.plan)
    return tuple(one.run_id for one in reversed(taken))


def _newest_first(plan: Plan, judged: Iterable[Earlier]) -> list[Earlier]:
    if plan.experiment.analysis.nights == 1:
        return []
    same = [one for one in judged if _asks_the_same(one.plan, plan) and one.plan.planned_at < plan.planned_at]
    return sorted(same, key=lambda one: one.plan.planned_at, reverse=True)


def _asks_the_same(one: Plan, other: Plan) -> bool:
    return _question(one) == _question(other) and one.run_id != other.run_id


def _question(plan: Plan) -> tuple[str, ...]:
    question = (plan.experiment_digest, plan.target_digest, plan.environment)
    return (*question, plan.source_commit, plan.data_digest, plan.packages)


def _is_undecided(verdict: Verdict) -> bool:
    return verdict.outcome is Outcome.INCONCLUSIVE and LACK_OF_EVIDENCE.issuperset(verdict.reasons)


def _is_disjoint(plan: Plan, others: Sequence[Plan]) -> bool:
    """A seed that is there already adds nothing: the same key again is the same evidence again."""
    return not any(set(plan.seeds) & set(other.seeds) for other in others)
