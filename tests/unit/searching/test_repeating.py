"""The same run again: same question, same version, same seeds, same verdict; and a refusal where that cannot be."""

from __future__ import annotations

from pathlib import Path

import pytest

from chaos_tasks.errors import GuardTripped, LedgerError, SetupError
from chaos_tasks.model.plan import Overrides
from chaos_tasks.model.request import RunRequest
from chaos_tasks.model.target import Target
from chaos_tasks.model.trial import Arm
from chaos_tasks.model.verdict import Outcome
from chaos_tasks.runs import Run
from chaos_tasks.searching.log import started_of
from chaos_tasks.searching.ramping import Ramps
from chaos_tasks.searching.repeating import Repeated, Repeats
from chaos_tasks.searching.shrinking import Shrinks
from chaos_tasks.targets.dvc import SourceVersion
from tests.unit.searching.toys import CHECK, Response, breaking_at, ramp_request, share_of
from tests.unit.toy_project import TARGET, ToyProject, ToyWorkspaces, experiment, register


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ToyProject:
    project = ToyProject(tmp_path / "home")
    register(monkeypatch, project.fault)
    project.metrics = Response(project, breaking_at(0.18))
    return project


def run(toy: ToyProject, **overrides: object) -> None:
    told = {"steady_state": [{**CHECK, "deterministic": True}], "analysis": {"seeds": 10}}
    request = RunRequest(run_id="run-1", experiment=experiment(**told), overrides=Overrides.model_validate(overrides))
    toy.engine().run(request)


def again(toy: ToyProject, of: str = "run-1", *, anyway: bool = False) -> Repeated:
    return Repeats(toy.engine()).run("repro-1", of, anyway=anyway)


def trainings(toy: ToyProject, run_id: str) -> list[tuple[Arm, int]]:
    assert isinstance(toy.metrics, Response)
    return [(arm, seed) for name, arm, seed in toy.metrics.trainings if name == run_id]


def test_same_seed_same_verdict(toy: ToyProject) -> None:
    run(toy)
    toy.clock.advance(3 * 86400)  # the date would give other seeds
    toy.ledger.beat("sweeper")
    repeated = again(toy)
    assert repeated.ended.agrees
    assert repeated.ended.differences == ()
    assert repeated.ended.sentence == "The same verdict; every number is the same."
    assert repeated.before.checks == repeated.after.checks
    assert repeated.after.outcome is Outcome.DEVIATED
    first, second = (Run(toy.ledger, name).plan() for name in ("run-1", "repro-1.1"))
    assert first.seeds == second.seeds
    assert first.experiment_digest == second.experiment_digest
    assert second.search_id == "repro-1"


def test_controls_are_trained_again_although_the_log_has_them(toy: ToyProject) -> None:
    run(toy)
    again(toy)
    assert trainings(toy, "repro-1.1") == trainings(toy, "run-1")


def test_overrides_are_those_of_then(toy: ToyProject) -> None:
    run(toy, intensity=0.1, seeds=4, base_seed=7)
    assert again(toy).ended.agrees
    plan = Run(toy.ledger, "repro-1.1").plan()
    assert (share_of(plan), plan.seeds) == (0.1, (7, 8, 9, 10))


def test_another_verdict_is_said_side_by_side(toy: ToyProject) -> None:
    run(toy)
    toy.metrics = Response(toy, breaking_at(0.9))
    repeated = again(toy)
    assert repeated.ended.agrees is False
    first = repeated.ended.differences[0]
    assert (first.what, first.before, first.after) == ("outcome", "deviated", "held")
    assert repeated.ended.sentence.startswith("Another verdict; other in outcome")


def test_other_numbers_with_the_same_answer_agree_and_are_named(toy: ToyProject) -> None:
    run(toy)
    toy.metrics = Response(toy, lambda share: 0.031)
    repeated = again(toy)
    assert repeated.ended.agrees
    assert [one.what for one in repeated.ended.differences] == ["check auc"]


