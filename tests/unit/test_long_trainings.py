"""Ladders, forks and several nights through the whole engine, on the toy."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from chaos_tasks.judging.ladder import Comparison, is_audited, read_comparisons
from chaos_tasks.model.plan import Plan
from chaos_tasks.model.record import Note, Record, RecordKind
from chaos_tasks.model.request import RunRequest
from chaos_tasks.model.spec import TrialSpec
from chaos_tasks.model.trial import Arm, KeptCheckpoint, TrialStatus
from chaos_tasks.model.verdict import Outcome, Reason, Verdict
from chaos_tasks.runs import Run
from tests.unit.toy_project import TARGET, ToyProject, register, request

RUN = "run-1"
AUC = {
    "name": "auc",
    "probe": "model.metric",
    "params": {"metric": "auc"},
    "tolerance": {"type": "non_inferiority", "margin": 0.01},
}
BOUND = {**AUC, "name": "bound", "tolerance": {"type": "range", "min": 0.5}, "when": "under_fault"}
RUNGS = """
workload:
  type: command
  run: "train {seed} {checkpoints}"
  rungs: {quarter: "--rows 10", half: "--epochs 1"}
reads: {checkpoints: "*.pt", progress: {file: progress.jsonl}}
"""


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ToyProject:
    project = ToyProject(tmp_path / "home")
    register(monkeypatch, project.fault)
    kept_lines = [line for line in TARGET.splitlines() if not line.startswith("workload")]
    (project.home / "toy.yaml").write_text("\n".join([*kept_lines, RUNGS]))
    assert not is_audited(RUN)
    return project


def metrics(toy: ToyProject, worse: dict[str, float], *, cheap: float = 0.0, noise: float = 1e-3) -> None:
    """AUC under treatment by how much ``worse`` it is at each rung; ``cheap``: how much worse a rung's control is."""

    def auc(spec: TrialSpec) -> dict[str, float]:
        wobble = noise * (spec.seed % 7 - 3) if spec.arm is Arm.TREATMENT else 0.0
        harm = worse.get(spec.rung or "whole", 0.0) if spec.arm is Arm.TREATMENT else 0.0
        return {"auc": 0.9 - (cheap if spec.rung else 0.0) - harm + wobble}

    toy.metrics = auc


def asked(run_id: str = RUN, *, checks: tuple[dict[str, Any], ...] = (AUC,), **analysis: Any) -> RunRequest:
    given = {"seeds": 6, "base_seed": 1, **analysis}
    return request(run_id, steady_state=list(checks), analysis=given)


def ran(toy: ToyProject, run_id: str = RUN) -> list[tuple[str, Arm]]:
    """Rung and arm of each trial, in order, each once."""
    trials = [end.trial for end in Run(toy.ledger, run_id).ended_trials()]
    return list(dict.fromkeys((trial.rung or "whole", trial.arm) for trial in trials))


# --- the ladder ----------------------------------------------------------------------------------------------------


def test_a_deviation_on_the_first_rung_ends_the_run_and_names_the_rung(toy: ToyProject) -> None:
    metrics(toy, {"quarter": 0.1, "half": 0.1, "whole": 0.1})
    verdict = toy.engine().run(asked(ladder=["quarter", "half"]))
    assert (verdict.outcome, verdict.rung) == (Outcome.DEVIATED, "quarter")
    assert "On the cheap rung quarter (--rows 10)" in verdict.sentence
    assert Reason.CHEAP_RUNG in verdict.reasons
    assert "on the rung quarter" in verdict.checks[0].estimand
    assert ran(toy) == [("quarter", Arm.CONTROL), ("quarter", Arm.TREATMENT)]
    assert verdict.trials_saved == 12
    assert toy.notes(RecordKind.RUNG_COMPARED) == []


def test_a_rung_that_holds_is_not_believed_at_first(toy: ToyProject) -> None:
    metrics(toy, {"whole": 0.1})
    verdict = toy.engine().run(asked(ladder=["quarter"]))
    assert (verdict.outcome, verdict.rung) == (Outcome.DEVIATED, "")
    assert [rung for rung, _ in ran(toy)] == ["quarter", "quarter", "whole", "whole"]
    [comparison] = read_comparisons(toy.ledger.records(kinds=[RecordKind.RUNG_COMPARED]))
    assert (comparison.rung_outcome, comparison.whole_outcome) == (Outcome.HELD, Outcome.DEVIATED)


