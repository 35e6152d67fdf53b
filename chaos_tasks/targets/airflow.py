"""Airflow's public REST API (v2), as far as a pipeline that runs on it is looked at, started and ended.

The standard library is enough for it: whoever runs Squall need not have Airflow.
"""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from datetime import datetime
from http import HTTPStatus
from typing import Any, Literal, NamedTuple, Self
from urllib.parse import quote, urlsplit

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from chaos_tasks.errors import SetupError, SquallError
from chaos_tasks.ports import AIRFLOW_LOGIN

PAGE = 100
FINISHED = frozenset({"success", "failed"})
TASK_OVER = frozenset({"success", "failed", "skipped", "upstream_failed", "removed"})


class AirflowApiError(SquallError):
    """Airflow refused or could not answer a request; the message carries its reason."""

    def __init__(self, message: str, *, remedy: str = "", status: int = 0) -> None:
        super().__init__(message, remedy=remedy)
        self.status = status


class Answer(BaseModel):
    """What Airflow said; what we do not use of it is left out."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class DagRun(Answer):
    """A run and its state."""

    dag_id: str
    run_id: str = Field(alias="dag_run_id")
    run_type: str = ""
    state: str
    queued_at: datetime | None = None
    start_date: datetime | None = None
    end_date: datetime | None = None
    run_after: datetime | None = None
    logical_date: datetime | None = None
    conf: Mapping[str, JsonValue] | None = None
    note: str | None = None

    @property
    def finished(self) -> bool:
        """True once Airflow will not go on by itself."""
        return self.state in FINISHED


class TaskInstance(Answer):
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


class Dag(Answer):
    """A DAG as Airflow has parsed it."""

    dag_id: str
    is_paused: bool = False
    is_stale: bool = False
    has_import_errors: bool = False
    max_active_runs: int | None = None
    active_runs: int = Field(0, alias="active_runs_count")
    schedule: str | None = Field(None, alias="timetable_summary")
    fileloc: str = ""
    tags: tuple[Mapping[str, JsonValue], ...] = ()
    params: Mapping[str, JsonValue] | None = None


class DagTask(Answer):
    """One task as the DAG declares it."""

    task_id: str
    pool: str | None = None
    retries: float | None = None
    operator_name: str | None = None


class _Response(NamedTuple):
    status: int
    text: str


class AirflowClient:
    """Logs in on first use and again when the token has run out."""

    def __init__(
        self, url: str, user: str = "", password: str = "", *, token: str = "", timeout_s: float = 30.0
    ) -> None:
        if urlsplit(url).scheme not in ("http", "https"):
            raise SetupError(f"{url!r} is no address of an Airflow", remedy="write http://HOST:PORT or https://HOST")
        self.url = url.rstrip("/")
        self._user = user
        self._password = password
        self._token = token
        self._timeout_s = timeout_s
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    @classmethod
    def told(cls, url: str, environment: Mapping[str, str], *, timeout_s: float = 30.0) -> Self:
        """With the login that variables of ours name."""
        user, password, token = (environment.get(name, "") for name in AIRFLOW_LOGIN)
        return cls(url, user, password, token=token, timeout_s=timeout_s)

    # --- DAGs -----------------------------------------------------------------------------------------------------

    def dag(self, dag_id: str) -> Dag:
        """Raises AirflowApiError (404) for one that Airflow does not have."""
        return Dag.model_validate(self._call("GET", f"/dags/{part(dag_id)}/details"))

    def dag_tasks(self, dag_id: str) -> tuple[DagTask, ...]:
        """Its tasks, as declared."""
        return tuple(DagTask.model_validate(one) for one in self._call("GET", f"/dags/{part(dag_id)}/tasks")["tasks"])

    def pools(self) -> dict[str, int]:
        """Slots by pool name."""
        return {str(item["name"]): int(str(item["slots"])) for item in self._all("/pools", "pools")}

    # --- runs -----------------------------------------------------------------------------------------------------

    def trigger(
        self,
        dag_id: str,
        conf: Mapping[str, JsonValue] | None = None,
        *,
        run_id: str | None = None,
        note: str = "",
        logical_date: datetime | None = None,
    ) -> DagRun:
        """Start a run; raises AirflowApiError if the conf breaks the DAG's schema or the run id is taken."""
        when = logical_date.isoformat() if logical_date is not None else None
        body: dict[str, JsonValue] = {"logical_date": when, "conf": dict(conf or {})}
        if run_id is not None:
            body["dag_run_id"] = run_id
        if note:
            body["note"] = note
        return DagRun.model_validate(self._call("POST", f"/dags/{part(dag_id)}/dagRuns", body))

    def run(self, dag_id: str, run_id: str) -> DagRun:
        """The run as it is now."""
        return DagRun.model_validate(self._call("GET", of_run(dag_id, run_id)))

    def runs(self, dag_id: str) -> tuple[DagRun, ...]:
        """All runs of a DAG, oldest first."""
        return tuple(DagRun.model_validate(item) for item in self._all(f"/dags/{part(dag_id)}/dagRuns", "dag_runs"))

    def latest_runs(self, dag_id: str, *, limit: int, run_type: str) -> tuple[DagRun, ...]:
        """The last runs of a sort, oldest first."""
        path = f"/dags/{part(dag_id)}/dagRuns?order_by=-run_after&run_type={run_type}&limit={limit}"
        found = [DagRun.model_validate(item) for item in self._call("GET", path)["dag_runs"]]
        return tuple(reversed(found))

    def set_note(self, dag_id: str, run_id: str, note: str) -> None:
        """What people read beside the run."""
        self._call("PATCH", f"{of_run(dag_id, run_id)}?update_mask=note", {"note": note})

    def set_run_state(self, dag_id: str, run_id: str, state: Literal["queued", "success", "failed"]) -> None:
        """End or requeue a run by hand."""
        self._call("PATCH", of_run(dag_id, run_id), {"state": state})

    def task_instances(self, dag_id: str, run_id: str) -> tuple[TaskInstance, ...]:
        """Every task of the run, mapped ones one by one."""
        items = self._all(f"{of_run(dag_id, run_id)}/taskInstances", "task_instances")
        return tuple(TaskInstance.model_validate(item) for item in items)

    def tries(self, dag_id: str, run_id: str, task: TaskInstance) -> tuple[TaskInstance, ...]:
        """Every try of one task, oldest first, the last one included."""
        path = f"{of_run(dag_id, run_id)}/taskInstances/{part(task.task_id)}"
        path += f"/{task.map_index}/tries" if task.map_index >= 0 else "/tries"
        found = [TaskInstance.model_validate(one) for one in self._call("GET", path)["task_instances"]]
        return tuple(sorted(found, key=lambda one: one.try_number))

    def xcom(self, dag_id: str, run_id: str, task_id: str, key: str = "return_value") -> JsonValue:
        """The value that a task left for others."""
        path = f"{of_run(dag_id, run_id)}/taskInstances/{part(task_id)}/xcomEntries/{part(key)}?deserialize=false"
        value: JsonValue = self._call("GET", path)["value"]
        return value

    # --- requests -------------------------------------------------------------------------------------------------

    def _all(self, path: str, key: str) -> Iterator[dict[str, JsonValue]]:
        offset, joint = 0, "&" if "?" in path else "?"
        while True:
            answer = self._call("GET", f"{path}{joint}limit={PAGE}&offset={offset}")
            yield from answer[key]
            offset += PAGE
            if offset >= answer["total_entries"]:
                return

    def _call(self, method: str, path: str, body: Mapping[str, JsonValue] | None = None) -> Any:
        # The one untyped value here: what json() gives. Callers validate it into a value before it leaves the class.
        text = self._send(method, f"/api/v2{path}", body)
        return json.loads(text) if text else {}

    def _send(
        self, method: str, path: str, body: Mapping[str, JsonValue] | None, accept: str = "application/json"
    ) -> str:
        answer = self._with_login(method, path, body, accept)
        if answer.status == HTTPStatus.UNAUTHORIZED and self._user:
            self._token = ""
            answer = self._with_login(method, path, body, accept)
        return _checked(method, path, answer)

    def _with_login(self, method: str, path: str, body: Mapping[str, JsonValue] | None, accept: str) -> _Response:
        self._token = self._token or self._login()
        return self._request(method, path, body, {"Authorization": f"Bearer {self._token}", "Accept": accept})

    def _login(self) -> str:
        if not self._user:
            raise AirflowApiError(
                f"nobody is named who may log in to {self.url}",
                remedy="give a user and a password, or a token, in the credentials that the target names",
            )
        told = {"username": self._user, "password": self._password}
        return str(
            json.loads(_checked("POST", "/auth/token", self._request("POST", "/auth/token", told, {})))["access_token"]
        )

    def _request(
        self, method: str, path: str, body: Mapping[str, JsonValue] | None, headers: Mapping[str, str]
    ) -> _Response:
        data = json.dumps(body).encode() if body is not None else None
        given = {**headers, **({"Content-Type": "application/json"} if data is not None else {})}
        request = urllib.request.Request(self.url + path, data=data, headers=given, method=method)
        try:
            with self._opener.open(request, timeout=self._timeout_s) as answer:
                return _Response(answer.status, answer.read().decode())
        except urllib.error.HTTPError as error:
            with error:
                return _Response(error.code, error.read().decode(errors="replace"))
        except (OSError, ValueError) as error:
            raise AirflowApiError(
                f"Airflow does not answer at {self.url}: {error}",
                remedy="see that its API server runs (`squall up`, then `squall status`, where it is the lab's)",
            ) from error


def _checked(method: str, path: str, answer: _Response) -> str:
    if HTTPStatus.OK <= answer.status < HTTPStatus.MULTIPLE_CHOICES:
        return answer.text
    raise AirflowApiError(f"{method} {path} -> {answer.status}: {answer.text[:500]}", status=answer.status)


def of_run(dag_id: str, run_id: str) -> str:
    """Path of a run."""
    return f"/dags/{part(dag_id)}/dagRuns/{part(run_id)}"


def part(text: str) -> str:
    """One part of a path."""
    return quote(text, safe="")