def test_another_target_file_is_refused_by_field_and_run_on_request(toy: ToyProject) -> None:
    run(toy)
    (toy.home / "toy.yaml").write_text(TARGET.replace("train {seed}", "train --fast {seed}"))
    with pytest.raises(GuardTripped, match=r"is not what run run-1 used: workload.run") as caught:
        again(toy)
    assert "--anyway" in caught.value.remedy
    assert started_of(toy.ledger, "repro-1") is None
    repeated = again(toy, anyway=True)
    assert repeated.ended.agrees
    assert [one.what for one in repeated.ended.differences] == ["target digest"]
    assert "not on the version of then" in repeated.ended.sentence


class Moved(ToyWorkspaces):
    """The source has gone on, and lost the commit of then."""

    def resolve(self, target: Target) -> SourceVersion:
        if target.source.rev == "c" * 40:
            raise SetupError("nowhere has no branch, tag or commit 'ccc'", remedy="correct `source.rev`")
        return SourceVersion(commit="f" * 40, data={}, sealed=None, data_digest="e" * 64)


def test_a_commit_that_is_gone_is_refused(toy: ToyProject) -> None:
    run(toy)
    toy.workspaces = Moved(toy.home, "python", toy.workspaces.clients)
    with pytest.raises(GuardTripped, match=r"commit cccccccccccc of nowhere, which run run-1 used") as caught:
        again(toy)
    assert "git fetch" in caught.value.remedy
    repeated = again(toy, anyway=True)
    assert {one.what for one in repeated.ended.differences} == {"source commit", "data digest"}


class Rewritten(ToyWorkspaces):
    """The same commit names other data: the target file declares other paths, or history was rewritten."""

    def resolve(self, target: Target) -> SourceVersion:
        return SourceVersion(commit="c" * 40, data={}, sealed=None, data_digest="e" * 64)


def test_other_data_at_the_same_commit_are_refused(toy: ToyProject) -> None:
    run(toy)
    toy.workspaces = Rewritten(toy.home, "python", toy.workspaces.clients)
    with pytest.raises(GuardTripped, match="are not those that the pinned run used"):
        again(toy)
    assert toy.fault.injections == 1


def test_what_has_no_verdict_cannot_be_compared(toy: ToyProject) -> None:
    with pytest.raises(LedgerError, match="no run run-1"):
        again(toy)
    toy.engine().arm(RunRequest(run_id="run-1", experiment=experiment()))
    with pytest.raises(LedgerError, match="run-1 has no verdict"):
        again(toy)


def test_a_ramp_is_repeated_as_a_ramp(toy: ToyProject) -> None:
    Ramps(toy.engine()).run(ramp_request())
    repeated = again(toy, "ramp-1")
    assert repeated.ended.agrees
    assert repeated.ended.differences == ()
    assert repeated.after.run_id == "repro-1.1"
    assert Run(toy.ledger, "repro-1.1.2").verdict() is not None


def test_a_ramp_that_breaks_elsewhere_does_not_agree(toy: ToyProject) -> None:
    Ramps(toy.engine()).run(ramp_request())
    toy.metrics = Response(toy, breaking_at(0.12))
    repeated = again(toy, "ramp-1")
    assert repeated.ended.agrees is False
    assert "breaking point" in [one.what for one in repeated.ended.differences]


def test_of_a_reduction_the_smallest_is_repeated_and_of_a_repetition_its_run(toy: ToyProject) -> None:
    run(toy)
    ended = Shrinks(toy.engine()).run("shrink-1", "run-1")
    repeated = again(toy, "shrink-1")
    assert repeated.before.run_id == [run.run_id for run in ended.runs if run.answer == "deviated"][-1]
    assert repeated.ended.agrees
    assert Repeats(toy.engine()).run("repro-2", "repro-1").before.run_id == "repro-1.1"


def test_a_repetition_that_was_judged_is_read_back(toy: ToyProject) -> None:
    run(toy)
    first = again(toy)
    count = len(trainings(toy, "repro-1.1"))
    assert again(toy) == first
    assert len(trainings(toy, "repro-1.1")) == count
