"""Operators: what they ask of the engine, what they leave in XCom, and how they fail."""

from __future__ import annotations

import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from types import SimpleNamespace

import pytest
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException, TaskDeferred

from chaos_tasks.errors import Fenced, GuardTripped, InLine, RevertError, SetupError
from chaos_tasks.loading import load_experiment
from chaos_tasks.model.experiment import KnownFinding
from chaos_tasks.model.plan import Overrides, Recorder
from chaos_tasks.model.record import Note, Record, RecordKind, Stored
from chaos_tasks.model.request import RunRequest
from chaos_tasks.model.verdict import Outcome, Response, Verdict
from chaos_tasks.testing.clock import FakeClock
from chaos_tasks.testing.memory_ledger import MemoryLedger
from squall_operators import base, steps
from squall_operators.on_demand import ChooseExperimentOperator
from squall_operators.rendering import as_template
from squall_operators.run_ids import run_id_of
from squall_operators.turning import TurnTrigger
from tests import permit_samples
from tests.unit.operators.conftest import FakeTaskInstance, Squall, context_of

RUN = run_id_of("chaos_label-flip", FakeTaskInstance.run_id)
HELD = Verdict(
    run_id=RUN,
    experiment="label-flip",
    outcome=Outcome.HELD,
    response=Response.MASKED,
    checks=(),
    decided_at=datetime(2026, 1, 15, tzinfo=UTC),
)


@dataclass
class FakeEngine:
    """Answers, and keeps what it was asked."""

    result: Verdict = HELD
    error: Exception | None = None
    asked: list[object] = field(default_factory=list)
    handed_over: list[str] = field(default_factory=list)
    fenced: bool = False
    on_exercise: Callable[[], None] = lambda: None
    stopped: bool = False

    def arm(self, request: RunRequest) -> object:
        """Remember the request."""
        self._answer(request)
        return SimpleNamespace(run_id=request.run_id, seeds=(1, 2))

    def exercise(self, run_id: str, *, task_place: object, stop: Callable[[], bool]) -> int:
        """Run until something happens, then look whether to stop."""
        self._answer(task_place)
        self.on_exercise()
        self.stopped = stop()
        return 1

    def baseline(self, run_id: str) -> int:
        """Two."""
        self._answer(run_id)
        return 2

    def inject(self, run_id: str) -> tuple[object, ...]:
        """Nothing to do."""
        self._answer(run_id)
        return ()

    def revert(self, run_id: str, *, by: str) -> tuple[object, ...]:
        """Nothing to do."""
        self._answer((run_id, by))
        return ()

    def hand_over(self, run_id: str) -> None:
        """Remember it, or be fenced."""
        self.handed_over.append(run_id)
        if self.fenced:
            raise Fenced("swept")

    def judge(self, run_id: str) -> Verdict:
        """The verdict."""
        self._answer(run_id)
        return self.result

    def publish(self, run_id: str) -> str:
        """A page."""
        self._answer(run_id)
        return "http://mlflow.test/#/experiments/1/runs/2"

    verdict = judge

    def _answer(self, asked: object) -> None:
        self.asked.append(asked)
        if self.error is not None:
            raise self.error


@dataclass
class FakeLedger:
    """Records to read."""

    stored: list[Stored] = field(default_factory=list)
    registered: bool = True

    def records(self, *, run_id: str, kinds: tuple[RecordKind, ...]) -> list[Stored]:
        """Those of the kinds."""
        return [one for one in self.stored if one.record.kind in kinds]


class FakeSquall(SimpleNamespace):
    """What composition builds."""

    def __enter__(self) -> FakeSquall:
        return self

    def __exit__(self, *_: object) -> None:
        self.closed = True


@pytest.fixture
def squall(monkeypatch: pytest.MonkeyPatch) -> FakeSquall:
    """The domain, faked; `registered` says whether the run has a plan."""
    fake = FakeSquall(engine=FakeEngine(), ledger=FakeLedger(), recorder=None, closed=False, sealed=[])
    fake.sealer = SimpleNamespace(after=fake.sealed.append)

    def build(recorder: Recorder, **_: object) -> FakeSquall:
        fake.recorder = recorder
        return fake

    monkeypatch.setattr(base, "build", build)
    monkeypatch.setattr(steps, "refusal_of", lambda squall, run_id: "")
    return fake