def test_the_next_rung_is_tried_before_the_whole(toy: ToyProject) -> None:
    metrics(toy, {"half": 0.1})
    verdict = toy.engine().run(asked(ladder=["quarter", "half"]))
    assert (verdict.outcome, verdict.rung) == (Outcome.DEVIATED, "half")
    assert "whole" not in {rung for rung, _ in ran(toy)}


def agreed(toy: ToyProject, plan: Plan, times: int) -> None:
    """Past runs in which the whole workload held as the rung did."""
    for number in range(times):
        one = Comparison(
            target="toy",
            target_digest=plan.target_digest,
            rung="quarter",
            experiment_digest="e",
            seeds=(number,),
            rung_outcome=Outcome.HELD,
            whole_outcome=Outcome.HELD,
        )
        note = Note(text="agreed", facts=one.facts())
        key = f"past-{number}"
        at = toy.clock.now()
        toy.ledger.append(Record(kind=RecordKind.RUNG_COMPARED, idem_key=key, occurred_at=at, run_id=key, payload=note))


@pytest.mark.parametrize(("times", "rung"), [(28, ""), (29, "quarter")])
def test_a_rung_may_say_held_once_its_agreement_is_measured(toy: ToyProject, times: int, rung: str) -> None:
    metrics(toy, {})
    agreed(toy, toy.engine().plan(asked(ladder=["quarter"])), times)
    verdict = toy.engine().run(asked(ladder=["quarter"]))
    assert (verdict.outcome, verdict.rung) == (Outcome.HELD, rung)
    plan = Run(toy.ledger, RUN).plan()
    assert (plan.rungs[0].compared, plan.rungs[0].may_hold) == (times, bool(rung))


def test_an_audited_run_goes_to_the_whole_workload_whatever_its_rung_says(toy: ToyProject) -> None:
    audited = next(f"run-{number}" for number in range(2, 100) if is_audited(f"run-{number}"))
    metrics(toy, {"quarter": 0.1})
    verdict = toy.engine().run(asked(audited, ladder=["quarter"]))
    assert (verdict.outcome, verdict.rung) == (Outcome.HELD, "")
    [comparison] = read_comparisons(toy.ledger.records(kinds=[RecordKind.RUNG_COMPARED]))
    assert (comparison.rung_outcome, comparison.whole_outcome) == (Outcome.DEVIATED, Outcome.HELD)


def test_a_bound_that_the_cheap_rung_misses_by_itself_is_no_deviation(toy: ToyProject) -> None:
    metrics(toy, {}, cheap=0.5)
    verdict = toy.engine().run(asked(checks=(BOUND,), ladder=["quarter"]))
    assert (verdict.outcome, verdict.rung) == (Outcome.HELD, "")


def test_a_stop_condition_on_a_rung_ends_the_run(toy: ToyProject) -> None:
    metrics(toy, {"quarter": 0.6})
    told = request(
        steady_state=[BOUND],
        guards={"stop_when": ["bound"]},
        analysis={"seeds": 4, "base_seed": 1, "ladder": ["quarter"]},
    )
    verdict = toy.engine().run(told)
    assert verdict.outcome is Outcome.ABORTED
    assert {rung for rung, _ in ran(toy)} == {"quarter"}


def test_a_ladder_may_be_called_again_at_every_step(toy: ToyProject) -> None:
    metrics(toy, {"whole": 0.1})
    engine = toy.engine()
    engine.arm(asked(ladder=["quarter"]))
    for _ in range(2):
        toy.engine().baseline(RUN)
    engine.inject(RUN)
    counts = {toy.engine().exercise(RUN) for _ in range(3)}
    assert len(counts) == 1
    engine.revert(RUN)
    assert toy.engine().judge(RUN) == toy.engine().judge(RUN)


# --- several nights ------------------------------------------------------------------------------------------------


def night(toy: ToyProject, number: int, **analysis: Any) -> Verdict:
    """One night's run, under the seeds of its date."""
    toy.clock.advance(timedelta(days=1).total_seconds())
    toy.ledger.beat("sweeper")
    given = {"seeds": 2, "base_seed": None, "nights": 3, **analysis}
    return toy.engine().run(asked(f"night-{number}", **given))


def test_an_undecided_night_is_continued_by_the_next_one(toy: ToyProject) -> None:
    metrics(toy, {}, noise=1e-3)
    first, second = night(toy, 1), night(toy, 2)
    assert (first.outcome, first.reasons) == (Outcome.INCONCLUSIVE, (Reason.INTERVAL_TOO_WIDE,))
    assert second.outcome is Outcome.HELD
    assert second.continues == ("night-1",)
    assert Run(toy.ledger, "night-2").plan().continues == ("night-1",)
    assert len(second.checks[0].seeds) > len(first.checks[0].seeds)
    assert set(first.checks[0].seeds) < set(second.checks[0].seeds)
    assert "Counted with it: 1 earlier run." in second.sentence
    assert second.trials <= 4  # tonight's only


