"""A ramp is a few whole runs on one version and the same seeds, resumes where it was, and claims what it was told."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chaos_tasks.errors import GuardTripped, SetupError
from chaos_tasks.model.handle import OPEN_PHASES
from chaos_tasks.model.plan import Overrides
from chaos_tasks.model.record import RecordKind, SearchEnded
from chaos_tasks.model.search import Answer, BreakingPoint
from chaos_tasks.model.spec import TrialSpec
from chaos_tasks.model.trial import Arm
from chaos_tasks.model.verdict import Outcome, Reason
from chaos_tasks.runs import Run
from chaos_tasks.safety import lever
from chaos_tasks.searching.log import ended_of, require_ended, started_of
from chaos_tasks.searching.ramping import Ramps
from tests.unit.searching.toys import LEVELS, MARGIN, Harm, Response, breaking_at, ramp_request, share_of
from tests.unit.toy_project import HEALTHY, ToyProject, ToyWorkspaces

KILL = {"name": "kill", "fault": "process.kill", "target": "workload", "trigger": {"at": "progress", "step": 2}}


def respond(toy: ToyProject, harm: Harm, noise: float = 1e-4) -> Response:
    response = Response(toy, harm, noise)
    toy.metrics = response
    return response


def point(toy: ToyProject, search_id: str = "ramp-1") -> BreakingPoint:
    found = require_ended(toy.ledger, search_id).breaking_point
    assert found is not None
    return found


def ended(toy: ToyProject) -> SearchEnded:
    return require_ended(toy.ledger, "ramp-1")


def test_a_breaking_point_is_found_between_two_levels_by_few_runs(toy: ToyProject) -> None:
    respond(toy, breaking_at(0.18))
    verdict = Ramps(toy.engine()).run(ramp_request())
    assert verdict.outcome is Outcome.DEVIATED
    assert (point(toy).held_at, point(toy).broke_at) == (0.15, 0.2)
    assert len(ended(toy).runs) <= 3
    assert verdict.sentence.startswith("Breaks between share 0.15 and 0.2: at 0.2, AUC fell by 0.030")
    assert "95 % confidence, if more of it never harms less; 3 runs" in verdict.sentence
    assert [check.check for check in verdict.checks] == ["auc"]
    assert Run(toy.ledger, "ramp-1").verdict() == verdict
    assert not toy.ledger.handles(phases=OPEN_PHASES)


def test_levels_share_version_and_seeds_and_the_error_rate(toy: ToyProject) -> None:
    respond(toy, breaking_at(0.18))
    Ramps(toy.engine()).run(ramp_request())
    plans = [Run(toy.ledger, run.run_id).plan() for run in ended(toy).runs]
    assert {plan.seeds for plan in plans} == {tuple(range(1, 9))}
    assert {(plan.source_commit, plan.search_id, plan.experiment.ramp) for plan in plans} == {
        ("c" * 40, "ramp-1", None)
    }
    assert all(plan.experiment.analysis.alpha == pytest.approx(0.05 / 6) for plan in plans)
    assert [share_of(plan) for plan in plans] == [run.level for run in ended(toy).runs]
    assert point(toy).level_alpha == pytest.approx(0.05 / 6)


def test_the_question_is_in_the_log_before_the_first_run(toy: ToyProject) -> None:
    respond(toy, breaking_at(0.18))
    Ramps(toy.engine()).run(ramp_request())
    kinds = [stored.record.kind for stored in toy.ledger.records()]
    assert kinds[0] is RecordKind.SEARCH_STARTED
    assert kinds[-2:] == [RecordKind.SEARCH_ENDED, RecordKind.EVALUATE_VERDICT]
    started = started_of(toy.ledger, "ramp-1")
    assert started is not None
    assert started.pin is not None
    assert started.pin.seeds == tuple(range(1, 9))


@pytest.mark.parametrize(
    ("breaks", "outcome", "held_at", "broke_at", "words"),
    [
        (0.0, Outcome.DEVIATED, None, 0.05, "Breaks at share 0.05 or below"),
        (9.0, Outcome.HELD, 0.3, None, "Holds up to share 0.3, the highest level"),
    ],
)
def test_what_breaks_below_or_above_all_levels_says_so(
    toy: ToyProject, breaks: float, outcome: Outcome, held_at: float | None, broke_at: float | None, words: str
) -> None:
    respond(toy, breaking_at(breaks))
    verdict = Ramps(toy.engine()).run(ramp_request())
    assert verdict.outcome is outcome
    assert (point(toy).held_at, point(toy).broke_at) == (held_at, broke_at)
    assert verdict.sentence.startswith(words)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.floats(0, 0.4), st.integers(2, 6))
def test_the_interval_covers_any_truth(toy: ToyProject, breaks: float, runs: int) -> None:
    name = f"ramp-{len(list(toy.ledger.records()))}"
    respond(toy, breaking_at(breaks))
    Ramps(toy.engine()).run(ramp_request(name, ramp={"levels": LEVELS, "runs": runs}))
    found = point(toy, name)
    assert found.held_at is None or found.held_at < breaks
    assert found.broke_at is None or found.broke_at >= breaks
    assert len(require_ended(toy.ledger, name).runs) <= runs


def test_at_the_margin_nothing_is_claimed_and_seeds_that_could_not_help_are_not_spent(toy: ToyProject) -> None:
    respond(toy, lambda share: MARGIN if share >= 0.1 else 0.0, noise=0.004)
    verdict = Ramps(toy.engine()).run(ramp_request(ramp={"levels": [0.05, 0.1], "runs": 6}))
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert point(toy).broke_at is None
    assert point(toy).undecided == (0.1,)
    assert "nothing is known" in verdict.sentence
    assert [run.answer for run in ended(toy).runs] == [Answer.HELD, Answer.UNDECIDED]


def test_too_few_seeds_are_doubled_once(toy: ToyProject) -> None:
    response = respond(toy, breaking_at(0.1))
    told = {"seeds": 2, "base_seed": 1}
    verdict = Ramps(toy.engine()).run(ramp_request(ramp={"levels": [0.05, 0.1], "runs": 6}, analysis=told))
    assert verdict.outcome is Outcome.DEVIATED
    assert (point(toy).held_at, point(toy).broke_at) == (0.05, 0.1)
    assert [run.run_id for run in ended(toy).runs] == ["ramp-1.0", "ramp-1.1", "ramp-1.1-2", "ramp-1.0-2"]
    assert {seed for run_id, _, seed in response.trainings if run_id == "ramp-1.1-2"} == {1, 2, 3}
    assert Run(toy.ledger, "ramp-1.1-2").plan().seeds == (1, 2, 3, 4)


def test_a_target_that_cannot_be_measured_is_not_asked_again(toy: ToyProject) -> None:
    toy.metrics = lambda spec: {"auc": 0.9} if spec.arm is not Arm.TREATMENT else {}
    verdict = Ramps(toy.engine()).run(ramp_request())
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert verdict.sentence.startswith("No level could be decided")
    assert len({run.level for run in ended(toy).runs}) == len(ended(toy).runs) <= 5


# --- refusals and ends ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"ramp": None}, "has no ramp"),
        ({"guards": {"blast_radius": 0.25}}, "30% of data, above guards.blast_radius = 25%"),
        ({"method": [KILL]}, "process.kill has no intensity"),
        ({"ramp": {"levels": [0.1, 2.0], "runs": 2}}, "share = 2.0 is refused"),
    ],
)
def test_a_ramp_that_cannot_be_asked_is_refused_before_its_first_run(
    toy: ToyProject, changes: dict[str, Any], why: str
) -> None:
    with pytest.raises(GuardTripped, match=why) as caught:
        Ramps(toy.engine()).run(ramp_request(**changes))
    assert caught.value.remedy
    assert toy.notes(RecordKind.RUN_REFUSED, "ramp-1") == [caught.value.message]
    assert toy.fault.injections == 0


def test_an_intensity_of_a_person_is_refused(toy: ToyProject) -> None:
    request = ramp_request().model_copy(update={"overrides": Overrides(intensity=0.1)})
    with pytest.raises(GuardTripped, match="chooses its intensities itself"):
        Ramps(toy.engine()).run(request)


def test_seeds_of_a_person_count(toy: ToyProject) -> None:
    response = respond(toy, breaking_at(0.18))
    Ramps(toy.engine()).run(ramp_request().model_copy(update={"overrides": Overrides(seeds=6, base_seed=50)}))
    assert {seed for _, _, seed in response.trainings} <= set(range(50, 56))
    assert 50 in {seed for _, _, seed in response.trainings}


def test_the_lever_ends_a_ramp_as_aborted(toy: ToyProject) -> None:
    respond(toy, breaking_at(0.18))

    def pull(spec: TrialSpec) -> None:
        if spec.run_id != "ramp-1.2":
            lever.pull(toy.home, "halt", toy.clock.now())

    toy.during = pull
    verdict = Ramps(toy.engine()).run(ramp_request())
    assert verdict.outcome is Outcome.ABORTED
    assert point(toy).held_at == 0.15
    assert toy.word("ramp-1.4") == HEALTHY


def test_one_that_was_stopped_says_what_is_known(toy: ToyProject) -> None:
    respond(toy, breaking_at(0.18))
    verdict = Ramps(toy.engine()).run(ramp_request(), stop=lambda: Run(toy.ledger, "ramp-1.2").verdict() is not None)
    assert verdict.outcome is Outcome.ABORTED
    assert verdict.reasons == (Reason.GUARD_TRIPPED,)
    assert verdict.sentence.startswith(
        "Stopped: the search that ramp-1.4 belongs to was stopped. Holds up to share 0.15"
    )
    assert point(toy).held_at == 0.15


def test_what_cannot_be_reverted_ends_the_ramp_as_unreverted(toy: ToyProject) -> None:
    respond(toy, breaking_at(0.18))
    toy.fault.trouble["revert"] = OSError("stuck")
    verdict = Ramps(toy.engine()).run(ramp_request())
    assert verdict.outcome is Outcome.UNREVERTED
    assert "squall revert ramp-1.2/write" in verdict.sentence
    assert len(ended(toy).runs) == 1


# --- killed and resumed ----------------------------------------------------------------------------------------------


def test_a_judged_ramp_is_not_run_again(toy: ToyProject) -> None:
    response = respond(toy, breaking_at(0.18))
    first = Ramps(toy.engine()).run(ramp_request())
    trainings = len(response.trainings)
    assert Ramps(toy.engine()).run(ramp_request()) == first
    assert len(response.trainings) == trainings


class Killed(BaseException):
    """The process is gone: nothing of it runs any more."""


def kill_at(toy: ToyProject, run_id: str, arm: Arm) -> None:
    """Run until a trial of this run, and end there as SIGKILL would: neither revert nor verdict."""
    engine = toy.engine()

    def die(spec: TrialSpec) -> None:
        if spec.run_id == run_id and spec.arm is arm:
            raise Killed

    toy.during = die
    with pytest.raises(Killed):
        Ramps(engine).run(ramp_request())
    toy.during = lambda spec: None


@pytest.mark.parametrize("arm", [Arm.CONTROL, Arm.TREATMENT])
def test_a_killed_ramp_goes_on_where_it_was(toy: ToyProject, arm: Arm) -> None:
    response = respond(toy, breaking_at(0.18))
    kill_at(toy, "ramp-1.4", arm)
    assert Run(toy.ledger, "ramp-1.2").verdict() is not None
    asked = [run_id for run_id, _, _ in response.trainings if run_id == "ramp-1.2"]
    verdict = Ramps(toy.engine()).run(ramp_request())
    assert verdict.outcome is Outcome.DEVIATED
    assert (point(toy).held_at, point(toy).broke_at) == (0.15, 0.2)
    assert [run_id for run_id, _, _ in response.trainings if run_id == "ramp-1.2"] == asked
    assert {run.run_id for run in ended(toy).runs} == {"ramp-1.2", "ramp-1.4", "ramp-1.3"}


def test_a_level_whose_fault_was_swept_meanwhile_is_closed_and_asked_anew(toy: ToyProject) -> None:
    respond(toy, breaking_at(0.18))
    kill_at(toy, "ramp-1.4", Arm.TREATMENT)
    toy.clock.advance(120)
    assert toy.sweeper().sweep(by="sweep")
    toy.ledger.beat("sweeper")
    verdict = Ramps(toy.engine()).run(ramp_request())
    assert verdict.outcome is Outcome.DEVIATED
    assert (point(toy).held_at, point(toy).broke_at) == (0.15, 0.2)
    closed = Run(toy.ledger, "ramp-1.4").verdict()
    assert closed is not None
    assert closed.outcome is not Outcome.HELD
    assert {run.run_id for run in ended(toy).runs} == {"ramp-1.2", "ramp-1.4-2", "ramp-1.3"}


def test_a_ramp_whose_process_is_gone_can_be_closed_from_outside(toy: ToyProject) -> None:
    respond(toy, breaking_at(0.18))
    kill_at(toy, "ramp-1.4", Arm.TREATMENT)
    assert toy.ledger.handles(phases=OPEN_PHASES)
    verdict = Ramps(toy.engine()).close("ramp-1")
    assert verdict is not None
    assert verdict.outcome is Outcome.ABORTED
    assert "Holds up to share 0.15" in verdict.sentence
    assert not toy.ledger.handles(phases=OPEN_PHASES)
    assert not toy.ledger._locks
    assert Ramps(toy.engine()).close("ramp-1") == verdict
    assert Ramps(toy.engine()).close("ramp-2") is None


def test_an_error_between_two_levels_is_no_answer(toy: ToyProject) -> None:
    respond(toy, breaking_at(0.18))
    toy.fault.trouble["snapshot"] = SetupError("gone")
    with pytest.raises(SetupError):
        Ramps(toy.engine()).run(ramp_request())
    assert ended_of(toy.ledger, "ramp-1") is None
    toy.fault.trouble.clear()
    assert Ramps(toy.engine()).run(ramp_request()).outcome is Outcome.DEVIATED


def test_a_ramp_that_a_later_try_began_is_closed_with_a_verdict_though_its_first_was_refused(
    toy: ToyProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    respond(toy, breaking_at(0.18))

    def away(self: ToyWorkspaces, target: object) -> None:
        raise SetupError("the repository is away")

    with monkeypatch.context() as patch:
        patch.setattr(ToyWorkspaces, "resolve", away)
        with pytest.raises(SetupError):
            Ramps(toy.engine()).run(ramp_request())
    kill_at(toy, "ramp-1.2", Arm.TREATMENT)
    verdict = Ramps(toy.engine()).close("ramp-1")
    assert verdict is not None
    assert verdict.outcome is Outcome.ABORTED


def test_a_ramp_that_was_refused_stays_refused_when_it_is_closed(toy: ToyProject) -> None:
    respond(toy, breaking_at(0.18))
    with pytest.raises(GuardTripped, match="was stopped"):
        Ramps(toy.engine()).run(ramp_request(), stop=lambda: True)
    assert started_of(toy.ledger, "ramp-1") is not None
    assert Ramps(toy.engine()).close("ramp-1") is None
    assert Run(toy.ledger, "ramp-1").verdict() is None