def arm(project: Squall, **more: object) -> steps.ArmFaultOperator:
    """An arm task of the simple experiment."""
    loaded = load_experiment(project.write("label-flip"))
    fields = ["intensity", "seeds"]
    return steps.ArmFaultOperator(
        task_id="arm", experiment=as_template(loaded.experiment), experiment_sha256=loaded.sha256, form_fields=fields
    )


def test_arm_asks_for_the_experiment_with_its_overrides(project: Squall, squall: FakeSquall) -> None:
    assert arm(project).execute(context_of({"intensity": 0.2})) == RUN
    (request,) = squall.engine.asked
    assert request.run_id == RUN
    assert request.experiment.name == "label-flip"
    assert request.overrides == Overrides(intensity=0.2)
    assert request.requested_by == "user:olga"
    assert request.experiment_file_sha256
    assert squall.closed


@pytest.mark.parametrize("operator", [steps.TrainBaselineOperator, steps.InjectFaultOperator])
def test_who_comes_before_a_task_with_a_lane_lets_the_run_wait_for_it(
    squall: FakeSquall, operator: type[steps.SquallOperator]
) -> None:
    operator(task_id="t").execute(context_of())
    assert squall.engine.handed_over == [RUN]
    squall.engine.fenced = True
    with pytest.raises(AirflowFailException, match="swept"):
        operator(task_id="t").execute(context_of())


def test_a_revert_that_is_proved_stays_so_where_the_run_was_swept(squall: FakeSquall) -> None:
    squall.engine.fenced = True
    steps.RevertFaultOperator(task_id="revert").execute(context_of())
    assert squall.engine.handed_over == [RUN]


def test_arm_leaves_its_slot_while_it_stands_in_line_and_goes_on_at_its_turn(
    project: Squall, squall: FakeSquall
) -> None:
    since = datetime(2026, 1, 15, 2, tzinfo=UTC)
    squall.engine.error = InLine("not its turn", run_id=RUN, since=since)
    task = arm(project)
    with pytest.raises(TaskDeferred) as caught:
        task.execute(context_of())
    assert squall.closed
    assert task.patience is not None
    name, told = caught.value.trigger.serialize()
    assert told == {"run_id": RUN, "until": (since + task.patience).timestamp()}
    assert (name, TurnTrigger(**told).serialize()) == (f"{TurnTrigger.__module__}.TurnTrigger", (name, told))
    squall.engine.error = None
    assert getattr(task, caught.value.method_name)(context_of(), event={"run_id": RUN, "came": True}) == RUN


@pytest.mark.parametrize("judge", ["skipped", "failed", "upstream_failed"])
def test_the_revert_judges_a_run_whose_judge_airflow_has_ended(squall: FakeSquall, judge: str) -> None:
    asked: list[str] = []
    aborted = HELD.model_copy(update={"outcome": Outcome.ABORTED, "sentence": "Stopped."})
    squall.engine.end = lambda run_id, why: asked.append(run_id) or aborted
    squall.ledger = MemoryLedger(FakeClock())
    permit_samples.register(squall.ledger, RUN)
    context = context_of()
    context["ti"].judge = judge  # type: ignore[attr-defined]
    with pytest.raises(AirflowFailException, match="everything is out, and label-flip is aborted"):
        steps.RevertFaultOperator(task_id="revert").execute(context)
    assert asked == [RUN]
    assert squall.engine.handed_over == []


def test_the_revert_leaves_the_verdict_to_a_judge_that_is_still_to_come(squall: FakeSquall) -> None:
    squall.ledger = MemoryLedger(FakeClock())
    permit_samples.register(squall.ledger, RUN)
    steps.RevertFaultOperator(task_id="revert").execute(context_of())
    assert squall.engine.handed_over == [RUN]


def test_run_of_a_campaign_names_it(project: Squall, squall: FakeSquall) -> None:
    assert arm(project).execute(context_of({"campaign_id": "night-2026-01-15"})) == "night-2026-01-15.label-flip"
    (request,) = squall.engine.asked
    assert (request.campaign_id, request.requested_by) == ("night-2026-01-15", "campaign")


