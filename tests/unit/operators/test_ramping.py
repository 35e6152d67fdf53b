"""A ramp's DAG and operators: what makes it safe, what it asks of the domain, and how it ends."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import DAG
from airflow.sdk.exceptions import AirflowFailException

from chaos_tasks.errors import GuardTripped, SetupError
from chaos_tasks.loading import load_experiment
from chaos_tasks.model.plan import Overrides, Recorder
from chaos_tasks.model.record import Judged, RecordKind
from chaos_tasks.model.request import RunRequest
from chaos_tasks.model.verdict import Outcome, Response, Verdict
from squall_operators import base
from squall_operators.on_demand import ChooseExperimentOperator
from squall_operators.ramping import CloseRampOperator, PublishRampOperator, RampOperator
from squall_operators.refusals import refusal_of
from squall_operators.rendering import CONTROL_POOL, REVERT_POOL, WORK_POOL, as_template, render
from squall_operators.run_ids import run_id_of
from tests.unit.operators.conftest import EXPERIMENT, FakeTaskInstance, Squall, context_of

ORDER = ["ramp", "revert", "publish", "verdict"]
RAMP = EXPERIMENT.format(name="stepped") + "ramp: {levels: [0.1, 0.2, 0.3], runs: 3}\n"
RUN = run_id_of("chaos_label-flip", FakeTaskInstance.run_id)
BROKE = Verdict(
    run_id=RUN,
    experiment="stepped",
    outcome=Outcome.DEVIATED,
    response=Response.SILENT,
    checks=(),
    sentence="Breaks between share 0.1 and 0.2.",
    decided_at=datetime(2026, 1, 15, tzinfo=UTC),
)


@dataclass
class FakeRamps:
    """Answers, and keeps what it was asked."""

    error: Exception | None = None
    asked: list[Any] = field(default_factory=list)
    meanwhile: Callable[[], None] = lambda: None
    stopped: bool = False

    def run(self, request: RunRequest, *, stop: Callable[[], bool]) -> Verdict:
        """Look whether to stop."""
        self.asked.append(request)
        if self.error is not None:
            raise self.error
        self.meanwhile()
        self.stopped = stop()
        return BROKE

    def close(self, run_id: str) -> Verdict | None:
        """Ended."""
        self.asked.append(run_id)
        return BROKE


class FakeSquall(SimpleNamespace):
    """What composition builds."""

    def __enter__(self) -> FakeSquall:
        return self

    def __exit__(self, *_: object) -> None:
        return None


@pytest.fixture
def ramps(monkeypatch: pytest.MonkeyPatch) -> FakeRamps:
    """The domain, faked."""
    found = FakeRamps()
    runs = [SimpleNamespace(run_id=f"{RUN}.{index}") for index in (1, 0)]
    published: list[str] = []
    searches = SimpleNamespace(ramps=found, found=lambda name: SimpleNamespace(runs=runs))
    engine = SimpleNamespace(publish=lambda run_id: published.append(run_id) or f"http://mlflow.test/{run_id}")
    judged = SimpleNamespace(record=SimpleNamespace(payload=Judged(verdict=BROKE)))
    records = {RecordKind.EVALUATE_VERDICT: [judged]}
    ledger = SimpleNamespace(records=lambda run_id, kinds: [one for kind in kinds for one in records.get(kind, [])])

    def build(recorder: Recorder, **_: object) -> FakeSquall:
        return FakeSquall(searches=searches, engine=engine, ledger=ledger)

    monkeypatch.setattr(base, "build", build)
    return found


@pytest.fixture
def dag(project: Squall) -> DAG:
    """The DAG of a ramp."""
    return render(load_experiment(project.write("stepped", RAMP)))


def operator(project: Squall) -> RampOperator:
    loaded = load_experiment(project.write("stepped", RAMP))
    return RampOperator(
        task_id="ramp",
        experiment=as_template(loaded.experiment),
        experiment_sha256=loaded.sha256,
        form_fields=["seeds"],
    )


def test_four_tasks_in_order_and_verdict_is_the_only_leaf(dag: DAG) -> None:
    assert sorted(dag.task_ids) == sorted(ORDER)
    for before, after in pairwise(ORDER):
        assert after in dag.get_task(before).downstream_task_ids
    assert [task.task_id for task in dag.leaves] == ["verdict"]


def test_whatever_becomes_of_the_ramp_it_is_closed_first_and_often(dag: DAG) -> None:
    assert {dag.get_task(task_id).trigger_rule for task_id in ORDER[1:]} == {"all_done"}
    revert = dag.get_task("revert")
    assert (revert.priority_weight, revert.weight_rule, revert.retries) == (1000, "absolute", 5)
    assert dag.get_task("ramp").retries >= 1
    assert dag.dagrun_timeout is None


def test_only_the_ramp_needs_a_lane(dag: DAG) -> None:
    assert {task.task_id for task in dag.tasks if task.pool == WORK_POOL} == {"ramp"}
    assert {task.task_id for task in dag.tasks if task.pool == REVERT_POOL} == {"revert"}
    assert {task.task_id for task in dag.tasks if task.pool == CONTROL_POOL} == {"publish", "verdict"}


def test_the_form_asks_for_no_intensity(dag: DAG) -> None:
    assert sorted(dag.params) == ["base_seed", "outside_window", "seeds"]


def test_the_whole_experiment_is_asked_under_the_runs_own_id(project: Squall, ramps: FakeRamps) -> None:
    assert operator(project).execute(context_of({"seeds": 6})) == RUN
    (request,) = ramps.asked
    assert request.run_id == RUN
    assert request.experiment.ramp.levels == (0.1, 0.2, 0.3)
    assert request.overrides == Overrides(seeds=6)


def test_a_night_names_the_campaign(project: Squall, ramps: FakeRamps) -> None:
    operator(project).execute(context_of({"campaign_id": "night-2026-01-15"}))
    assert ramps.asked[0].campaign_id == "night-2026-01-15"
    assert ramps.asked[0].run_id.startswith("night-2026-01-15.")


def test_a_killed_task_asks_for_no_further_level(project: Squall, ramps: FakeRamps) -> None:
    task = operator(project)
    ramps.meanwhile = task.on_kill
    task.execute(context_of())
    assert ramps.stopped


def test_a_refusal_is_final_and_a_missing_server_is_not(project: Squall, ramps: FakeRamps) -> None:
    ramps.error = GuardTripped("the safety lever is pulled")
    with pytest.raises(AirflowFailException, match="lever"):
        operator(project).execute(context_of())
    ramps.error = SetupError("no S3")
    with pytest.raises(SetupError):
        operator(project).execute(context_of())


def test_closing_and_publishing_use_the_same_run(ramps: FakeRamps) -> None:
    CloseRampOperator(task_id="revert").execute(context_of())
    assert ramps.asked == [RUN]
    context = context_of()
    PublishRampOperator(task_id="publish").execute(context)
    assert context["ti"].pushed == {"mlflow_url": f"http://mlflow.test/{RUN}.0"}  # type: ignore[attr-defined]


def test_a_ramp_with_a_verdict_was_not_refused(ramps: FakeRamps) -> None:
    squall = base.build(Recorder())
    assert refusal_of(squall, RUN) == ""


def test_an_intensity_for_a_ramp_is_refused_before_anything_is_started(project: Squall) -> None:
    project.write("stepped", RAMP)
    choose = ChooseExperimentOperator(task_id="choose", form_fields=["intensity", "seeds"])
    with pytest.raises(AirflowFailException, match="chooses its intensities itself"):
        choose.execute(context_of({"intensity": 0.2}, params={"experiment": "stepped"}))
    chosen = choose.execute(context_of({"seeds": 2}, params={"experiment": "stepped"}))
    assert chosen["dag_id"] == "chaos_stepped"
