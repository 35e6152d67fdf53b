"""A night's answers among all its questions: which stand tonight, and which over the nights.

Two lists, each with its own share of false entries held below alpha: tonight's failed checks, among all checks of the
night (`closed_e_bh`), and the experiments confirmed over all nights so far (`nights_e_lond` on evidence that grows from
night to night).  What a trial did that it must not do was seen, not inferred: it is on neither list, and stays.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from chaos_tasks.judging.dossier import Dossier
from chaos_tasks.model.adjustment import (
    Adjusted,
    AskedCheck,
    AskedExperiment,
    Carried,
    CarriedCheck,
    Memory,
    Standing,
)
from chaos_tasks.model.base import canonical
from chaos_tasks.model.experiment import Check, NonInferiority, Unit
from chaos_tasks.model.plan import Plan
from chaos_tasks.model.record import Stored
from chaos_tasks.model.verdict import CheckResult, CheckState, Outcome, Reason
from chaos_tasks.stats.multiplicity import closed_e_bh, mean_log, nights_e_lond, restarted

WITHIN_NIGHT = "closed e-BH over all margin checks of the night"
OVER_NIGHTS = "e-LOND by nights, closed within the night, on evidence averaged over possible first bad nights"

NOT_OF_THE_FAULT = frozenset({Reason.NO_RECEIPT, Reason.TRIGGER_NOT_FIRED, Reason.CONTROL_FAILED})
"""Reasons for which a run's numbers do not speak about its fault."""

NO_EVIDENCE = 0.0
_GRAVEST_FIRST = (Standing.OBSERVED, Standing.STANDS, Standing.CONFIRMED, Standing.ALONE)


@dataclass(frozen=True)
class _Question:
    """One check of one run; ``result`` is None without a verdict that speaks about the fault."""

    check: Check
    result: CheckResult | None

    @property
    def of_margin(self) -> bool:
        """Whether it is answered by inference, so that it can be chance."""
        return isinstance(self.check.tolerance, NonInferiority)

    @property
    def observed(self) -> bool:
        """Whether a trial did what it must not."""
        failed = self.result is not None and self.result.state is CheckState.FAILED
        return failed and (not self.of_margin or _reason(self.result) is Reason.RETURNED_NAN)

    @property
    def log_e(self) -> float | None:
        """The log e-value against "nothing is wrong", or None."""
        found = self.result.log_e_fail if self.of_margin and self.result is not None else None
        return None if found is None or math.isnan(found) else found

    @property
    def failed(self) -> bool:
        """Whether the evidence alone was enough."""
        return self.result is not None and self.result.state is CheckState.FAILED and not self.observed


@dataclass(frozen=True)
class _Run:
    """One planned run of the night with its questions and what it inherits."""

    dossier: Dossier
    plan: Plan
    inherited: Carried
    questions: tuple[_Question, ...]

    @property
    def margin_questions(self) -> list[_Question]:
        """Those with evidence, or that were to bring some."""
        return [one for one in self.questions if one.of_margin]

    @property
    def outcome(self) -> Outcome | None:
        """None without a verdict."""
        return self.dossier.verdict.outcome if self.dossier.verdict else None


def adjust(night: Iterable[Dossier], before: Memory, *, alpha: float, previous: Stored | None = None) -> Adjusted:
    """Judge a night's answers among all questions.  Same arguments, same record; no verdict is changed.

    ``night`` are the runs of one campaign, one per experiment, ``previous`` the record that holds ``before``.  A run
    without a verdict counts among the questions and brings no evidence.
    """
    carried = {one.experiment: one for one in before.experiments}
    runs = [
        _run(dossier, dossier.plan, carried)
        for dossier in sorted(night, key=lambda one: one.experiment)
        if dossier.plan is not None
    ]
    checks, questions = _within_night(runs, alpha)
    kept = {run.plan.experiment.name: _grown(run) for run in runs}
    procedure, rejected = nights_e_lond(
        before.procedure,
        [_over_nights(run, kept[run.plan.experiment.name]) for run in runs],
        alpha,
        testable=[bool(run.margin_questions) and not run.inherited.confirmed_by for run in runs],
    )
    experiments = []
    for run, confirmed in zip(runs, rejected, strict=True):
        name = run.plan.experiment.name
        kept[name] = _marked(run, kept[name], confirmed)
        experiments.append(_asked(run, kept[name], checks))
    return Adjusted(
        alpha=alpha,
        within_night=WITHIN_NIGHT,
        over_nights=OVER_NIGHTS,
        questions=questions,
        checks=tuple(checks),
        experiments=tuple(experiments),
        before=before,
        after=Memory(procedure=procedure, experiments=tuple(value for _, value in sorted({**carried, **kept}.items()))),
        previous_seq=previous.seq if previous else None,
        previous_leaf_sha256=previous.leaf_sha256 if previous else "",
    )


def question_sha256(plan: Plan) -> str:
    """Digest of what an experiment asks: checks, method, and the target's description; not its owner or its tags."""
    asked = plan.experiment.model_dump(mode="json", include={"steady_state", "method"})
    return hashlib.sha256(canonical({"asked": asked, "target": plan.target_digest})).hexdigest()


def _run(dossier: Dossier, plan: Plan, carried: Mapping[str, Carried]) -> _Run:
    verdict = dossier.verdict
    speaks = verdict is not None and not NOT_OF_THE_FAULT.intersection(verdict.reasons)
    results = {one.check: one for one in verdict.checks} if verdict is not None and speaks else {}
    questions = tuple(_Question(check, results.get(check.name)) for check in plan.experiment.steady_state)
    return _Run(dossier, plan, _inherited(plan, carried.get(plan.experiment.name)), questions)


