"""Publishes judged runs to MLflow: night > experiment > trial.

Everything is found again by a tag before it is made, so that publishing twice shows the same runs once.  Batches go
through MlflowClient: the fluent interface would keep global state and costs several times as many statements.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from chaos_tasks.errors import LedgerError
from chaos_tasks.judging.dossier import Dossier, read_dossier
from chaos_tasks.model.base import canonical
from chaos_tasks.ports import LedgerReader
from chaos_tasks.redacting import redacted
from chaos_tasks.tracking.artifacts import write_artifacts
from chaos_tasks.tracking.content import RunView, arms, experiment_view, trial_view
from chaos_tasks.tracking.reach import alone, reachable

if TYPE_CHECKING:
    from mlflow.entities import Metric, Param, Run, RunTag
    from mlflow.tracking import MlflowClient

EXPERIMENT = "squall"
KEY = "squall.key"
PARENT = "mlflow.parentRunId"
METRICS_PER_BATCH = 1000  # MLflow's limits
PARAMS_PER_BATCH = 100


@dataclass
class MlflowPublisher:
    """ports.Publisher on an MLflow tracking server or its database."""

    reader: LedgerReader
    uri: str
    ui_url: str = ""
    artifacts: str = ""  # root of artifacts where ``uri`` is a database; a server knows its own
    _client: MlflowClient | None = field(default=None, repr=False)
    _experiment_id: str = ""

    def publish(self, run_id: str) -> str:
        """Publish a judged run from its records; returns its page, or `mlflow:RUN` without a UI.

        Raises LedgerError for a run without verdict, SetupError when MLflow cannot be written; nothing is lost then.
        """
        dossier = read_dossier(list(self.reader.records(run_id=run_id)))
        if dossier is None or dossier.plan is None or dossier.verdict is None:
            raise LedgerError(f"run {run_id} has no verdict to publish", remedy="judge it first")
        with reachable(self.uri):
            night = self._night(dossier.plan.campaign_id, dossier.started_at) if dossier.plan.campaign_id else ""
            return self._url(self._publish(dossier, night))

    def ensure_night(self, campaign_id: str, at: datetime) -> str:
        """MLflow id of the night's run, made at ``at`` if there is none; processes that race agree on one."""
        with reachable(self.uri):
            return self._night(campaign_id, at)

    def end_night(self, campaign_id: str, at: datetime, numbers: Mapping[str, float]) -> str:
        """Write the night's numbers and end its run; returns its page."""
        from mlflow.entities import Metric

        with reachable(self.uri):
            night = self._night(campaign_id, at)
            metrics = [Metric(name, value, _ms(at), 0) for name, value in sorted(numbers.items())]
            self.client().log_batch(night, metrics=metrics)
            self.client().set_terminated(night, "FINISHED", _ms(at))
            return self._url(night)

    def show_pack(self, title: str, folder: Path, told: Mapping[str, str], at: datetime) -> str:
        """Log a copy of an evidence pack to a run of its own; returns its page."""
        with reachable(self.uri):
            tags = {"squall.kind": "evidence", **{f"squall.evidence.{name}": text for name, text in told.items()}}
            made = self.client().create_run(self._experiment(), start_time=_ms(at), tags=tags, run_name=title)
            mlflow_id = str(made.info.run_id)
            self.client().log_artifacts(mlflow_id, str(folder))
            self.client().set_terminated(mlflow_id, "FINISHED", _ms(at))
            return self._url(mlflow_id)

    def client(self) -> MlflowClient:
        """The client; importing it is what costs, a few seconds once per process."""
        if self._client is None:
            from mlflow.tracking import MlflowClient

            with alone(self.uri):
                self._client = MlflowClient(tracking_uri=self.uri)
        return self._client

    def _publish(self, dossier: Dossier, night: str) -> str:
        view = experiment_view(dossier)
        known = self._known(f"tags.`squall.run_id` = '{_quoted(dossier.run_id)}'")
        run = self._write(view, known.get(view.key), night, dossier.run_id)
        for trial in arms(dossier):
            part = trial_view(trial)
            self._write(part, known.get(part.key), run, dossier.run_id)
        self._log_data(run, dossier)
        with tempfile.TemporaryDirectory(prefix="squall-") as folder:
            write_artifacts(dossier, Path(folder))
            self.client().log_artifacts(run, folder)
        return run

    def _known(self, condition: str) -> dict[str, Run]:
        """Published runs by key; the oldest where one is there twice."""
        found = self.client().search_runs([self._experiment()], condition, max_results=5000)
        ordered = sorted(found, key=_age, reverse=True)
        return {run.data.tags[KEY]: run for run in ordered if KEY in run.data.tags}

    def _write(self, view: RunView, known: Run | None, parent: str, run_id: str) -> str:
        """Make the run or bring it up to date."""
        from mlflow.entities import Metric, Param, RunTag

        shown = {name: redacted(value, free=False) for name, value in view.tags.items()}
        tags = {**shown, KEY: view.key, "squall.run_id": run_id, **({PARENT: parent} if parent else {})}
        mlflow_id: str = known.info.run_id if known is not None else self._create(view, tags)
        at = _ms(view.ended_at)
        metrics = [Metric(metric.name, metric.value, at, metric.step) for metric in view.metrics]
        have = known.data.params if known is not None else {}
        params = [Param(name, redacted(value, free=False)) for name, value in view.params.items() if name not in have]
        changed = [RunTag(name, value) for name, value in tags.items()] if known is not None else []
        self._log(mlflow_id, metrics, params, changed)
        self.client().set_terminated(mlflow_id, "FAILED" if view.failed else "FINISHED", at)
        return mlflow_id

    def _create(self, view: RunView, tags: Mapping[str, str]) -> str:
        run = self.client().create_run(
            self._experiment(), start_time=_ms(view.started_at), tags=dict(tags), run_name=view.name
        )
        return str(run.info.run_id)

    def _log(self, mlflow_id: str, metrics: list[Metric], params: list[Param], tags: list[RunTag]) -> None:
        """In as few batches as MLflow allows."""
        self.client().log_batch(mlflow_id, metrics[:800], params[:100], tags[:100], synchronous=True)
        for start in range(800, len(metrics), METRICS_PER_BATCH):
            self.client().log_batch(mlflow_id, metrics=metrics[start : start + METRICS_PER_BATCH])
        for start in range(100, len(params), PARAMS_PER_BATCH):
            self.client().log_batch(mlflow_id, params=params[start : start + PARAMS_PER_BATCH])

    def _log_data(self, mlflow_id: str, dossier: Dossier) -> None:
        """The DVC version as the run's data set: name, digest and where it is from; no row of it."""
        from mlflow.entities import Dataset, DatasetInput, InputTag

        plan = dossier.plan
        if plan is None:
            return
        source = {
            "repo": plan.target.source.repo,
            "commit": plan.source_commit,
            "data": list(plan.target.source.data),
            "digest": plan.data_digest,
        }
        data = Dataset(plan.target.name, plan.data_digest[:36], "dvc", canonical(source).decode())
        self.client().log_inputs(mlflow_id, [DatasetInput(data, [InputTag("mlflow.data.context", "control")])])

    def _night(self, campaign_id: str, at: datetime) -> str:
        condition = f"tags.`squall.kind` = 'night' and tags.`squall.campaign_id` = '{_quoted(campaign_id)}'"
        known = self._known(condition)
        if known:
            return str(known[campaign_id].info.run_id)
        tags = {"squall.kind": "night", "squall.campaign_id": campaign_id, KEY: campaign_id}
        mine = self._create(RunView(f"night {campaign_id}", campaign_id, at, at), tags)
        oldest = str(self._known(condition)[campaign_id].info.run_id)
        if oldest != mine:  # somebody else was faster; both see the same two runs, and so choose the same one
            self.client().delete_run(mine)
        return oldest

    def _experiment(self) -> str:
        """Id of MLflow's experiment, made on first use."""
        if not self._experiment_id:
            self._experiment_id = self._find_experiment() or self._make_experiment()
        return self._experiment_id

    def _find_experiment(self) -> str:
        found = self.client().get_experiment_by_name(EXPERIMENT)
        return str(found.experiment_id) if found is not None else ""

    def _make_experiment(self) -> str:
        from mlflow.exceptions import MlflowException

        # A server that is told a folder has its clients write there, each on its own disk.
        own = bool(self.artifacts) and not self.uri.startswith("http")
        location = f"{self.artifacts.rstrip('/')}/{EXPERIMENT}" if own else None
        try:
            return str(self.client().create_experiment(EXPERIMENT, artifact_location=location))
        except MlflowException:
            found = self._find_experiment()  # made by another process in between
            if not found:
                raise
            return found

    def _url(self, mlflow_id: str) -> str:
        if not self.ui_url and not self.uri.startswith("http"):
            return f"mlflow:{mlflow_id}"
        return f"{(self.ui_url or self.uri).rstrip('/')}/#/experiments/{self._experiment()}/runs/{mlflow_id}"


def _age(run: Run) -> tuple[int, str]:
    return int(run.info.start_time or 0), str(run.info.run_id)


def _quoted(text: str) -> str:
    """For a filter string of MLflow, which knows no escape."""
    if "'" in text:
        raise LedgerError(f"{text!r} cannot be looked up in MLflow", remedy="use ids without quotes")
    return text


def _ms(at: datetime) -> int:
    return int(at.timestamp() * 1000)