def test_a_run_that_another_dag_has_triggered_carries_its_parent_in_lineage(
    project: Squall, squall: FakeSquall
) -> None:
    """OpenLineage's provider adds it to the conf; no person sets it, and it changes nothing."""
    arm(project).execute(context_of({"openlineage": {"parentRunId": "of the night"}, "intensity": 0.2}))
    assert squall.engine.asked[0].overrides.intensity == 0.2


@pytest.mark.parametrize("conf", [{"intensty": 0.2}, {"hold_s": 3}, {"seeds": "many"}, {"seeds": 0}])
def test_conf_outside_the_form_is_refused_before_anything_is_touched(
    project: Squall, squall: FakeSquall, conf: dict[str, object]
) -> None:
    with pytest.raises(AirflowFailException, match=next(iter(conf))):
        arm(project).execute(context_of(conf))
    assert squall.engine.asked == []


@pytest.mark.parametrize(
    ("run_type", "run_id"), [("backfill", "backfill__1"), ("manual", "__airflow_temporary_run_2026-01-15__")]
)
def test_runs_without_a_teardown_are_refused(project: Squall, squall: FakeSquall, run_type: str, run_id: str) -> None:
    with pytest.raises(AirflowFailException, match="trigger"):
        arm(project).execute(context_of(run_type=run_type, run_id=run_id))
    assert squall.engine.asked == []


def test_recorder_names_the_airflow_task(project: Squall, squall: FakeSquall) -> None:
    arm(project).execute(context_of())
    recorder = squall.recorder
    assert (recorder.dag_id, recorder.task_id) == ("chaos_label-flip", "arm")
    assert recorder.dag_run_id == FakeTaskInstance.run_id
    assert recorder.host
    assert recorder.airflow_version.startswith("3.")


@pytest.mark.parametrize("error", [GuardTripped("no", remedy="wait"), Fenced("swept")])
def test_refusal_is_not_retried(project: Squall, squall: FakeSquall, error: Exception) -> None:
    squall.engine.error = error
    with pytest.raises(AirflowFailException) as caught:
        arm(project).execute(context_of())
    assert str(caught.value) == str(error)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_missing_server_is_retried(project: Squall, squall: FakeSquall) -> None:
    squall.engine.error = SetupError("MLflow is down")
    with pytest.raises(SetupError):
        arm(project).execute(context_of())


@pytest.mark.parametrize("error", [RevertError("still in"), GuardTripped("no"), Fenced("swept")])
def test_revert_is_always_tried_again(squall: FakeSquall, error: Exception) -> None:
    squall.engine.error = error
    with pytest.raises(type(error)):
        steps.RevertFaultOperator(task_id="revert").execute(context_of())


def test_kill_asks_the_engine_to_stop(squall: FakeSquall) -> None:
    exercise = steps.ExerciseWorkloadOperator(task_id="exercise")
    squall.engine.on_exercise = exercise.on_kill
    exercise.execute(context_of())
    assert squall.engine.stopped


def test_exercise_tells_where_its_own_process_is(squall: FakeSquall) -> None:
    import os

    steps.ExerciseWorkloadOperator(task_id="exercise").execute(context_of())
    (place,) = squall.engine.asked
    assert place.pid == os.getpid()
    assert place.start_time > 0
    assert not squall.engine.stopped


def test_segmentation_fault_ends_the_process(squall: FakeSquall) -> None:
    """Airflow's DAG importer leaves a handler behind under which it would re-fault for ever."""
    before = signal.signal(signal.SIGSEGV, lambda *_: None)
    try:
        steps.RevertFaultOperator(task_id="revert").execute(context_of())
        assert signal.getsignal(signal.SIGSEGV) is signal.SIG_DFL
    finally:
        signal.signal(signal.SIGSEGV, before)


def verdict(**changes: object) -> Verdict:
    """HELD, changed."""
    return HELD.model_copy(update=changes)