def _inherited(plan: Plan, before: Carried | None) -> Carried:
    """The evidence so far, or none where the question is another one or new code answers it.

    New data alone do not start anew: each night's trainings are asked about the data of that night.
    """
    same_question = before is not None and before.question_sha256 == question_sha256(plan)
    if before is not None and same_question:
        new_code = before.source_commit != plan.source_commit and before.data_digest == plan.data_digest
        if not new_code:
            return before
    return Carried(
        experiment=plan.experiment.name,
        question_sha256=question_sha256(plan),
        source_commit=plan.source_commit,
        data_digest=plan.data_digest,
    )


def _within_night(runs: Sequence[_Run], alpha: float) -> tuple[list[AskedCheck], int]:
    """Every check with its standing, and how many questions it was one of."""
    asked = [(run, question) for run in runs for question in run.margin_questions]
    stands = closed_e_bh(
        [_or_none(question.log_e) for _, question in asked], alpha, testable=[question.failed for _, question in asked]
    )
    standing = {
        (run.dossier.run_id, question.check.name): Standing.STANDS
        for (run, question), rejected in zip(asked, stands, strict=True)
        if rejected
    }
    checks = [
        AskedCheck(
            experiment=run.plan.experiment.name,
            run_id=run.dossier.run_id,
            check=question.check.name,
            state=question.result.state if question.result else None,
            log_e_fail=question.log_e,
            standing=standing.get((run.dossier.run_id, question.check.name), _alone(question)),
        )
        for run in runs
        for question in run.questions
    ]
    return checks, len(asked)


def _alone(question: _Question) -> Standing:
    if question.observed:
        return Standing.OBSERVED
    return Standing.ALONE if question.failed else Standing.NOT_FAILED


def _grown(run: _Run) -> Carried:
    """The inherited evidence with tonight's: the mean over the checks of what is new in each."""
    known = {one.check: one for one in run.inherited.checks}
    new: list[float] = []
    grew = False
    for question in _growing(run):
        fresh = _fresh(question, known.get(question.check.name))
        new.append(_or_none(fresh))
        if fresh is not None and question.result is not None and question.log_e is not None:
            known[question.check.name] = CarriedCheck(
                check=question.check.name, log_e=question.log_e, seeds=question.result.seeds
            )
            grew = True
    return run.inherited.model_copy(
        update={
            "source_commit": run.plan.source_commit,
            "data_digest": run.plan.data_digest,
            "log_e": restarted(run.inherited.log_e, mean_log(new)) if grew else run.inherited.log_e,
            "checks": tuple(value for _, value in sorted(known.items())),
        }
    )


def _growing(run: _Run) -> list[_Question]:
    """Questions whose evidence adds up over nights.  Rows do not: the sealed rows are the same every night."""
    return [one for one in run.margin_questions if one.check.unit is not Unit.ROW]


def _fresh(question: _Question, known: CarriedCheck | None) -> float | None:
    """What the check's seeds add to those that counted already; None for nothing, or seeds that cannot be told apart.

    A verdict that took over undecided evidence of earlier nights holds their seeds too: only its growth is new.
    """
    if question.log_e is None or question.result is None or not question.result.seeds:
        return None
    if known is None:
        return question.log_e
    now, then = set(question.result.seeds), set(known.seeds)
    if min(now) > max(then):
        return question.log_e
    return question.log_e - known.log_e if now > then else None


def _over_nights(run: _Run, grown: Carried) -> float:
    """Evidence against "held on all nights": the mean over the run's questions, each with what it can carry."""
    if not run.margin_questions:
        return NO_EVIDENCE
    rows = [_or_none(one.log_e) for one in run.margin_questions if one.check.unit is Unit.ROW]
    return mean_log([grown.log_e] * len(_growing(run)) + rows)


def _marked(run: _Run, grown: Carried, confirmed: bool) -> Carried:
    """Confirmed from tonight on, or open again after a night that held."""
    if confirmed:
        return grown.model_copy(update={"confirmed_by": run.dossier.campaign_id})
    return grown.model_copy(update={"confirmed_by": ""}) if run.outcome is Outcome.HELD else grown


def _asked(run: _Run, kept: Carried, checks: Sequence[AskedCheck]) -> AskedExperiment:
    tonight = [_or_none(one.log_e) for one in run.margin_questions]
    return AskedExperiment(
        experiment=run.plan.experiment.name,
        run_id=run.dossier.run_id,
        outcome=run.outcome,
        log_e_tonight=mean_log(tonight) if tonight else NO_EVIDENCE,
        log_e_nights=_over_nights(run, kept),
        confirmed_by=kept.confirmed_by,
        standing=_standing(run, kept, [one.standing for one in checks if one.run_id == run.dossier.run_id]),
    )


def _standing(run: _Run, kept: Carried, checks: Sequence[Standing]) -> Standing:
    """The strongest ground for what came out; an experiment confirmed over nights need not have deviated tonight."""
    grounds = set(checks) if run.outcome is Outcome.DEVIATED else set()
    if kept.confirmed_by and run.outcome in (Outcome.DEVIATED, Outcome.INCONCLUSIVE):
        grounds.add(Standing.CONFIRMED)
    return next((one for one in _GRAVEST_FIRST if one in grounds), Standing.NOT_FAILED)


def _reason(result: CheckResult | None) -> Reason | None:
    return result.reason if result is not None else None


def _or_none(log_e: float | None) -> float:
    return NO_EVIDENCE if log_e is None else log_e
