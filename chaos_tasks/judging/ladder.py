"""The fidelity ladder: cheap rungs first, and how much a cheap rung may say.

To spend little on most candidates is successive halving's idea (Jamieson, Talwalkar: Non-stochastic best arm
identification, AISTATS 2016; Li et al.: Hyperband, JMLR 18, 2018).  There a wrong early stop costs a good candidate;
here it would be a wrong `held`.  So a rung may say `deviated`, about the workload as that rung runs it, or nothing.  It
may say `held` only once the whole workload was seen to agree: by an exact lower bound of the share of past runs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from chaos_tasks.model.base import JsonObject, Value
from chaos_tasks.model.experiment import Check, NonInferiority, When
from chaos_tasks.model.plan import Plan, RungTrust
from chaos_tasks.model.record import Note, RecordKind, Stored
from chaos_tasks.model.trial import Observation, PairObservation, Trial
from chaos_tasks.model.verdict import CheckResult, CheckState, Outcome, Reason
from chaos_tasks.stats.reliability import share_interval

WHOLE = ""
"""The name of the whole workload among its rungs."""

AGREEMENT = 0.9
"""Share of runs in which the whole workload has to be shown to agree before a rung's `held` may stand for it."""

ALPHA = 0.05
AUDITED = 10
"""One run in so many goes all the way whatever its rungs say, so that their agreement goes on being measured."""

SAID = frozenset({Outcome.HELD, Outcome.DEVIATED, Outcome.INCONCLUSIVE})

One = TypeVar("One", Trial, Observation)


class Comparison(Value):
    """What a rung and the whole workload said in one run."""

    target: str
    target_digest: str
    rung: str
    experiment_digest: str
    seeds: tuple[int, ...]
    rung_outcome: Outcome
    whole_outcome: Outcome

    def facts(self) -> JsonObject:
        """For a record."""
        return dict(self.model_dump(mode="json"))


@dataclass(frozen=True)
class Part:
    """Trials of one rung with what was read from them."""

    rung: str
    trials: tuple[Trial, ...]
    observations: tuple[Observation, ...]
    pairs: tuple[PairObservation, ...]


def part_of(
    rung: str, trials: Sequence[Trial], observations: Sequence[Observation], pairs: Sequence[PairObservation]
) -> Part:
    """What belongs to one rung."""
    mine = {trial.id for trial in trials if trial.rung == rung}
    return Part(
        rung,
        tuple(trial for trial in trials if trial.id in mine),
        tuple(one for one in observations if one.trial_id in mine),
        tuple(one for one in pairs if {one.control_id, one.treatment_id} <= mine),
    )


def climb(plan: Plan, answer: Callable[[str], Outcome | None]) -> str:
    """The rung whose answer is the run's; WHOLE unless a cheaper one has said what it may say.

    ``answer`` gives a rung's outcome, or None where it has not been asked.
    """
    for trust in plan.rungs:
        outcome = answer(trust.rung)
        if outcome is not None and may_say(trust, outcome):
            return trust.rung
    return WHOLE


def may_say(trust: RungTrust, outcome: Outcome) -> bool:
    """Whether a rung's outcome may stand for the run."""
    if trust.audited:
        return False
    return outcome is Outcome.DEVIATED or (outcome is Outcome.HELD and trust.may_hold)


def on_rung(check: Check, result: CheckResult, rung: str) -> CheckResult:
    """A cheap rung fails a check only by comparison with its own control: a cheaper model may miss any fixed bound."""
    compared = isinstance(check.tolerance, NonInferiority) or check.when is When.ALWAYS
    told = f"{result.estimand}, on the rung {rung}" if result.estimand else f"on the rung {rung}"
    if result.state is not CheckState.FAILED or compared:
        return result.model_copy(update={"estimand": told})
    sentence = f"{result.sentence.rstrip('.')}, which may be the doing of the rung {rung} itself."
    change = {"state": CheckState.UNKNOWN, "reason": Reason.CHEAP_RUNG, "sentence": sentence, "estimand": told}
    return result.model_copy(update=change)


def trust_of(plan: Plan, comparisons: Iterable[Comparison]) -> tuple[RungTrust, ...]:
    """What is known of each rung of the plan's ladder, from runs on the same target as it is described now."""
    same = [one for one in comparisons if one.target_digest == plan.target_digest]
    return tuple(
        _trust(rung, [one for one in same if one.rung == rung], plan.run_id) for rung in plan.experiment.analysis.ladder
    )


def _trust(rung: str, comparisons: Sequence[Comparison], run_id: str) -> RungTrust:
    """A re-run of the same experiment under the same seeds is no new evidence.  What the whole workload could not tell
    does not count as agreement."""
    distinct = {(one.experiment_digest, one.seeds): one for one in comparisons if one.rung_outcome is Outcome.HELD}
    agreed = sum(one.whole_outcome is Outcome.HELD for one in distinct.values())
    share = share_interval(agreed, len(distinct), alpha=ALPHA)
    low = share.low if share else 0.0
    return RungTrust(
        rung=rung,
        compared=len(distinct),
        agreed=agreed,
        low=low,
        may_hold=low >= AGREEMENT,
        audited=is_audited(run_id),
    )


def is_audited(run_id: str) -> bool:
    """Whether a run goes all the way, by a draw that nobody can choose and everybody can repeat."""
    return int.from_bytes(hashlib.sha256(f"squall.ladder/{run_id}".encode()).digest()[:4], "big") % AUDITED == 0


def compared(plan: Plan, answer: Callable[[str], Outcome | None]) -> tuple[Comparison, ...]:
    """What to record of a run in which both a rung and the whole workload have said something."""
    whole = answer(WHOLE)
    if whole not in SAID:
        return ()
    told = ((trust.rung, answer(trust.rung)) for trust in plan.rungs)
    return tuple(
        Comparison(
            target=plan.target.name,
            target_digest=plan.target_digest,
            rung=rung,
            experiment_digest=plan.experiment_digest,
            seeds=plan.seeds,
            rung_outcome=outcome,
            whole_outcome=whole,
        )
        for rung, outcome in told
        if outcome in SAID
    )


def read_comparisons(records: Iterable[Stored]) -> list[Comparison]:
    """The comparisons in the log; a record that is erased or of another shape is left out."""
    notes = (stored.record.payload for stored in records if stored.record.kind is RecordKind.RUNG_COMPARED)
    found = []
    for note in notes:
        if isinstance(note, Note):
            try:
                found.append(Comparison.model_validate(dict(note.facts)))
            except ValueError:
                continue
    return found
