"""Publishing to a real MLflow database: what people find there, once, however often it is published."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import nullcontext
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest

from chaos_tasks.errors import LedgerError, SetupError
from chaos_tasks.judging.judge import judge
from chaos_tasks.model.handle import Phase
from chaos_tasks.model.record import RecordKind, Stored
from chaos_tasks.tracking.comparing import Compared, compare
from chaos_tasks.tracking.publisher import EXPERIMENT, MlflowPublisher
from tests.unit.judging.cases import T0, facts, handle, log_of, paired, plan, signal

RUN = "run-labels"


class Reader:
    """The part of a ledger that a publisher reads."""

    def __init__(self, records: list[Stored]) -> None:
        self._records = records

    def records(self, *, run_id: str | None = None, **_: Any) -> list[Stored]:
        return [stored for stored in self._records if stored.record.run_id == run_id]


def judged(judge_it: bool = True) -> list[Stored]:
    the_plan = plan()
    trials, observations = paired([0.90, 0.91, 0.89, 0.92], [0.86, 0.87, 0.85, 0.89], signals=(signal("drift"),))
    trials = [
        trial.model_copy(update={"metrics": {"auc": item.value, "nan": float("nan")}})
        for trial, item in zip(trials, observations, strict=True)
    ]
    verdict = judge(the_plan, trials, observations, [handle(Phase.REVERTED)], facts(), T0 + timedelta(minutes=9))
    return log_of(the_plan, trials, observations, verdict if judge_it else None)


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> str:
    import warnings

    folder = tmp_path_factory.mktemp("mlflow")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow's own migrations
        from mlflow.store.db.utils import _initialize_tables, create_sqlalchemy_engine

        _initialize_tables(create_sqlalchemy_engine(f"sqlite:///{folder}/mlflow.db"))  # type: ignore[no-untyped-call]
    return f"sqlite:///{folder}/mlflow.db"


@pytest.fixture(scope="module")
def published(database: str) -> MlflowPublisher:
    folder = Path(database.removeprefix("sqlite:///")).parent / "artifacts"
    publisher = MlflowPublisher(
        Reader(judged()),  # type: ignore[arg-type]  # a publisher asks for records only
        database,
        ui_url="http://127.0.0.1:5050",
        artifacts=folder.as_uri(),
    )
    publisher.publish(RUN)
    return publisher


def runs(publisher: MlflowPublisher, **tags: str) -> list[Any]:
    experiment = publisher.client().get_experiment_by_name(EXPERIMENT)
    assert experiment is not None
    condition = " and ".join(f"tags.`squall.{name}` = '{value}'" for name, value in tags.items())
    return list(publisher.client().search_runs([experiment.experiment_id], condition))


def test_a_night_holds_experiments_that_hold_trials(published: MlflowPublisher) -> None:
    (night,) = runs(published, kind="night")
    (experiment,) = runs(published, kind="experiment")
    trials = runs(published, kind="trial")
    assert experiment.data.tags["mlflow.parentRunId"] == night.info.run_id
    assert {trial.data.tags["mlflow.parentRunId"] for trial in trials} == {experiment.info.run_id}
    assert len(trials) == 8


def test_the_verdict_and_each_seed_are_shown(published: MlflowPublisher) -> None:
    (experiment,) = runs(published, kind="experiment")
    tags, metrics = experiment.data.tags, experiment.data.metrics
    assert (tags["squall.verdict"], tags["squall.response"]) == ("deviated", "detected")
    assert metrics["check.auc.low"] > metrics["check.auc.margin"] == 0.01
    history = published.client().get_metric_history(experiment.info.run_id, "treatment.auc")
    assert [(metric.step, metric.value) for metric in history] == [(100, 0.86), (101, 0.87), (102, 0.85), (103, 0.89)]


def test_the_evidence_is_a_metric_over_units_beside_the_line_that_decides(published: MlflowPublisher) -> None:
    (experiment,) = runs(published, kind="experiment")
    tags, metrics = experiment.data.tags, experiment.data.metrics

    def history(name: str) -> list[tuple[int, float]]:
        found = published.client().get_metric_history(experiment.info.run_id, f"check.auc.{name}")
        return sorted((metric.step, metric.value) for metric in found)

    fail, needed = history("log10_e_fail"), history("log10_e_needed")
    assert [step for step, _ in fail] == [step for step, _ in needed] == [1, 2, 3, 4]
    decided = int(metrics["check.auc.decided_at"])
    assert fail[decided - 1][1] >= needed[decided - 1][1] > fail[decided - 2][1]
    assert history("worse_by")[-1] == (4, metrics["check.auc.worse_by"])
    assert (tags["squall.check.auc"], tags["squall.units"]) == ("failed", "seed")
    assert "`auc` failed: worse by 0.0" in tags["mlflow.note.content"]
    assert metrics["squall.trials_saved"] == 0


def test_the_panel_is_a_page_that_loads_nothing(published: MlflowPublisher, tmp_path: Path) -> None:
    (experiment,) = runs(published, kind="experiment")
    page = Path(published.client().download_artifacts(experiment.info.run_id, "checks.html", str(tmp_path)))
    text = page.read_text(encoding="utf-8")
    assert "decided at" in text
    assert "<script" not in text
    assert "default-src 'none'" in text


def test_the_dvc_version_is_the_data_set(published: MlflowPublisher) -> None:
    (experiment,) = runs(published, kind="experiment")
    assert experiment.inputs is not None
    (used,) = experiment.inputs.dataset_inputs
    assert (used.dataset.name, used.dataset.digest) == ("flights", "d" * 36)
    assert json.loads(used.dataset.source)["digest"] == "d" * 64


def test_the_files_of_the_run_are_there(published: MlflowPublisher, tmp_path: Path) -> None:
    (experiment,) = runs(published, kind="experiment")
    names = {item.path for item in published.client().list_artifacts(experiment.info.run_id)}
    assert names == {
        *("experiment.yaml", "plan.json", "verdict.json", "ledger.jsonl", "environment.json"),
        *("checks.png", "checks.html", "timeline.png"),
    }
    ledger = Path(published.client().download_artifacts(experiment.info.run_id, "ledger.jsonl", str(tmp_path)))
    assert [Stored.model_validate_json(line).canonical() for line in ledger.read_bytes().splitlines()] == [
        stored.canonical() for stored in judged()
    ]


def test_publishing_again_changes_nothing(published: MlflowPublisher) -> None:
    def shown() -> list[tuple[str, Any, Any, int]]:
        experiment = published.client().get_experiment_by_name(EXPERIMENT)
        assert experiment is not None
        found: list[Any] = list(published.client().search_runs([experiment.experiment_id]))
        return sorted(
            (run.info.run_id, run.data.params, run.data.tags, len(run.inputs.dataset_inputs)) for run in found
        )

    before, first = shown(), published.publish(RUN)
    (experiment,) = runs(published, kind="experiment")
    assert shown() == before
    assert published.publish(RUN) == first
    assert first.endswith(f"/runs/{experiment.info.run_id}")
    assert len(published.client().get_metric_history(experiment.info.run_id, "treatment.auc")) == 4


def test_an_edited_tag_and_a_run_that_is_gone_are_told_and_not_silently(published: MlflowPublisher) -> None:
    log = judged()
    publication = log[-1].record.model_copy(update={"kind": RecordKind.RUN_PUBLISHED, "payload": None})
    said = log[-1].model_copy(update={"seq": log[-1].seq + 1, "record": publication})  # written after what it tells of
    reader = Both([*log, said], [said])
    assert compare(published, reader) == Compared(1, (), ())  # type: ignore[arg-type]
    (experiment,) = runs(published, kind="experiment")
    published.client().set_tag(experiment.info.run_id, "squall.verdict", "held")
    found = compare(published, reader)  # type: ignore[arg-type]
    assert found.edited == (f"run {RUN}: MLflow's tag squall.verdict says 'held', the log 'deviated'",)
    published.client().delete_run(experiment.info.run_id)
    gone = compare(published, reader)  # type: ignore[arg-type]
    published.client().restore_run(experiment.info.run_id)
    assert gone.missing == (f"run {RUN} was published, but MLflow shows none of that name",)


class Both:
    """A log, and what it says was published."""

    def __init__(self, log: list[Stored], published: list[Stored]) -> None:
        self.log, self.published = log, published

    def records(self, *, run_id: str = "", kinds: tuple[RecordKind, ...] = ()) -> list[Stored]:
        return self.published if kinds else self.log


def test_a_tag_that_somebody_changed_is_put_right(published: MlflowPublisher) -> None:
    (experiment,) = runs(published, kind="experiment")
    published.client().set_tag(experiment.info.run_id, "squall.verdict", "held")
    published.publish(RUN)
    assert runs(published, kind="experiment")[0].data.tags["squall.verdict"] == "deviated"


def test_one_night_however_often_it_is_asked_for(published: MlflowPublisher) -> None:
    first = published.ensure_night("2026-12-01", T0)
    assert published.ensure_night("2026-12-01", T0 + timedelta(hours=1)) == first
    published.end_night("2026-12-01", T0, {"held": 3})
    (night,) = runs(published, kind="night", campaign_id="2026-12-01")
    assert (night.data.metrics["held"], night.info.status) == (3, "FINISHED")


OPEN = """\
import sys
from chaos_tasks.tracking.publisher import MlflowPublisher
from chaos_tasks.tracking.reach import reachable
with reachable(sys.argv[1]):
    import mlflow.tracking
    print("ready", flush=True)
    sys.stdin.read()
    MlflowPublisher(None, sys.argv[1]).client()