@pytest.mark.parametrize("outcome", [outcome for outcome in Outcome if outcome is not Outcome.HELD])
def test_verdict_fails_on_anything_but_held(squall: FakeSquall, outcome: Outcome) -> None:
    squall.engine.result = verdict(outcome=outcome, sentence="accuracy fell by 0.04")
    with pytest.raises(AirflowFailException, match=r"fell by 0\.04"):
        steps.VerdictOperator(task_id="verdict").execute(context_of())


def test_verdict_passes_when_held_or_known(squall: FakeSquall) -> None:
    assert steps.VerdictOperator(task_id="verdict").execute(context_of()) == RUN
    known = KnownFinding(ticket="ML-7", reason="accepted", expires=date(2030, 1, 1))
    squall.engine.result = verdict(outcome=Outcome.DEVIATED, known_finding=known)
    assert steps.VerdictOperator(task_id="verdict").execute(context_of()) == RUN


def test_verdict_fails_while_something_is_left_in(squall: FakeSquall) -> None:
    squall.engine.error = RevertError("h1 is still injected", remedy="squall revert h1")
    with pytest.raises(RevertError, match="squall revert h1"):
        steps.VerdictOperator(task_id="verdict").execute(context_of())


def test_finding_does_not_fail_judge(squall: FakeSquall) -> None:
    squall.engine.result = verdict(outcome=Outcome.UNREVERTED)
    steps.JudgeExperimentOperator(task_id="judge").execute(context_of())


def test_publish_leaves_links_only(squall: FakeSquall) -> None:
    context = context_of()
    assert steps.PublishRunOperator(task_id="publish").execute(context) is None
    assert set(context["ti"].pushed) == {"mlflow_url", "report_url"}  # type: ignore[attr-defined]


def test_refused_run_is_neither_judged_nor_published_and_is_no_success(
    squall: FakeSquall, monkeypatch: pytest.MonkeyPatch
) -> None:
    note = Record(
        kind=RecordKind.RUN_REFUSED,
        idem_key="k",
        occurred_at=HELD.decided_at,
        run_id=RUN,
        payload=Note(text="no sweeper is alive"),
    )
    squall.ledger.stored.append(Stored(seq=0, leaf_sha256="", record=note))
    monkeypatch.undo()
    monkeypatch.setattr(base, "build", lambda recorder, **_: squall)
    for operator in (steps.JudgeExperimentOperator, steps.PublishRunOperator):
        with pytest.raises(AirflowSkipException, match="no sweeper"):
            operator(task_id="t").execute(context_of())
    with pytest.raises(AirflowFailException, match="no sweeper"):
        steps.VerdictOperator(task_id="verdict").execute(context_of())
    assert squall.engine.asked == []


def test_on_demand_request_becomes_the_ids_of_a_run(project: Squall) -> None:
    project.write("label-flip")
    choose = ChooseExperimentOperator(task_id="choose", form_fields=["experiment", "intensity"])
    conf = {"experiment": "label-flip", "intensity": 0.3}
    chosen = choose.execute(context_of(conf, params=conf))
    assert chosen["dag_id"] == "chaos_label-flip"
    assert chosen["conf"] == {"intensity": 0.3}
    assert chosen["run_id"] == run_id_of("chaos_label-flip", str(chosen["dag_run_id"]))


@pytest.mark.parametrize(
    "conf",
    [{"experiment": "none"}, {"experiment": "label-flip", "intensity": 0.9}, {"experiment": "label-flip", "x": 1}],
)
def test_on_demand_request_that_does_not_fit_is_refused(project: Squall, conf: dict[str, object]) -> None:
    project.write("label-flip")
    choose = ChooseExperimentOperator(task_id="choose", form_fields=["experiment", "intensity"])
    with pytest.raises(AirflowFailException):
        choose.execute(context_of(conf, params=conf))


def test_the_end_of_a_dag_run_signs_the_log_before_it_says_what_became_of_it(squall: FakeSquall) -> None:
    squall.engine.result = verdict(outcome=Outcome.DEVIATED)
    with pytest.raises(AirflowFailException):
        steps.VerdictOperator(task_id="verdict").execute(context_of())
    assert squall.sealed == [f"the DAG run {RUN}"]
