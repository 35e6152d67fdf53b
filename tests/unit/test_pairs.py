"""Trials stop when the verdict is decided, controls run only when needed, and known controls are not run again."""

from __future__ import annotations

from typing import Any

from chaos_tasks.model.record import RecordKind
from chaos_tasks.model.request import RunRequest
from chaos_tasks.model.spec import TrialSpec
from chaos_tasks.model.trial import Arm
from chaos_tasks.model.verdict import Outcome, Verdict
from chaos_tasks.runs import Run
from tests.unit.toy_project import ToyProject, experiment

NOISE = (0.0, 0.004, -0.003, 0.002, -0.004, 0.001, 0.003, -0.002, 0.004, -0.001, 0.002, -0.003)


def auc(drop: float) -> Any:
    """Metrics of a toy whose treatment is worse by ``drop``, give or take the seed's own noise."""

    def metrics(spec: TrialSpec) -> dict[str, float]:
        treated = spec.arm is Arm.TREATMENT
        return {"auc": 0.9 + NOISE[spec.seed] / 3 - (drop + NOISE[spec.seed - 1] if treated else 0.0)}

    return metrics


def asked(run_id: str = "run-1", campaign_id: str = "", *, deterministic: bool = True, **analysis: Any) -> RunRequest:
    check = {
        "name": "auc",
        "probe": "model.metric",
        "params": {"metric": "auc"},
        "tolerance": {"type": "non_inferiority", "margin": 0.01},
        "deterministic": deterministic,
    }
    told = {"seeds": 10, "base_seed": 1, **analysis}
    toy = experiment(steady_state=[check], analysis=told)
    return RunRequest(run_id=run_id, campaign_id=campaign_id, experiment=toy)


def ran(toy: ToyProject, request: RunRequest) -> Verdict:
    toy.words_seen.clear()
    return toy.engine().run(request)


def count(toy: ToyProject, arm: Arm) -> int:
    """Trials that really ran, by the runner's own count."""
    return sum(seen is arm for seen, _ in toy.words_seen)


def test_a_large_harm_takes_three_pairs_at_most(toy: ToyProject) -> None:
    toy.metrics = auc(0.07)
    verdict = ran(toy, asked())
    assert verdict.outcome is Outcome.DEVIATED
    assert count(toy, Arm.TREATMENT) <= 3
    assert count(toy, Arm.CONTROL) <= 3
    assert verdict.trials_saved == 20 - len(toy.words_seen)


def test_no_harm_is_held_before_all_seeds_are_spent(toy: ToyProject) -> None:
    toy.metrics = auc(0.0)
    verdict = ran(toy, asked())
    assert verdict.outcome is Outcome.HELD
    assert count(toy, Arm.TREATMENT) < 10
    assert verdict.checks[0].decided_at_n == count(toy, Arm.TREATMENT)


def test_at_the_margin_the_bound_on_trials_comes_first(toy: ToyProject) -> None:
    toy.metrics = auc(0.01)
    verdict = ran(toy, asked(seeds=4))
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert count(toy, Arm.TREATMENT) == 4


def test_a_retry_after_the_decision_runs_nothing_more(toy: ToyProject) -> None:
    toy.metrics = auc(0.07)
    plan = toy.engine().arm(asked())
    toy.engine().baseline(plan.run_id)
    toy.engine().inject(plan.run_id)
    first = toy.engine().exercise(plan.run_id)
    assert toy.engine().exercise(plan.run_id) == first
    assert count(toy, Arm.TREATMENT) == first


def test_a_control_beside_the_fault_sees_the_clean_version(toy: ToyProject) -> None:
    toy.metrics = auc(0.0)
    ran(toy, asked())
    arms = [arm for arm, _ in toy.words_seen]
    assert arms.index(Arm.TREATMENT) < len(arms) - 1 - arms[::-1].index(Arm.CONTROL)  # some ran after the injection
    controls = Run(toy.ledger, "run-1").ended_trials(Arm.CONTROL)
    assert {end.trial.seed for end in controls} == {end.trial.seed for end in controls if not end.trial.firings}


def test_a_second_run_takes_its_controls_from_the_log(toy: ToyProject) -> None:
    toy.metrics = auc(0.07)
    first = ran(toy, asked())
    second = ran(toy, asked("run-2"))
    assert count(toy, Arm.CONTROL) == 0
    assert second.trials_reused == first.trials // 2
    assert second.checks[0].estimate == first.checks[0].estimate
    reused = Run(toy.ledger, "run-2").ended_trials(Arm.CONTROL)[0].trial
    assert (reused.run_id, reused.reused_from) == ("run-2", "run-1/control/1")


def test_readings_that_may_vary_are_never_used_again(toy: ToyProject) -> None:
    toy.metrics = auc(0.07)
    ran(toy, asked(deterministic=False))
    ran(toy, asked("run-2", deterministic=False))
    assert count(toy, Arm.CONTROL) >= 2


def test_one_known_control_per_campaign_is_run_again(toy: ToyProject) -> None:
    toy.metrics = auc(0.07)
    ran(toy, asked())
    ran(toy, asked("run-2", "night"))
    assert count(toy, Arm.CONTROL) == 1
    assert toy.notes(RecordKind.CONTROL_CHECKED, "run-2") == ["control of seed 1 run again: the same"]
    ran(toy, asked("run-3", "night"))
    assert count(toy, Arm.CONTROL) == 0


def test_a_control_that_comes_out_otherwise_is_not_used_again(toy: ToyProject) -> None:
    toy.metrics = auc(0.07)
    ran(toy, asked())
    toy.metrics = lambda spec: {name: value + 0.001 for name, value in auc(0.07)(spec).items()}
    ran(toy, asked("run-2", "night"))
    assert toy.notes(RecordKind.CONTROL_CHECKED, "run-2") == ["control of seed 1 run again: auc differ"]
    ran(toy, asked("run-3", "night"))
    fresh = Run(toy.ledger, "run-3").ended_trials(Arm.CONTROL)[0].trial
    assert fresh.reused_from != "run-1/control/1"