"""


def test_a_database_that_is_not_there_yet_is_opened_by_several_at_once(tmp_path: Path) -> None:
    """The lanes of a first night end together."""
    command = [sys.executable, "-W", "ignore", "-c", OPEN, f"sqlite:///{tmp_path}/mlflow.db"]
    pipe = subprocess.PIPE
    lanes = [subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True) for _ in range(3)]
    for lane in lanes:
        assert lane.stdout is not None
        assert lane.stdout.readline() == "ready\n"
    for lane in lanes:
        assert lane.stdin is not None
        lane.stdin.close()
        lane.stdin = None
    said = [lane.communicate(timeout=120)[1][-2000:] for lane in lanes]
    assert [lane.returncode for lane in lanes] == [0, 0, 0], said


def test_a_run_without_verdict_is_not_published(database: str) -> None:
    publisher = MlflowPublisher(Reader(judged(judge_it=False)), database)  # type: ignore[arg-type]
    with pytest.raises(LedgerError, match="no verdict"):
        publisher.publish(RUN)


@pytest.mark.parametrize(
    "uri",
    [
        "sqlite:////no-such-folder/mlflow.db",
        "postgresql+psycopg2://me:secret@127.0.0.1:9/mlflow",
        "http://me:secret@127.0.0.1:9",
    ],
)
def test_mlflow_that_is_down_says_what_to_do_and_no_password(uri: str) -> None:
    publisher = MlflowPublisher(Reader(judged()), uri)  # type: ignore[arg-type]
    with pytest.raises(SetupError, match="the outcome stands") as caught:
        publisher.publish(RUN)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("uri", "told"), [("sqlite:////home/mlflow.db", "file:///home/artifacts/squall"), ("http://mlflow:5000", None)]
)
def test_where_artifacts_go_is_told_to_a_database_and_left_to_a_server(
    uri: str, told: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chaos_tasks.tracking.publisher.reachable", nullcontext)
    night = SimpleNamespace(data=SimpleNamespace(tags={"squall.key": "night"}), info=Mock(start_time=0, run_id="known"))
    client = Mock(get_experiment_by_name=Mock(return_value=None), search_runs=Mock(return_value=[night]))
    publisher = MlflowPublisher(Mock(), uri, artifacts="file:///home/artifacts", _client=client)
    assert publisher.ensure_night("night", T0) == "known"
    client.create_experiment.assert_called_once_with(EXPERIMENT, artifact_location=told)
