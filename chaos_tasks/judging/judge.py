"""The verdict of one run: exactly one outcome and one response for any evidence, and it never raises."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from chaos_tasks.judging import ladder, wording
from chaos_tasks.judging.evidence import Evidence, gather
from chaos_tasks.judging.facts import RunFacts
from chaos_tasks.judging.ladder import WHOLE, Comparison, Part, part_of
from chaos_tasks.judging.paired import judge_paired
from chaos_tasks.judging.per_trial import judge_per_trial
from chaos_tasks.judging.response import Reaction, react
from chaos_tasks.judging.rows import judge_rows
from chaos_tasks.judging.validity import Doubt, doubts, enough, recovery_doubt
from chaos_tasks.model.experiment import Check, Design, KnownFinding, NonInferiority, Unit, When
from chaos_tasks.model.handle import HandleState, Phase, how_to_free
from chaos_tasks.model.plan import Plan
from chaos_tasks.model.trial import Arm, Observation, PairObservation, Trial, TrialStatus
from chaos_tasks.model.verdict import CheckResult, CheckState, Outcome, Reason, Response, Verdict

_BEYOND_MENDING = frozenset({Reason.TRIAL_FAILED, Reason.PROBE_ERROR, Reason.CONTROL_FAILED, Reason.CHEAP_RUNG})


def judge(
    plan: Plan,
    trials: Sequence[Trial],
    observations: Sequence[Observation],
    handles: Sequence[HandleState],
    facts: RunFacts,
    now: datetime,
    *,
    pairs: Sequence[PairObservation] = (),
) -> Verdict:
    """The verdict.  Same arguments, same verdict.

    Trials of runs that the plan continues count as evidence only; what they cost was said in their own verdicts.
    """
    heard = _hear_all(plan, trials, observations, pairs, handles, facts)
    rung = ladder.climb(plan, heard.answer)
    told = heard.rungs[rung]
    own = [trial for trial in trials if trial.run_id not in plan.continues]
    doubted, checks, outcome = told.doubted, told.checks, told.outcome
    unmeasured = recovery_doubt(plan, facts)
    if unmeasured is not None:
        doubted = (*doubted, unmeasured)
        outcome = Outcome.INCONCLUSIVE if outcome is Outcome.HELD else outcome
    proved = not any(doubt.reason in (Reason.NO_RECEIPT, Reason.TRIGGER_NOT_FIRED) for doubt in doubted)
    tonight = part_of(rung, own, observations, pairs)
    reacted = gather(tonight.trials, tonight.observations, tonight.pairs)
    reaction = react(plan, reacted, facts, checks) if proved else Reaction(Response.UNKNOWN)
    opened = [state for state in handles if state.phase is not Phase.REVERTED]
    reasons = _reasons(outcome, facts, doubted, checks)
    return Verdict(
        run_id=plan.run_id,
        experiment=plan.experiment.name,
        outcome=outcome,
        response=reaction.response,
        checks=checks,
        reasons=(*reasons, Reason.CHEAP_RUNG) if rung and Reason.CHEAP_RUNG not in reasons else reasons,
        sentence=_about(plan, rung, reacted, _sentence(outcome, opened, facts, doubted, checks, reaction)),
        known_finding=_known(plan.experiment.known_finding, outcome, now),
        noticed_by=reaction.noticed_by,
        detect_s=reaction.detect_s,
        recover_s=reaction.recover_s,
        reaction=reaction.detail,
        lost_steps=sum(trial.lost_steps for trial in own),
        trials=len(own),
        trials_wall_s=sum(trial.wall_s for trial in own if not trial.reused_from),
        trials_reused=sum(bool(trial.reused_from) for trial in own),
        trials_saved=_saved(plan, own),
        steps_saved=sum(trial.steps_saved for trial in own),
        rung=rung,
        continues=plan.continues,
        decided_at=now,
    )


def answered(
    plan: Plan,
    trials: Sequence[Trial],
    observations: Sequence[Observation],
    facts: RunFacts,
    *,
    pairs: Sequence[PairObservation] = (),
) -> bool:
    """Whether a cheap rung has said what it may say, so that the others need not be asked."""
    return ladder.climb(plan, _hear_all(plan, trials, observations, pairs, (), facts).answer) != WHOLE


def compare_rungs(
    plan: Plan,
    trials: Sequence[Trial],
    observations: Sequence[Observation],
    facts: RunFacts,
    *,
    pairs: Sequence[PairObservation] = (),
) -> tuple[Comparison, ...]:
    """What a run with a ladder says about the agreement of its rungs with the whole workload."""
    return ladder.compared(plan, _hear_all(plan, trials, observations, pairs, (), facts).answer)


@dataclass(frozen=True)
class _Heard:
    """What the trials of one rung say."""

    checks: tuple[CheckResult, ...]
    doubted: tuple[Doubt, ...]
    outcome: Outcome
    asked: bool  # there is a treatment trial at this rung


@dataclass(frozen=True)
class _AllHeard:
    """What each rung of a run says, by its name."""

    rungs: dict[str, _Heard]

    def answer(self, rung: str) -> Outcome | None:
        """A rung's outcome; None where it was not asked."""
        heard = self.rungs[rung]
        return heard.outcome if heard.asked else None


