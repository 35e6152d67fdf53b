"""Inputs at the edge: each has a sensible state, reason and sentence; what was not measured is never held."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chaos_tasks.judging.judge import is_decided, judge
from chaos_tasks.model.experiment import Analysis, Check, Design, Exactly, NonInferiority, Range, Unit, When
from chaos_tasks.model.handle import Phase
from chaos_tasks.model.trial import Arm, Observation, PairObservation, Trial, TrialStatus
from chaos_tasks.model.verdict import CheckState, Outcome, Reason, Verdict
from chaos_tasks.reports.panel import panel
from tests.unit.judging.cases import AUC, T0, facts, handle, paired, plan, read, signal, trial

GOOD = [0.902, 0.911, 0.893, 0.921]
LOW = [0.871, 0.880, 0.862, 0.890]
RELATIVE = AUC.model_copy(update={"tolerance": NonInferiority(margin=0.02, relative=True)})
ROWS = AUC.model_copy(update={"unit": Unit.ROW})
SLICE = AUC.model_copy(update={"probe": "model.slice_metric", "params": {"metric": "auc", "slice": "carrier=ZZ"}})
DONE = Check(name="auc", probe="workload.completed", tolerance=Exactly(value=True))
RANGE = Check(name="auc", probe="model.metric", params={"metric": "auc"}, tolerance=Range(min=0.8))
UNDER = RANGE.model_copy(update={"when": When.UNDER_FAULT})
HUGE = 1.7e308

PASSED, FAILED, UNKNOWN = CheckState.PASSED, CheckState.FAILED, CheckState.UNKNOWN
HELD, DEVIATED, INCONCLUSIVE = Outcome.HELD, Outcome.DEVIATED, Outcome.INCONCLUSIVE


@dataclass(frozen=True)
class Case:
    """Readings of both arms, and what is sensible to say."""

    control: Sequence[Any]
    treatment: Sequence[Any]
    state: CheckState
    reason: Reason
    outcome: Outcome
    says: str
    check: Check = AUC
    status: TrialStatus = TrialStatus.COMPLETED
    error: str = ""
    pairs: Sequence[PairObservation] = field(default=())


def pair(**measured: Any) -> PairObservation:
    """What a pair probe read of seed 100."""
    ids = {"control_id": "run-labels-control-100", "treatment_id": "run-labels-treatment-100"}
    return PairObservation(check="auc", seed=100, **ids, **measured)


CASES = {
    "constant metric in both arms": Case(
        [0.9] * 4, [0.9] * 4, PASSED, Reason.WITHIN_MARGIN, HELD, "AUC hardly moved; any fall is surely less"
    ),
    "constant metric, two pairs": Case(
        [0.9] * 2, [0.9] * 2, UNKNOWN, Reason.INTERVAL_TOO_WIDE, INCONCLUSIVE, "nothing can be said"
    ),
    "all differences equal and too large": Case(
        GOOD, [one - 0.03125 for one in GOOD], FAILED, Reason.BEYOND_MARGIN, DEVIATED, "surely more than the 0.010"
    ),
    "all differences equal to the margin": Case(
        [0.5] * 4,
        [0.375] * 4,
        UNKNOWN,
        Reason.INTERVAL_TOO_WIDE,
        INCONCLUSIVE,
        "more trials are needed",
        AUC.model_copy(update={"tolerance": NonInferiority(margin=0.125)}),
    ),
    "NaN under treatment": Case(
        GOOD, [*LOW[:3], math.nan], FAILED, Reason.RETURNED_NAN, DEVIATED, "no finite number in 1 of 4 trials"
    ),
    "infinite under treatment": Case(
        GOOD, [math.inf] * 4, FAILED, Reason.RETURNED_NAN, DEVIATED, "no finite number in 4 of 4 trials"
    ),
    "NaN under control": Case(
        [*GOOD[:3], math.nan], LOW, UNKNOWN, Reason.CONTROL_FAILED, INCONCLUSIVE, "no finite number under control"
    ),
    "infinite under control": Case(
        [-math.inf] * 4, GOOD, UNKNOWN, Reason.CONTROL_FAILED, INCONCLUSIVE, "no finite number under control"
    ),
    "NaN in both arms": Case(
        [math.nan] * 4, [math.nan] * 4, UNKNOWN, Reason.CONTROL_FAILED, INCONCLUSIVE, "no finite number under control"
    ),
    "text instead of a number": Case(GOOD, ["n/a"] * 4, FAILED, Reason.RETURNED_NAN, DEVIATED, "no finite number"),
    "no trial at all": Case([], [], UNKNOWN, Reason.TOO_FEW_TRIALS, INCONCLUSIVE, "missing"),
    "one trial": Case(GOOD[:1], [], UNKNOWN, Reason.TOO_FEW_TRIALS, INCONCLUSIVE, "missing"),
    "one pair": Case(GOOD[:1], LOW[:1], UNKNOWN, Reason.TOO_FEW_TRIALS, INCONCLUSIVE, "missing"),
    "metric under control only": Case(
        GOOD, [None] * 4, UNKNOWN, Reason.PROBE_ERROR, INCONCLUSIVE, "could not be measured: trial has no such number"
    ),
    "metric under treatment only": Case(
        [None] * 4, GOOD, UNKNOWN, Reason.PROBE_ERROR, INCONCLUSIVE, "could not be measured: trial has no such number"
    ),
    "a slice without rows": Case(
        [None] * 4,
        [None] * 4,
        UNKNOWN,
        Reason.PROBE_ERROR,
        INCONCLUSIVE,
        "AUC on carrier=ZZ could not be measured: slice carrier=ZZ has 0 rows",
        SLICE,
        error="slice carrier=ZZ has 0 rows",
    ),
    "a zero control and a relative margin": Case(
        [0.0] * 4, [0.0] * 4, UNKNOWN, Reason.CONTROL_FAILED, INCONCLUSIVE, "a relative margin means nothing", RELATIVE
    ),
    "huge values": Case(
        [HUGE] * 4, [-HUGE] * 4, UNKNOWN, Reason.INTERVAL_TOO_WIDE, INCONCLUSIVE, "nothing can be said"
    ),
    "an integer too large for a double": Case(
        GOOD, [10**400] * 4, FAILED, Reason.RETURNED_NAN, DEVIATED, "no finite number"
    ),
    "tiny values": Case([5e-324] * 4, [0.0] * 4, PASSED, Reason.WITHIN_MARGIN, HELD, "hardly moved"),
    "all refused by the gate": Case(
        GOOD,
        [None] * 4,
        PASSED,
        Reason.GATE_BLOCKED,
        HELD,
        "the gate refused all 4",
        status=TrialStatus.BLOCKED,
    ),
    "all refused, asked under the fault": Case(
        GOOD,
        [None] * 4,
        UNKNOWN,
        Reason.PROBE_ERROR,
        INCONCLUSIVE,
        "could not be measured",
        UNDER,
        status=TrialStatus.BLOCKED,
    ),
    "all crashed": Case(
        GOOD,
        [None] * 4,
        UNKNOWN,
        Reason.TRIAL_FAILED,
        INCONCLUSIVE,
        "4 of 4 trials ended without a model",
        status=TrialStatus.FAILED,
    ),
    "a range that reads NaN": Case(
        GOOD, [math.nan] * 4, FAILED, Reason.RETURNED_NAN, DEVIATED, "was nan, not at least 0.8", RANGE
    ),
    "a range that control breaks": Case(
        [math.nan] * 4, GOOD, UNKNOWN, Reason.CONTROL_FAILED, INCONCLUSIVE, "even without the fault", RANGE
    ),
    "yes or no, never read": Case(
        [True] * 4, [None] * 4, UNKNOWN, Reason.PROBE_ERROR, INCONCLUSIVE, "could not be measured", DONE
    ),
    "rows never compared": Case(
        GOOD, GOOD, UNKNOWN, Reason.PROBE_ERROR, INCONCLUSIVE, "could not be measured: it was not asked", ROWS
    ),
    "no row to compare": Case(
        GOOD,
        GOOD,
        UNKNOWN,
        Reason.PROBE_ERROR,
        INCONCLUSIVE,
        "could not be measured: no row that both predicted",
        ROWS,
        pairs=(pair(error="no row that both predicted"),),
    ),
    "a model that returns NaN rows": Case(
        GOOD,
        GOOD,
        FAILED,
        Reason.RETURNED_NAN,
        DEVIATED,
        "no finite number on the sealed rows",
        ROWS,
        pairs=(pair(estimate=math.nan, n_rows=100, n_not_numbers=3, margin=0.01),),
    ),
    "rows without an interval": Case(
        GOOD,
        GOOD,
        UNKNOWN,
        Reason.INTERVAL_TOO_WIDE,
        INCONCLUSIVE,
        "no interval could be given",
        ROWS,
        pairs=(pair(estimate=0.0, n_rows=1, margin=0.01),),
    ),
}


def verdict_of(case: Case, **changes: Any) -> Verdict:
    trials, observations = paired(case.control, case.treatment, case.status)
    if case.error:
        observations = [one.model_copy(update={"error": case.error}) for one in observations]
    the_plan = plan([case.check], **changes)
    return judge(the_plan, trials, observations, [handle(Phase.REVERTED)], facts(), T0, pairs=case.pairs)


@pytest.mark.parametrize("name", CASES)
def test_an_input_at_the_edge_has_a_sensible_answer(name: str) -> None:
    case = CASES[name]
    verdict = verdict_of(case)
    (check,) = verdict.checks
    assert (check.state, check.reason, verdict.outcome) == (case.state, case.reason, case.outcome)
    assert case.says in verdict.sentence
    assert verdict.sentence.endswith(".")
    assert Verdict.model_validate_json(verdict.canonical()) == verdict


@pytest.mark.parametrize("name", CASES)
def test_a_fixed_design_is_no_bolder_at_the_edge(name: str) -> None:
    verdict = verdict_of(CASES[name], analysis=Analysis(seeds=4, design=Design.FIXED))
    assert verdict.outcome in (CASES[name].outcome, INCONCLUSIVE)


@pytest.mark.parametrize("name", CASES)
def test_an_input_at_the_edge_can_be_shown(name: str) -> None:
    (check,) = verdict_of(CASES[name]).checks
    shown = panel(check, 0.05, "run")
    assert shown.effect or shown.evidence or shown.nothing
    assert dict(shown.facts)["Answer"]


READINGS = st.sampled_from(
    [None, math.nan, math.inf, -math.inf, HUGE, -HUGE, 5e-324, 0.0, 0.9, 0.9, True, "n/a", 10**400]
)
CHECKS = st.sampled_from([AUC, RELATIVE, SLICE, DONE, RANGE, UNDER])


@st.composite
def evidence(draw: st.DrawFn) -> tuple[list[Trial], list[Observation]]:
    """Trials of both arms, with readings from the edge."""
    trials, observations = [], []
    for arm in (Arm.CONTROL, Arm.TREATMENT):
        for seed in range(100, 100 + draw(st.integers(0, 4))):
            status = draw(st.sampled_from([TrialStatus.COMPLETED] * 4 + list(TrialStatus)))
            made = trial(arm, seed, status, signals=(signal("gate"),) if status is TrialStatus.BLOCKED else ())
            trials.append(made)
            observations.append(read(made, draw(READINGS)))
    return trials, observations


@settings(max_examples=400, deadline=None)
@given(evidence(), CHECKS, st.sampled_from(Design), st.randoms(use_true_random=False))
def test_what_was_not_measured_is_never_held(
    given_evidence: tuple[list[Trial], list[Observation]], check: Check, design: Design, random: Any
) -> None:
    trials, observations = given_evidence
    the_plan = plan([check], analysis=Analysis(seeds=4, design=design))

    def judged(trials: list[Trial], observations: list[Observation]) -> Verdict:
        return judge(the_plan, trials, observations, [handle(Phase.REVERTED)], facts(), T0 + timedelta(hours=1))

    verdict = judged(trials, observations)
    is_decided(the_plan, trials, observations, facts())
    if verdict.outcome is HELD:
        values = {(one.arm, one.seed): one.value for one in observations}
        for one in trials:
            refused = one.arm is Arm.TREATMENT and one.status is TrialStatus.BLOCKED
            value = values[one.arm, one.seed]
            asked = one.arm is Arm.TREATMENT or check.when is When.ALWAYS
            assert refused or not asked or (isinstance(value, bool | float) and math.isfinite(value)), one
    shuffled = random.sample(trials, len(trials)), random.sample(observations, len(observations))
    assert judged(*shuffled).canonical() == verdict.canonical()
