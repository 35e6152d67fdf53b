"""Reduces a run that deviated: tries smaller experiments until none deviates again by the same check."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from chaos_tasks.engine import Engine, never
from chaos_tasks.errors import GuardTripped
from chaos_tasks.model.experiment import Design, Experiment, NonInferiority
from chaos_tasks.model.plan import Pin, Plan
from chaos_tasks.model.record import SearchEnded, SearchStarted
from chaos_tasks.model.request import RunRequest
from chaos_tasks.model.search import Answer, SearchKind, SearchRun
from chaos_tasks.model.verdict import CheckState, Outcome, Reason, Verdict
from chaos_tasks.runs import Run
from chaos_tasks.searching import words
from chaos_tasks.searching.asking import ENDING, Asking, answered
from chaos_tasks.searching.log import SearchLog, ended_of, started_of
from chaos_tasks.searching.shrink import Candidate, Tried, next_candidate, smallest

MAX_RUNS = 12
ENOUGH_SEEDS = 6
"""At most so many pairs may be needed for the stricter error rate of a search; a sequential run stops before."""


@dataclass(frozen=True)
class _Try:
    """A candidate that was run."""

    candidate: Candidate
    verdict: Verdict
    tried: Tried


@dataclass(frozen=True)
class Shrinks:
    """Finds smaller reproducers."""

    engine: Engine

    def run(
        self, search_id: str, of: str, *, check: str = "", max_runs: int = MAX_RUNS, stop: Callable[[], bool] = never
    ) -> SearchEnded:
        """The smallest experiment found that deviates as run ``of`` did; ``of`` may be a ramp that broke.

        Raises GuardTripped where there is nothing to reduce, or nothing may be run.
        """
        ledger = self.engine.parts.ledger
        known = ended_of(ledger, search_id)
        if known is not None:
            return known
        log = SearchLog(self.engine, search_id)
        plan = Run(ledger, self._run_that_broke(of)).plan()
        started = started_of(ledger, search_id) or log.start(self._question(plan, of, check, max_runs))
        stopped = None
        try:
            self._try_all(search_id, started, stop)
        except GuardTripped as error:
            stopped = error
        tries = self._tries(search_id, started)
        if stopped is not None and not tries:
            raise stopped
        return log.end(_ended(plan.experiment, started, tries, stopped))

    def _run_that_broke(self, of: str) -> str:
        """Of a ramp, the lowest level that deviated."""
        ended = ended_of(self.engine.parts.ledger, of)
        point = ended.breaking_point if ended is not None else None
        if ended is None or point is None:
            return of
        broke = [run.run_id for run in ended.runs if run.level == point.broke_at and run.answer is Answer.DEVIATED]
        return broke[0] if broke else of

    def _question(self, plan: Plan, of: str, check: str, max_runs: int) -> SearchStarted:
        """Which check is to fail again: by default the first one of the verdict's that did."""
        verdict = Run(self.engine.parts.ledger, plan.run_id).verdict()
        failed = [one.check for one in verdict.checks if one.state is CheckState.FAILED] if verdict else []
        if verdict is None or verdict.outcome is not Outcome.DEVIATED or not failed:
            said = verdict.outcome.value if verdict else "has no verdict"
            raise GuardTripped(
                f"run {plan.run_id} is not one that deviated ({said}), so there is nothing to reduce",
                remedy="name a run that deviated; `squall report` lists them",
            )
        if check and check not in failed:
            raise GuardTripped(
                f"check {check} of run {plan.run_id} did not fail", remedy=f"choose one of {', '.join(failed)}"
            )
        name, alpha = check or failed[0], self._alpha(plan) / max_runs
        return SearchStarted(
            search=SearchKind.SHRINK,
            experiment=_asking_only(plan, name, alpha),
            pin=Pin(source_commit=plan.source_commit, data_digest=plan.data_digest, seeds=plan.seeds),
            of=of,
            check=name,
            max_runs=max_runs,
            level_alpha=alpha,
            requested_by="person",
        )

    def _alpha(self, plan: Plan) -> float:
        """The experiment's own; a level of a ramp was judged at its share of that."""
        ramp = started_of(self.engine.parts.ledger, plan.search_id) if plan.search_id else None
        whole = ramp is not None and ramp.search is SearchKind.RAMP
        return ramp.experiment.analysis.alpha if ramp is not None and whole else plan.experiment.analysis.alpha

    def _try_all(self, search_id: str, started: SearchStarted, stop: Callable[[], bool]) -> None:
        asking = Asking(self.engine, stop)
        while True:
            tries = self._tries(search_id, started)
            ended = any(one.verdict.outcome in ENDING for one in tries)
            candidate = next_candidate(started.experiment, [one.tried for one in tries])
            if ended or candidate is None or len(tries) >= started.max_runs:
                return
            smaller = candidate.experiment

            def request(run_id: str, smaller: Experiment = smaller) -> RunRequest:
                return _request(started, search_id, run_id, smaller)

            asking.ask(f"{search_id}.{len(tries) + 1}", request)

    def _tries(self, search_id: str, started: SearchStarted) -> list[_Try]:
        """What was tried, in order, from the log alone."""
        tries: list[_Try] = []
        while len(tries) < started.max_runs:
            verdicts = answered(self.engine.parts.ledger, f"{search_id}.{len(tries) + 1}")
            candidate = next_candidate(started.experiment, [one.tried for one in tries])
            if not verdicts or candidate is None:
                break
            tries.append(_Try(candidate, verdicts[-1], _tried(verdicts[-1], started.check)))
        return tries


