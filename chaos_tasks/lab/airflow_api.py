"""A small typed client of Airflow's REST API: what the nightly command and the system tests need of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Literal
from urllib.parse import quote

import httpx
from pydantic import BaseModel, ConfigDict, Field, JsonValue

from chaos_tasks.errors import SquallError
from chaos_tasks.lab.waiting import wait_until

PAGE = 100
FINISHED = frozenset({"success", "failed"})
COMPONENTS = ("metadatabase", "scheduler", "dag_processor", "triggerer")


class AirflowApiError(SquallError):
    """Airflow refused or could not answer a request; the message carries its reason."""


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class ComponentHealth(_Answer):
    """Health of one component, and when it last said so."""

    name: str
    healthy: bool
    heartbeat: datetime | None = None


class DagRun(_Answer):
    """A run and its state."""

    dag_id: str
    run_id: str = Field(alias="dag_run_id")
    state: str
    start_date: datetime | None = None
    end_date: datetime | None = None
    conf: Mapping[str, JsonValue] | None = None
    note: str | None = None

    @property
    def finished(self) -> bool:
        """True once Airflow will not go on by itself."""
        return self.state in FINISHED


class TaskInstance(_Answer):
    """One task of a run; `state` is None while nothing was decided."""

    task_id: str
    map_index: int = -1
    state: str | None = None
    try_number: int = 0
    pid: int | None = None
    hostname: str | None = None
    pool: str | None = None
    start_date: datetime | None = None
    end_date: datetime | None = None
    duration: float | None = None


class ImportFailure(_Answer):
    """A DAG file that does not parse."""

    filename: str
    stack_trace: str


class AssetEvent(_Answer):
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


class AirflowApi:
    """Logs in on first use and again when the token has run out; close it, or use it in a `with`."""

    def __init__(self, url: str, user: str, password: str, *, timeout_s: float = 30.0) -> None:
        self._user = user
        self._password = password
        self._http = httpx.Client(base_url=url, timeout=timeout_s, trust_env=False)
        self._token = ""

    def __enter__(self) -> AirflowApi:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give back the connections."""
        self._http.close()

    def health(self) -> tuple[ComponentHealth, ...]:
        """One entry per component; empty while the server does not answer. Needs no login."""
        try:
            answer = self._http.get("/api/v2/monitor/health")
        except httpx.HTTPError:
            return ()
        if answer.status_code != httpx.codes.OK:
            return ()
        return tuple(_component(name, answer.json().get(name) or {}) for name in COMPONENTS)

    def dag_ids(self) -> frozenset[str]:
        """The DAGs that were parsed and are not stale."""
        return frozenset(str(item["dag_id"]) for item in self._all("/dags", "dags"))

    def import_failures(self) -> tuple[ImportFailure, ...]:
        """The DAG files that do not parse."""
        return tuple(ImportFailure.model_validate(item) for item in self._all("/importErrors", "import_errors"))

    def set_paused(self, dag_id: str, paused: bool) -> None:
        """Pause or unpause a DAG; a paused one runs no teardown either."""
        self._call("PATCH", f"/dags/{_part(dag_id)}", {"is_paused": paused})

    def trigger(
        self, dag_id: str, conf: Mapping[str, JsonValue] | None = None, *, run_id: str | None = None, note: str = ""
    ) -> DagRun:
        """Start a run; raises AirflowApiError if the conf breaks the DAG's schema or the run id is taken."""
        body: dict[str, JsonValue] = {"logical_date": None, "conf": dict(conf or {})}
        if run_id is not None:
            body["dag_run_id"] = run_id
        if note:
            body["note"] = note
        return DagRun.model_validate(self._call("POST", f"/dags/{_part(dag_id)}/dagRuns", body))

    def run(self, dag_id: str, run_id: str) -> DagRun:
        """The run as it is now."""
        return DagRun.model_validate(self._call("GET", _run(dag_id, run_id)))

    def runs(self, dag_id: str) -> tuple[DagRun, ...]:
        """All runs of a DAG, oldest first."""
        return tuple(DagRun.model_validate(item) for item in self._all(f"/dags/{_part(dag_id)}/dagRuns", "dag_runs"))

    def wait(self, dag_id: str, run_id: str, *, timeout_s: float = 300.0) -> DagRun:
        """The run once it has ended; NotReadyError if it has not by the deadline."""
        wait_until(
            lambda: self.run(dag_id, run_id).finished,
            what=f"end of {dag_id} {run_id}",
            timeout_s=timeout_s,
            interval_s=0.25,
        )
        return self.run(dag_id, run_id)

    def task_instances(self, dag_id: str, run_id: str) -> tuple[TaskInstance, ...]:
        """Every task of the run, mapped ones one by one."""
        items = self._all(f"{_run(dag_id, run_id)}/taskInstances", "task_instances")
        return tuple(TaskInstance.model_validate(item) for item in items)

    def task_states(self, dag_id: str, run_id: str) -> dict[str, str | None]:
        """State by task id; a mapped task shows its last index."""
        return {task.task_id: task.state for task in self.task_instances(dag_id, run_id)}

    def set_task_state(self, dag_id: str, run_id: str, task_id: str, state: TaskState, *, map_index: int = -1) -> None:
        """What "mark success" and "mark failed" do in the UI."""
        path = f"{_run(dag_id, run_id)}/taskInstances/{_part(task_id)}"
        self._call("PATCH", path if map_index < 0 else f"{path}/{map_index}", {"new_state": state.value})

    def set_run_state(self, dag_id: str, run_id: str, state: Literal["queued", "success", "failed"]) -> None:
        """End or requeue a run by hand."""
        self._call("PATCH", _run(dag_id, run_id), {"state": state})

    def delete_run(self, dag_id: str, run_id: str) -> None:
        """Delete a run that has ended; raises AirflowApiError for one that has not."""
        self._call("DELETE", _run(dag_id, run_id))

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
        answer = self._call("POST", f"/dags/{_part(dag_id)}/clearTaskInstances", body)
        return tuple(str(item["task_id"]) for item in answer["task_instances"])

    def xcom(self, dag_id: str, run_id: str, task_id: str, key: str = "return_value") -> JsonValue:
        """The value that a task left for others."""
        path = f"{_run(dag_id, run_id)}/taskInstances/{_part(task_id)}/xcomEntries/{_part(key)}"
        value: JsonValue = self._call("GET", path)["value"]
        return value

    def set_xcom(self, dag_id: str, run_id: str, task_id: str, key: str, value: JsonValue) -> None:
        """Leave a value in a task's name, as anybody with the right to edit XComs may."""
        path = f"{_run(dag_id, run_id)}/taskInstances/{_part(task_id)}/xcomEntries"
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
        items = self._all(f"/assets/events?order_by=timestamp&source_dag_id={_part(dag_id)}", "asset_events")
        return tuple(AssetEvent.model_validate(item) for item in items)

    def log(self, dag_id: str, run_id: str, task_id: str, *, try_number: int = 1) -> str:
        """The log of one try, as text."""
        path = f"/api/v2{_run(dag_id, run_id)}/taskInstances/{_part(task_id)}/logs/{try_number}"
        return self._send("GET", path, None, accept="application/x-ndjson").text

    def ensure_pool(self, name: str, slots: int, description: str) -> None:
        """Create the pool or set its slots: a task whose pool is missing waits for ever, without a word."""
        body: dict[str, JsonValue] = {"slots": slots, "description": description, "include_deferred": False}
        present = self.pools().get(name)
        if present is None:
            self._call("POST", "/pools", {"name": name, **body})
        elif present != slots:
            self._call("PATCH", f"/pools/{_part(name)}", {"pool": name, **body})

    def set_variable(self, key: str, value: str) -> None:
        """Make a Variable, or give it another value."""
        self.delete_variable(key)
        self._call("POST", "/variables", {"key": key, "value": value})

    def delete_variable(self, key: str) -> None:
        """Remove a Variable; none is fine too."""
        try:
            self._call("DELETE", f"/variables/{_part(key)}")
        except AirflowApiError as error:
            if "404" not in str(error):
                raise

    def pools(self) -> dict[str, int]:
        """Slots by pool name."""
        return {str(item["name"]): int(str(item["slots"])) for item in self._all("/pools", "pools")}

    def _all(self, path: str, key: str) -> Iterator[dict[str, JsonValue]]:
        offset = 0
        while True:
            answer = self._call("GET", f"{path}{'&' if '?' in path else '?'}limit={PAGE}&offset={offset}")
            yield from answer[key]
            offset += PAGE
            if offset >= answer["total_entries"]:
                return

    def _call(self, method: str, path: str, body: Mapping[str, JsonValue] | None = None):  # type: ignore[no-untyped-def]
        # The one untyped value here: what json() gives. Callers validate it into a value before it leaves the class.
        answer = self._send(method, f"/api/v2{path}", body)
        return answer.json() if answer.content else {}

    def _send(
        self, method: str, path: str, body: Mapping[str, JsonValue] | None, accept: str = "application/json"
    ) -> httpx.Response:
        return _checked(method, path, self._try(method, path, body, accept))

    def _try(
        self, method: str, path: str, body: Mapping[str, JsonValue] | None, accept: str = "application/json"
    ) -> httpx.Response:
        for attempt in (1, 2):
            if not self._token:
                self._token = self._login()
            headers = {"Authorization": f"Bearer {self._token}", "Accept": accept}
            answer = self._request(method, path, body, headers)
            if answer.status_code != httpx.codes.UNAUTHORIZED or attempt == 2:
                break
            self._token = ""
        return answer

    def _login(self) -> str:
        answer = self._request("POST", "/auth/token", {"username": self._user, "password": self._password}, {})
        return str(_checked("POST", "/auth/token", answer).json()["access_token"])

    def _request(
        self, method: str, path: str, body: Mapping[str, JsonValue] | None, headers: Mapping[str, str]
    ) -> httpx.Response:
        try:
            return self._http.request(method, path, json=body, headers=dict(headers))
        except httpx.HTTPError as error:
            raise AirflowApiError(
                f"Airflow does not answer at {self._http.base_url}: {error!r}", remedy="squall up, then squall status"
            ) from error


def _component(name: str, body: Mapping[str, JsonValue]) -> ComponentHealth:
    return ComponentHealth.model_validate(
        {
            "name": name,
            "healthy": body.get("status") == "healthy",
            "heartbeat": body.get(f"latest_{name}_heartbeat"),
        }
    )


def _checked(method: str, path: str, answer: httpx.Response) -> httpx.Response:
    if answer.is_success:
        return answer
    raise AirflowApiError(f"{method} {path} -> {answer.status_code}: {answer.text[:500]}")


def _run(dag_id: str, run_id: str) -> str:
    return f"/dags/{_part(dag_id)}/dagRuns/{_part(run_id)}"


def _hitl(dag_id: str, run_id: str, task_id: str) -> str:
    return f"{_run(dag_id, run_id)}/taskInstances/{_part(task_id)}/-1/hitlDetails"


def _part(text: str) -> str:
    return quote(text, safe="")
