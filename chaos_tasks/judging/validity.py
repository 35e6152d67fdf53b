"""Whether the run tested what it says: receipts, triggers, controls and the number of trials."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from chaos_tasks.judging.evidence import Evidence
from chaos_tasks.judging.facts import RunFacts
from chaos_tasks.judging.wording import count, one_line
from chaos_tasks.model.experiment import Step
from chaos_tasks.model.plan import Plan
from chaos_tasks.model.trial import Arm, Trial, TrialStatus
from chaos_tasks.model.verdict import Reason


@dataclass(frozen=True)
class Doubt:
    """Why the run may not say what it seems to say.

    A ``fatal`` doubt leaves nothing to conclude.  Any other one rules out `held` only: trials that failed a check have
    failed it, however many more there should have been.
    """

    reason: Reason
    text: str
    fatal: bool


def doubts(plan: Plan, evidence: Evidence, facts: RunFacts) -> tuple[Doubt, ...]:
    """All doubts, the gravest first."""
    found = [
        *_receipt_doubts(plan, evidence, facts),
        *_control_doubts(evidence),
        *_failure_doubts(facts),
        *_void_doubts(evidence),
        *_count_doubts(plan, evidence),
    ]
    return tuple(sorted(found, key=lambda doubt: not doubt.fatal))


def _receipt_doubts(plan: Plan, evidence: Evidence, facts: RunFacts) -> Iterator[Doubt]:
    treated = evidence.arm(Arm.TREATMENT)
    if not treated:
        return
    for step in plan.experiment.method:
        doubt = _firing_doubt(step, treated) if step.fires_during else _standing_doubt(step, facts)
        if doubt is not None:
            yield doubt


def _standing_doubt(step: Step, facts: RunFacts) -> Doubt | None:
    """Of a fault that was to be in before the workload."""
    injections = [item for item in facts.injections if item.step == step.name]
    receipts = [item.injected for item in injections if item.injected is not None]
    if receipts and all(receipt.effective for receipt in receipts):
        return None
    said = next((receipt.summary for receipt in receipts if not receipt.effective), "")
    said = said or next((item.error for item in injections if item.error), "no receipt was written")
    return Doubt(Reason.NO_RECEIPT, f"{step.fault} is not proved to have taken effect: {one_line(said)}.", True)


def _firing_doubt(step: Step, treated: Sequence[Trial]) -> Doubt | None:
    """Of a fault fired during the workload.  A run that the gate refused never started, so nothing could fire."""
    ran = [trial for trial in treated if trial.status is not TrialStatus.BLOCKED]
    unfired = [trial for trial in ran if not any(firing.step == step.name for firing in trial.firings)]
    if unfired:
        text = f"{step.fault} did not fire in {len(unfired)} of {count(len(ran), 'trial')}."
        return Doubt(Reason.TRIGGER_NOT_FIRED, text, True)
    unproved = [trial for trial in ran if not _proved(step, trial)]
    if unproved:
        text = f"{step.fault} is not proved to have taken effect in {len(unproved)} of {count(len(ran), 'trial')}."
        return Doubt(Reason.NO_RECEIPT, text, True)
    return None


def _proved(step: Step, trial: Trial) -> bool:
    return any(
        firing.step == step.name and firing.injected is not None and firing.injected.effective
        for firing in trial.firings
    )


def _control_doubts(evidence: Evidence) -> Iterator[Doubt]:
    controls = evidence.arm(Arm.CONTROL)
    bad = [trial for trial in controls if trial.status is not TrialStatus.COMPLETED]
    if bad:
        share = f"{len(bad)} of {count(len(controls), 'control trial')}"
        yield Doubt(Reason.CONTROL_FAILED, f"{share} did not complete without the fault ({bad[0].status.value}).", True)


def _failure_doubts(facts: RunFacts) -> Iterator[Doubt]:
    """What broke in Squall itself; only a fault that is not in leaves nothing to conclude."""
    for failure in facts.failures:
        yield Doubt(failure.reason, one_line(failure.text) + ".", failure.reason is Reason.NO_RECEIPT)


def _void_doubts(evidence: Evidence) -> Iterator[Doubt]:
    void = [trial for trial in evidence.without_word if trial.status is TrialStatus.VOID]
    if void:
        cause = one_line(void[0].error) if void[0].error else "the fault was not in all the time"
        yield Doubt(Reason.TRIALS_VOID, f"{count(len(void), 'trial')} said nothing: {cause}.", False)


def _count_doubts(plan: Plan, evidence: Evidence) -> Iterator[Doubt]:
    """Fewer trials than the analysis needs: what is missing may be what went wrong."""
    needed = plan.experiment.analysis.needed
    for arm in (Arm.CONTROL, Arm.TREATMENT):
        missing = needed - _there(evidence, arm)
        if missing > 0 or not plan.seeds:
            yield Doubt(
                Reason.TOO_FEW_TRIALS, f"{missing} of {count(needed, arm.value + ' trial')} are missing.", False
            )


def recovery_doubt(plan: Plan, facts: RunFacts) -> Doubt | None:
    """That recovery was to be measured and was not; asked once at the end, since trials stop long before it."""
    asked = min(plan.experiment.analysis.recovery_trials, len(plan.seeds))
    if not asked or facts.recovery is not None:
        return None
    return Doubt(Reason.TOO_FEW_TRIALS, f"Recovery was not measured: {count(asked, 'trial')} asked for.", False)


def enough(plan: Plan, evidence: Evidence) -> bool:
    """Whether both arms have the trials that the analysis needs before anything may count as held."""
    needed = plan.experiment.analysis.needed
    return all(_there(evidence, arm) >= needed for arm in (Arm.CONTROL, Arm.TREATMENT))


def _there(evidence: Evidence, arm: Arm) -> int:
    """Trials of an arm; a refused data version speaks for all seeds."""
    return sum({trial.seed: trial.stands_for for trial in evidence.arm(arm)}.values())
