"""What a run needs before its first fault: from the class of risk of its steps and the environment of its target."""

from __future__ import annotations

from chaos_tasks.model.base import Value
from chaos_tasks.model.consent import ApprovalPolicy, Consent, stricter
from chaos_tasks.model.experiment import Experiment, Risk
from chaos_tasks.model.target import Target
from chaos_tasks.safety.risk import StepRisk, highest, risks_of


class Need(Value):
    """What is needed, and why."""

    consent: Consent
    risk: Risk
    why: str
    people: tuple[str, ...]


def need_of(
    experiment: Experiment, target: Target, environment: str, policy: ApprovalPolicy, *, outside_window: str = ""
) -> Need:
    """As the files tell: by the class of each step on all of its place, so that an override cannot lower it.

    Who wants to pass by the change calendar needs a second person wherever anything may.
    """
    asked = policy.at(environment)
    risks = risks_of(experiment, target, environment)
    consent = stricter(*(asked.of(one.risk, irreversible=_lasts(one)) for one in risks), Consent.NONE)
    why = "; ".join(f"{one.step}: {one.fault}, {one.undo}, risk {one.risk}" for one in risks)
    if outside_window and asked.strictest is Consent.FOUR_EYES:
        consent, why = Consent.FOUR_EYES, f"outside of the change windows; {why}"
    return Need(consent=consent, risk=highest(risks), why=why[:1000], people=asked.people)


def _lasts(one: StepRisk) -> bool:
    return one.undo == "irreversible"