def _asking_only(plan: Plan, check: str, alpha: float) -> Experiment:
    """The experiment of a plan with that check alone, a margin judged at its share of the error rate of all tries."""
    experiment = plan.experiment
    asked = tuple(one for one in experiment.steady_state if one.name == check)
    if not isinstance(asked[0].tolerance, NonInferiority):
        alpha = experiment.analysis.alpha
    seeds = len(plan.seeds) if experiment.analysis.design is Design.FIXED else max(ENOUGH_SEEDS, len(plan.seeds))
    stops = tuple(name for name in experiment.guards.stop_when if name == check)
    return experiment.model_copy(
        update={
            "steady_state": asked,
            "guards": experiment.guards.model_copy(update={"stop_when": stops}),
            "analysis": experiment.analysis.model_copy(
                update={"alpha": alpha, "base_seed": plan.seeds[0], "seeds": seeds, "nights": 1}
            ),
            "ramp": None,
            "known_finding": None,
        }
    )


def _request(started: SearchStarted, search_id: str, run_id: str, smaller: Experiment) -> RunRequest:
    pin = started.pin
    if pin is not None:
        first = pin.seeds[0]
        pin = pin.model_copy(update={"seeds": tuple(range(first, first + smaller.analysis.seeds))})
    return RunRequest(run_id=run_id, experiment=smaller, pin=pin, search_id=search_id, requested_by="person")


def _tried(verdict: Verdict, check: str) -> Tried:
    """Again only where the same check failed; undecided is not again."""
    judged = next((one for one in verdict.checks if one.check == check), None)
    if judged is None or verdict.outcome is not Outcome.DEVIATED or judged.state is not CheckState.FAILED:
        return Tried(again=False)
    return Tried(again=True, pairs=judged.n_treatment)


def _ended(
    original: Experiment, started: SearchStarted, tries: Sequence[_Try], stopped: GuardTripped | None
) -> SearchEnded:
    found = smallest(started.experiment, [one.tried for one in tries])
    said = words.reduced(original, found, len(tries))
    return SearchEnded(
        search=SearchKind.SHRINK,
        experiment=original.name,
        of=started.of,
        runs=tuple(_run(one) for one in tries),
        reproducer=found,
        sentence=f"Stopped: {stopped.message}. {said}" if stopped else said,
        reasons=(Reason.GUARD_TRIPPED,) if stopped else (),
    )


def _run(one: _Try) -> SearchRun:
    again = one.tried.again
    held = Answer.HELD if one.verdict.outcome is Outcome.HELD else Answer.UNDECIDED
    return SearchRun(
        run_id=one.verdict.run_id,
        asked=one.candidate.change,
        answer=Answer.DEVIATED if again else held,
        outcome=one.verdict.outcome,
        seeds=one.candidate.experiment.analysis.seeds,
        trials=one.verdict.trials,
        reused=one.verdict.trials_reused,
    )
