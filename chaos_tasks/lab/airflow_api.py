"""The lab's client of Airflow's REST API: what the nightly command and the system tests need beside runs of a DAG."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from http import HTTPStatus

from pydantic import JsonValue

from chaos_tasks.lab.waiting import wait_until
from chaos_tasks.targets.airflow import (
    AirflowApiError,
    AirflowClient,
    Answer,
    DagRun,
    TaskInstance,
    of_run,
    part,
)

__all__ = ["AirflowApi", "AirflowApiError", "ComponentHealth", "DagRun", "ImportFailure", "TaskInstance", "TaskState"]

COMPONENTS = ("metadatabase", "scheduler", "dag_processor", "triggerer")


class ComponentHealth(Answer):
    """Health of one component, and when it last said so."""

    name: str
    healthy: bool
    heartbeat: datetime | None = None


class ImportFailure(Answer):
    """A DAG file that does not parse."""

    filename: str
    stack_trace: str


class AssetEvent(Answer):
    """That an asset was told of, by which task, and what was said."""

    name: str | None = None
    extra: Mapping[str, JsonValue] | None = None
    source_run_id: str | None = None
    source_task_id: str | None = None


class TaskState(StrEnum):
    """The states that a person may set on a task."""

    SUCCESS = "success"
    FAILED = "failed"
    SKIPPED = "skipped"


class AirflowApi(AirflowClient):
    """Logs in on first use and again when the token has run out; may be used in a `with`."""

    def __enter__(self) -> AirflowApi:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is kept open."""

    def health(self) -> tuple[ComponentHealth, ...]:
        """One entry per component; empty while the server does not answer. Needs no login."""
        try:
            answer = self._request("GET", "/api/v2/monitor/health", None, {})
        except AirflowApiError:
            return ()
        told = json.loads(answer.text) if answer.status == HTTPStatus.OK else None
        return tuple(_component(name, told.get(name) or {}) for name in COMPONENTS) if told is not None else ()

    def dag_ids(self) -> frozenset[str]:
        """The DAGs that were parsed and are not stale."""
        return frozenset(str(item["dag_id"]) for item in self._all("/dags", "dags"))

    def import_failures(self) -> tuple[ImportFailure, ...]:
        """The DAG files that do not parse."""
        return tuple(ImportFailure.model_validate(item) for item in self._all("/importErrors", "import_errors"))

    def set_paused(self, dag_id: str, paused: bool) -> None:
        """Pause or unpause a DAG; a paused one runs no teardown either."""
        self._call("PATCH", f"/dags/{part(dag_id)}", {"is_paused": paused})

    def wait(self, dag_id: str, run_id: str, *, timeout_s: float = 300.0) -> DagRun:
        """The run once it has ended; NotReadyError if it has not by the deadline."""
        wait_until(
            lambda: self.run(dag_id, run_id).finished,
            what=f"end of {dag_id} {run_id}",
            timeout_s=timeout_s,
            interval_s=0.25,
        )
        return self.run(dag_id, run_id)

    def task_states(self, dag_id: str, run_id: str) -> dict[str, str | None]:
        """State by task id; a mapped task shows its last index."""
        return {task.task_id: task.state for task in self.task_instances(dag_id, run_id)}

    def set_task_state(self, dag_id: str, run_id: str, task_id: str, state: TaskState, *, map_index: int = -1) -> None:
        """What "mark success" and "mark failed" do in the UI."""
        path = f"{of_run(dag_id, run_id)}/taskInstances/{part(task_id)}"
        self._call("PATCH", path if map_index < 0 else f"{path}/{map_index}", {"new_state": state.value})

    def delete_run(self, dag_id: str, run_id: str) -> None:
        """Delete a run that has ended; raises AirflowApiError for one that has not."""
        self._call("DELETE", of_run(dag_id, run_id))

    def clear(
        self, dag_id: str, run_id: str, task_ids: Sequence[str], *, downstream: bool = True, only_failed: bool = False
    ) -> tuple[str, ...]:
        """What "clear" does in the UI; the ids of the tasks that will run again."""
        body: dict[str, JsonValue] = {
            "dry_run": False,
            "dag_run_id": run_id,
            "task_ids": list(task_ids),
            "include_downstream": downstream,
            "only_failed": only_failed,
        }
        answer = self._call("POST", f"/dags/{part(dag_id)}/clearTaskInstances", body)
        return tuple(str(item["task_id"]) for item in answer["task_instances"])

    def set_xcom(self, dag_id: str, run_id: str, task_id: str, key: str, value: JsonValue) -> None:
        """Leave a value in a task's name, as anybody with the right to edit XComs may."""
        path = f"{of_run(dag_id, run_id)}/taskInstances/{part(task_id)}/xcomEntries"
        self._call("POST", path, {"key": key, "value": value, "map_index": -1})

    def hitl(self, dag_id: str, run_id: str, task_id: str) -> Mapping[str, JsonValue]:
        """What a task that waits for a person shows, and what was answered."""
        found: Mapping[str, JsonValue] = self._call("GET", _hitl(dag_id, run_id, task_id))
        return found

    def answer(
        self,
        dag_id: str,
        run_id: str,
        task_id: str,
        chosen: Sequence[str],
        params: Mapping[str, JsonValue] | None = None,
    ) -> None:
        """Answer a task that waits; raises AirflowApiError (403) where this user is not assigned."""
        body: dict[str, JsonValue] = {"chosen_options": list(chosen), "params_input": dict(params or {})}
        self._call("PATCH", _hitl(dag_id, run_id, task_id), body)

    def asset_events(self, dag_id: str) -> tuple[AssetEvent, ...]:
        """What the tasks of a DAG have told of assets, oldest first."""
        items = self._all(f"/assets/events?order_by=timestamp&source_dag_id={part(dag_id)}", "asset_events")
        return tuple(AssetEvent.model_validate(item) for item in items)

    def log(self, dag_id: str, run_id: str, task_id: str, *, try_number: int = 1) -> str:
        """The log of one try, as text."""
        path = f"/api/v2{of_run(dag_id, run_id)}/taskInstances/{part(task_id)}/logs/{try_number}"
        return self._send("GET", path, None, accept="application/x-ndjson")

    def ensure_pool(self, name: str, slots: int, description: str) -> None:
        """Create the pool or set its slots: a task whose pool is missing waits for ever, without a word."""
        body: dict[str, JsonValue] = {"slots": slots, "description": description, "include_deferred": False}
        present = self.pools().get(name)
        if present is None:
            self._call("POST", "/pools", {"name": name, **body})
        elif present != slots:
            self._call("PATCH", f"/pools/{part(name)}", {"pool": name, **body})

    def add_connection(
        self, conn_id: str, conn_type: str, *, login: str, password: str, extra: Mapping[str, JsonValue] | None = None
    ) -> None:
        """Make a connection; raises AirflowApiError where there is one of that id."""
        body: dict[str, JsonValue] = {"connection_id": conn_id, "conn_type": conn_type, "login": login}
        self._call("POST", "/connections", {**body, "password": password, "extra": json.dumps(dict(extra or {}))})

    def set_variable(self, key: str, value: str) -> None:
        """Make a Variable, or give it another value."""
        self.delete_variable(key)
        self._call("POST", "/variables", {"key": key, "value": value})

    def delete_variable(self, key: str) -> None:
        """Remove a Variable; none is fine too."""
        try:
            self._call("DELETE", f"/variables/{part(key)}")
        except AirflowApiError as error:
            if error.status != HTTPStatus.NOT_FOUND:
                raise


def _component(name: str, body: Mapping[str, JsonValue]) -> ComponentHealth:
    return ComponentHealth.model_validate(
        {
            "name": name,
            "healthy": body.get("status") == "healthy",
            "heartbeat": body.get(f"latest_{name}_heartbeat"),
        }
    )


def _hitl(dag_id: str, run_id: str, task_id: str) -> str:
    return f"{of_run(dag_id, run_id)}/taskInstances/{part(task_id)}/-1/hitlDetails"
