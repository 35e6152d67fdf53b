"""A run that deviated is reduced by whole runs, and the file that comes out deviates again by itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from chaos_tasks.errors import GuardTripped, LedgerError
from chaos_tasks.loading import load_experiment
from chaos_tasks.model.record import RecordKind, SearchEnded
from chaos_tasks.model.request import RunRequest
from chaos_tasks.model.search import Answer
from chaos_tasks.model.verdict import Outcome
from chaos_tasks.runs import Run
from chaos_tasks.searching.log import started_of
from chaos_tasks.searching.ramping import Ramps
from chaos_tasks.searching.reproducer import as_yaml, reproducer
from chaos_tasks.searching.shrinking import Shrinks
from tests.unit.searching.toys import CHECK, Response, breaking_at, ramp_request, share_of
from tests.unit.toy_project import ToyProject, experiment

OTHER = {**CHECK, "name": "loss", "params": {"metric": "loss"}}


def deviated(toy: ToyProject, breaks: float = 0.08, **changes: object) -> Response:
    """Run once at share 0.4, so that there is something to reduce."""
    toy.metrics = response = Response(toy, breaking_at(breaks))
    step = {"name": "write", "fault": "toy.word", "target": "data", "params": {"share": 0.4}}
    told = {"steady_state": [CHECK], "method": [step], "analysis": {"seeds": 10, "base_seed": 3}, **changes}
    toy.engine().run(RunRequest(run_id="run-1", experiment=experiment(**told)))
    return response


def shrunk(toy: ToyProject, of: str = "run-1", **options: object) -> SearchEnded:
    return Shrinks(toy.engine()).run("shrink-1", of, **options)  # type: ignore[arg-type]


def shares(toy: ToyProject, ended: SearchEnded) -> list[float]:
    return [share_of(Run(toy.ledger, run.run_id).plan()) for run in ended.runs]


def test_the_intensity_comes_down_to_where_it_still_deviates(toy: ToyProject) -> None:
    deviated(toy)
    ended = shrunk(toy)
    assert ended.reproducer is not None
    assert 0.08 <= ended.reproducer.method[0].params["share"] <= 0.11  # type: ignore[operator]
    assert ended.sentence.startswith("0.4 -> 0.1, 10 -> ")
    assert ended.sentence.endswith(f"{len(ended.runs)} runs.")
    assert shares(toy, ended)[:2] == [0.2, 0.1]
    assert max(shares(toy, ended)) <= 0.2


def test_every_try_is_a_whole_run_on_the_version_and_seeds_of_the_first(toy: ToyProject) -> None:
    deviated(toy)
    ended = shrunk(toy)
    first = Run(toy.ledger, "run-1").plan()
    for run in ended.runs:
        plan = Run(toy.ledger, run.run_id).plan()
        assert plan.seeds == first.seeds[: len(plan.seeds)]
        assert plan.search_id == "shrink-1"
        assert plan.experiment.analysis.alpha == pytest.approx(0.05 / 12)
        assert RecordKind.REVERT_VERIFIED in toy.kinds(run.run_id)


def test_it_ends_after_the_runs_it_was_given(toy: ToyProject) -> None:
    deviated(toy)
    ended = shrunk(toy, max_runs=2)
    assert [run.asked for run in ended.runs] == ["share 0.2", "share 0.1"]


def test_only_the_same_check_counts(toy: ToyProject) -> None:
    """Whatever else deviates in a smaller run is another finding."""

    def metrics(spec: object) -> dict[str, float]:
        values = dict(Response.__call__(response, spec))  # type: ignore[arg-type]
        hurt = "treatment" in str(getattr(spec, "arm", ""))
        return {**values, "loss": 1.0 if not hurt else 0.5}

    response = Response(toy, breaking_at(0.08))
    toy.metrics = metrics
    step = {"name": "write", "fault": "toy.word", "target": "data", "params": {"share": 0.4}}
    told = {"steady_state": [CHECK, OTHER], "method": [step], "analysis": {"seeds": 10, "base_seed": 3}}
    toy.engine().run(RunRequest(run_id="run-1", experiment=experiment(**told)))
    ended = shrunk(toy, check="auc")
    started = started_of(toy.ledger, "shrink-1")
    assert started is not None
    assert [one.name for one in started.experiment.steady_state] == ["auc"]
    assert ended.reproducer is not None
    assert [one.name for one in ended.reproducer.steady_state] == ["auc"]


def test_nothing_smaller_is_said_so(toy: ToyProject) -> None:
    deviated(toy, 0.39, analysis={"seeds": 6, "base_seed": 3, "design": "fixed"})
    ended = shrunk(toy)
    assert all(run.answer is not Answer.DEVIATED for run in ended.runs if run.asked.startswith("share"))


def test_a_run_that_held_is_refused(toy: ToyProject) -> None:
    deviated(toy, 0.9)
    with pytest.raises(GuardTripped, match=r"not one that deviated \(held\)"):
        shrunk(toy)
    with pytest.raises(LedgerError, match="no run run-9"):
        shrunk(toy, of="run-9")


def test_a_check_that_did_not_fail_is_refused(toy: ToyProject) -> None:
    deviated(toy)
    with pytest.raises(GuardTripped, match="check loss of run run-1 did not fail") as caught:
        shrunk(toy, check="loss")
    assert caught.value.remedy == "choose one of auc"


def test_a_ramp_is_reduced_from_its_lowest_level_that_broke(toy: ToyProject) -> None:
    toy.metrics = Response(toy, breaking_at(0.18))
    Ramps(toy.engine()).run(ramp_request())
    ended = shrunk(toy, of="ramp-1")
    assert ended.of == "ramp-1"
    started = started_of(toy.ledger, "shrink-1")
    assert started is not None
    assert started.level_alpha == pytest.approx(0.05 / 12)  # of the whole: the ramp's levels had a sixth of it
    assert max(shares(toy, ended)) <= 0.2


def test_what_a_killed_process_has_tried_is_not_tried_again(toy: ToyProject) -> None:
    response = deviated(toy)

    class Killed(BaseException):
        pass

    def die(spec: object) -> None:
        if getattr(spec, "run_id", "") == "shrink-1.3":
            raise Killed

    toy.during = die
    with pytest.raises(Killed):
        shrunk(toy)
    toy.during = lambda spec: None
    before = [one for one in response.trainings if one[0] in ("shrink-1.1", "shrink-1.2")]
    ended = shrunk(toy)
    assert [one for one in response.trainings if one[0] in ("shrink-1.1", "shrink-1.2")] == before
    assert ended.sentence.startswith("0.4 -> 0.1")
    assert shrunk(toy) == ended


def test_the_file_loads_and_deviates_again_by_itself(toy: ToyProject, tmp_path: Path) -> None:
    deviated(toy)
    ended = shrunk(toy)
    assert ended.reproducer is not None
    small = reproducer(ended.reproducer)
    path = tmp_path / "small.yaml"
    path.write_text(as_yaml(small, "Found by hand.\nTwice."))
    assert path.read_text().startswith("# Found by hand.\n# Twice.\n")
    loaded = load_experiment(path)
    assert loaded.experiment == small
    assert (small.name, small.nightly) == ("toy-small", False)
    verdict = toy.engine().run(RunRequest(run_id="again", experiment=loaded.experiment))
    assert verdict.outcome is Outcome.DEVIATED


def test_a_long_name_stays_a_name() -> None:
    assert len(reproducer(experiment(name="-".join(["a" * 29] * 2))).name) <= 60