def test_after_a_decision_the_question_begins_anew(toy: ToyProject) -> None:
    metrics(toy, {}, noise=1e-3)
    assert night(toy, 1).outcome is Outcome.INCONCLUSIVE
    assert night(toy, 2).outcome is Outcome.HELD
    assert night(toy, 3).continues == ()


def test_the_same_seeds_again_add_nothing(toy: ToyProject) -> None:
    metrics(toy, {}, noise=1e-3)
    verdicts = [night(toy, number, base_seed=5) for number in (1, 2, 3)]
    assert [verdict.continues for verdict in verdicts] == [(), (), ()]
    assert {verdict.outcome for verdict in verdicts} == {Outcome.INCONCLUSIVE}


def test_without_nights_nothing_is_carried_over(toy: ToyProject) -> None:
    metrics(toy, {}, noise=1e-3)
    assert [night(toy, number, nights=1).continues for number in (1, 2)] == [(), ()]


def test_a_night_that_went_wrong_is_not_counted(toy: ToyProject) -> None:
    metrics(toy, {}, noise=1e-3)
    toy.fault.trouble["inject"] = OSError("half-way")
    assert night(toy, 1).outcome is Outcome.INCONCLUSIVE
    toy.fault.trouble.clear()
    assert night(toy, 2).continues == ()


# --- forks ---------------------------------------------------------------------------------------------------------


def fork_request(toy: ToyProject) -> RunRequest:
    """The toy's fault lies in the data, so that the workload has to say that it goes on all the same."""
    text = (toy.home / "toy.yaml").read_text()
    (toy.home / "toy.yaml").write_text(text.replace("  rungs:", '  fork_changed: "--go-on"\n  rungs:'))
    return asked(fork={"at_step": 60})


def keeping(toy: ToyProject, *, at_step: int = 60) -> None:
    def kept(spec: TrialSpec) -> KeptCheckpoint:
        folder = Path(spec.keep_in)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "ckpt-60.pt").write_bytes(b"weights")
        return KeptCheckpoint(
            at_step=at_step, step=60, folder=str(folder), files={"ckpt-60.pt": "s"}, newest="ckpt-60.pt", after_s=1
        )

    toy.kept = kept


def test_each_treatment_goes_on_from_its_own_control(toy: ToyProject) -> None:
    metrics(toy, {})
    keeping(toy)
    seen: list[TrialSpec] = []
    toy.during = seen.append
    verdict = toy.engine().run(fork_request(toy))
    assert verdict.outcome is Outcome.HELD
    treated = [end.trial for end in Run(toy.ledger, RUN).ended_trials(Arm.TREATMENT)]
    assert [trial.forked_from for trial in treated] == [f"{RUN}/control/{trial.seed}" for trial in treated]
    assert verdict.steps_saved == 60 * len(treated)
    assert verdict.sentence.startswith("With data that changed at step 60: ")
    assert verdict.checks[0].estimand.endswith("treatment from step 60 on")
    commands = {(spec.arm, spec.command[-1]) for spec in seen}
    assert (Arm.TREATMENT, "--go-on") in commands
    assert (Arm.CONTROL, "--go-on") not in commands


def test_a_control_without_a_checkpoint_makes_one_void_trial_and_no_more(toy: ToyProject) -> None:
    metrics(toy, {})
    verdict = toy.engine().run(fork_request(toy))
    treated = [end.trial for end in Run(toy.ledger, RUN).ended_trials(Arm.TREATMENT)]
    assert [trial.status for trial in treated] == [TrialStatus.VOID]
    assert "no checkpoint at or before step 60" in treated[0].error
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert Reason.TRIALS_VOID in verdict.reasons


def test_a_kept_checkpoint_that_is_gone_makes_the_trial_void(toy: ToyProject) -> None:
    metrics(toy, {})
    keeping(toy)
    engine, told = toy.engine(), fork_request(toy)
    engine.arm(told)
    engine.baseline(RUN)
    for path in toy.home.rglob("ckpt-60.pt"):
        path.unlink()
    engine.inject(RUN)
    engine.exercise(RUN)
    [trial] = [end.trial for end in Run(toy.ledger, RUN).ended_trials(Arm.TREATMENT)]
    assert "is not there any more" in trial.error