def _hear_all(
    plan: Plan,
    trials: Sequence[Trial],
    observations: Sequence[Observation],
    pairs: Sequence[PairObservation],
    handles: Sequence[HandleState],
    facts: RunFacts,
) -> _AllHeard:
    opened = [state for state in handles if state.phase is not Phase.REVERTED]
    stopped = any(trial.status is TrialStatus.ABORTED for trial in trials)
    rungs = {}
    for rung in (*(trust.rung for trust in plan.rungs), WHOLE):
        part = part_of(rung, trials, observations, pairs)
        checks, doubted = _hear(plan, part, facts)
        outcome = _outcome(opened, stopped, facts, doubted, checks)
        asked = any(trial.arm is Arm.TREATMENT for trial in part.trials)
        rungs[rung] = _Heard(checks, doubted, outcome, asked)
    return _AllHeard(rungs)


def _hear(plan: Plan, part: Part, facts: RunFacts) -> tuple[tuple[CheckResult, ...], tuple[Doubt, ...]]:
    evidence = gather(part.trials, part.observations, part.pairs)
    checks = tuple(_judge_on(check, evidence, plan, part.rung) for check in plan.experiment.steady_state)
    return checks, doubts(plan, evidence, facts)


def _judge_on(check: Check, evidence: Evidence, plan: Plan, rung: str) -> CheckResult:
    """A check's answer, as far as the rung may give one, and from where on its trials were trained."""
    result = judge_check(check, evidence, plan)
    starts = _fork_steps(evidence)
    if starts and result.estimand:
        told = f"{result.estimand}, treatment from step {' or '.join(map(str, starts))} on"
        result = result.model_copy(update={"estimand": told})
    return ladder.on_rung(check, result, rung) if rung else result


def _fork_steps(evidence: Evidence) -> list[int]:
    """From which steps on treatments were trained, where they were forked."""
    return sorted({trial.fork.step for trial in evidence.arm(Arm.TREATMENT) if trial.fork is not None})


def _about(plan: Plan, rung: str, evidence: Evidence, sentence: str) -> str:
    """The sentence, with what it is about besides the whole workload tonight."""
    starts = _fork_steps(evidence)
    if starts and any(place.type == "dvc" for place in plan.places.values()):
        sentence = f"With data that changed at step {' or '.join(map(str, starts))}: {sentence}"
    if rung:
        sentence = f"On the cheap rung {rung} ({plan.target.workload.rungs.get(rung, 'gone')}): {sentence}"
    if plan.continues:
        sentence = f"{sentence} Counted with it: {wording.count(len(plan.continues), 'earlier run')}."
    return sentence


def judge_check(check: Check, evidence: Evidence, plan: Plan) -> CheckResult:
    """The three-valued answer of one check."""
    analysis = plan.experiment.analysis
    if not isinstance(check.tolerance, NonInferiority):
        return judge_per_trial(check, check.tolerance, evidence, alpha=analysis.alpha)
    if check.unit is not Unit.SEED:
        return judge_rows(check, check.tolerance, evidence, alpha=analysis.alpha)
    return judge_paired(check, check.tolerance, evidence, analysis)


def is_decided(
    plan: Plan,
    trials: Sequence[Trial],
    observations: Sequence[Observation],
    facts: RunFacts,
    *,
    pairs: Sequence[PairObservation] = (),
    rung: str = WHOLE,
) -> bool:
    """Whether no further trial can change the outcome, so that the rest of the seeds need not be spent.

    True once a control failed, the fault is not proved, a check failed, or, with the pairs that the analysis needs,
    each check has passed or never can.  A fixed design looks at margins at its end only: Student's interval is valid
    at the planned number of trainings.  Of a ladder, one rung is asked at a time.
    """
    part = part_of(rung, trials, observations, pairs)
    evidence = gather(part.trials, part.observations, part.pairs)
    if any(doubt.fatal for doubt in doubts(plan, evidence, facts)):
        return True
    results = [_judge_on(check, evidence, plan, rung) for check in _looked_at(plan)]
    if any(result.state is CheckState.FAILED for result in results):
        return True
    return enough(plan, evidence) and all(_settled(result) for result in results)


def _looked_at(plan: Plan) -> list[Check]:
    """Checks that may be asked between trials: recovery comes later, and a fixed design's margins at the end."""
    under_way = [check for check in plan.experiment.steady_state if check.when is not When.AFTER]
    if plan.experiment.analysis.design is Design.SEQUENTIAL:
        return under_way
    return [check for check in under_way if not isinstance(check.tolerance, NonInferiority)]


def _settled(result: CheckResult) -> bool:
    """Passed, or unknown for a reason that no further trial mends."""
    return result.state is CheckState.PASSED or result.reason in _BEYOND_MENDING


def _saved(plan: Plan, trials: Sequence[Trial]) -> int:
    """Whole trials of the plan that were not run: stopped early, spoken for, or taken from the ledger."""
    planned = 2 * len(plan.seeds)
    whole = [trial for trial in trials if trial.rung == WHOLE and trial.arm is not Arm.RECOVERY]
    ran = {(trial.arm, trial.seed) for trial in whole if not trial.reused_from}
    return max(0, planned - len(ran))


def _outcome(
    opened: Sequence[HandleState],
    stopped: bool,
    facts: RunFacts,
    doubted: Sequence[Doubt],
    checks: Sequence[CheckResult],
) -> Outcome:
    """The first that applies."""
    states = {check.state for check in checks}
    if opened:
        return Outcome.UNREVERTED
    if facts.stops or stopped:
        return Outcome.ABORTED
    if any(doubt.fatal for doubt in doubted):
        return Outcome.INCONCLUSIVE
    if CheckState.FAILED in states:
        return Outcome.DEVIATED
    if doubted or CheckState.UNKNOWN in states:
        return Outcome.INCONCLUSIVE
    return Outcome.HELD


def _reasons(
    outcome: Outcome, facts: RunFacts, doubted: Sequence[Doubt], checks: Sequence[CheckResult]
) -> tuple[Reason, ...]:
    """Why that outcome, each reason once, the gravest first."""
    by_state = {state: [check.reason for check in checks if check.state is state] for state in CheckState}
    match outcome:
        case Outcome.UNREVERTED:
            found = [Reason.REVERT_FAILED]
        case Outcome.ABORTED:
            found = [stop.reason for stop in facts.stops] or [Reason.INTERNAL_ERROR]
        case Outcome.INCONCLUSIVE:
            found = [doubt.reason for doubt in doubted] + by_state[CheckState.UNKNOWN]
        case Outcome.DEVIATED:
            found = by_state[CheckState.FAILED]
        case Outcome.HELD:
            found = by_state[CheckState.PASSED]
    return tuple(dict.fromkeys(found))


def _known(finding: KnownFinding | None, outcome: Outcome, now: datetime) -> KnownFinding | None:
    """The accepted finding, up to and including its last day (UTC)."""
    if finding is None or outcome is not Outcome.DEVIATED or now.date() > finding.expires:
        return None
    return finding


def _sentence(
    outcome: Outcome,
    opened: Sequence[HandleState],
    facts: RunFacts,
    doubted: Sequence[Doubt],
    checks: Sequence[CheckResult],
    reaction: Reaction,
) -> str:
    match outcome:
        case Outcome.UNREVERTED:
            ids = ", ".join(state.handle.id for state in opened)
            if all(state.phase is Phase.ABANDONED for state in opened):
                return f"{ids} was never put back: a person has given it up, and answers for its place."
            first, phase = opened[0].handle.id, opened[0].phase
            way = how_to_free(first, phase.value) if phase is Phase.UNREVERTED else f"run `squall revert {first}`"
            return f"{ids} is {phase.value}, not reverted: {way}."
        case Outcome.ABORTED:
            cause = facts.stops[0].text if facts.stops else "a trial was stopped, and the log does not say by whom"
            return f"Stopped: {wording.one_line(cause)}."
        case Outcome.DEVIATED:
            failed = _worst_first(check for check in checks if check.state is CheckState.FAILED)
            more = f" {len(failed) - 1} more of {len(checks)} checks failed." if len(failed) > 1 else ""
            return f"{wording.with_clause(failed[0].sentence, _noticed(reaction))}{more}"
        case Outcome.INCONCLUSIVE:
            unknown = [check.sentence for check in checks if check.state is CheckState.UNKNOWN]
            return doubted[0].text if doubted else unknown[0]
    return _held(checks, reaction)


def _held(checks: Sequence[CheckResult], reaction: Reaction) -> str:
    """The check nearest to its margin speaks for all."""
    nearest = _worst_first(checks)[0]
    return wording.with_clause(nearest.sentence, _noticed(reaction) if reaction.response is not Response.MASKED else "")


def _worst_first(checks: Iterable[CheckResult]) -> list[CheckResult]:
    """By how much of the margin is used up; checks without a margin last, in the order of the file."""
    return sorted(checks, key=lambda check: -(check.high or 0) / check.margin if check.margin else 1.0)


def _noticed(reaction: Reaction) -> str:
    """'and nothing noticed.', 'and gate noticed after 0.4 s.'"""
    if reaction.response is Response.UNKNOWN:
        return ""
    if not reaction.noticed:
        came_back = reaction.response is Response.RECOVERED and reaction.recover_s is not None
        if came_back and reaction.recover_s is not None:
            return f"and the run came back after {wording.seconds(reaction.recover_s)}."
        return "and nothing noticed."
    after = f" after {wording.seconds(reaction.detect_s)}" if reaction.detect_s is not None else ""
    share = "" if reaction.noticed == reaction.trials else f", in {reaction.noticed} of {reaction.trials} trials only"
    return f"and {reaction.noticed_by} noticed{after}{share}."
