"""`python -m chaos_tasks.workloads.dag_watch`: ask for one run of a DAG, watch it to its end, and leave what was seen.

With --attach it asks for none: it reads the earlier scheduled runs, then waits for the next one and watches that.

Exit code 0 when the run succeeded, 1 when it failed, 75 when it could not be started or watched.  It ends nothing:
whoever ends this process ends the run too, since the run outlives it.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path

from pydantic import JsonValue

from chaos_tasks.errors import SquallError
from chaos_tasks.model.trial import PastRun
from chaos_tasks.targets.airflow import AirflowApiError, AirflowClient, DagRun, TaskInstance
from chaos_tasks.workloads import dag_sight
from chaos_tasks.workloads.airflow_dag import RUN_VARIABLE, UNTOLD, fit, schema_of
from chaos_tasks.workloads.dag_sight import DagRunSeen, TaskSeen, TrySeen

PATIENCE_S = 60.0
"""How long an API server that answered before may be away."""

SCHEDULED = "scheduled"
HIT = "squall:"
"""Begins the note on a run that was hit: its owners see it, and no later history counts it."""

QUEUED_S = 180.0
"""How long a run may wait for its beginning: that it waits is Airflow's doing, not the DAG's."""


@dataclass
class Watch:
    """One run of a DAG, from being asked for to its end."""

    client: AirflowClient
    dag_id: str
    run_id: str
    out: Path
    poll_s: float
    _said: dict[tuple[str, int], str] = field(default_factory=dict)
    _tries: dict[tuple[str, int], dict[int, TrySeen]] = field(default_factory=dict)

    def begin(self, conf: Mapping[str, JsonValue]) -> None:
        """Ask for it; raises AirflowApiError with Airflow's reason."""
        params = self.client.dag(self.dag_id).params or {}
        fitted = {name: fit(value, schema_of(params.get(name))[0]) for name, value in conf.items()}
        # A run from the UI has the present as its logical date too, and templates such as {{ ds }} need one.
        self.client.trigger(self.dag_id, fitted, run_id=self.run_id, note="a trial of Squall's", logical_date=_now())
        _say(f"run {self.run_id} asked for")

    def to_its_end(self) -> DagRun:
        """Look until it has ended; raises AirflowApiError when Airflow is away for long, or never begins it."""
        began, heard = time.monotonic(), time.monotonic()
        while True:
            try:
                run = self.look()
                heard = time.monotonic()
            except AirflowApiError as error:
                if time.monotonic() - heard > PATIENCE_S or 0 < error.status < HTTPStatus.INTERNAL_SERVER_ERROR:
                    raise
                time.sleep(self.poll_s)
                continue
            if run.finished:
                return run
            if run.state == "queued" and time.monotonic() - began > QUEUED_S:
                raise AirflowApiError(
                    f"{self.run_id} has been queued for {QUEUED_S:.0f} s", remedy="look at max_active_runs"
                )
            time.sleep(self.poll_s)

    def look(self) -> DagRun:
        """The run first: tasks are at least as far as it is."""
        run = self.client.run(self.dag_id, self.run_id)
        tasks = self.client.task_instances(self.dag_id, self.run_id)
        for task in tasks:
            self._see(task, ended=run.finished)
        dag_sight.leave(self.out, self._seen(run, tasks))
        return run

    def _see(self, task: TaskInstance, *, ended: bool) -> None:
        key = task.task_id, task.map_index
        known = self._tries.setdefault(key, {})
        if task.try_number > 0:
            known[task.try_number] = TrySeen.of(task)
        if len(known) < task.try_number and (ended or task.state == "running"):
            known.update({one.try_number: TrySeen.of(one) for one in self._told(task) if one.try_number > 0})
        said = f"{task.try_number} {task.state}"
        if task.state and self._said.get(key) != said:
            self._said[key] = said
            index = f"[{task.map_index}]" if task.map_index >= 0 else ""
            _say(f"task {task.task_id}{index} try {task.try_number} {task.state}")

    def _told(self, task: TaskInstance) -> Sequence[TaskInstance]:
        """A try that began and ended between two looks was not seen: Airflow keeps it."""
        return self.client.tries(self.dag_id, self.run_id, task)

    def _seen(self, run: DagRun, tasks: Sequence[TaskInstance]) -> DagRunSeen:
        return DagRunSeen(
            dag_id=run.dag_id,
            run_id=run.run_id,
            run_type=run.run_type,
            state=run.state,
            queued_at=run.queued_at,
            started_at=run.start_date,
            ended_at=run.end_date,
            tasks=tuple(
                TaskSeen(
                    task_id=task.task_id,
                    map_index=task.map_index,
                    tries=tuple(one for _, one in sorted(self._tries[task.task_id, task.map_index].items())),
                )
                for task in tasks
            ),
        )


def next_run(client: AirflowClient, dag_id: str, *, wait_s: float, poll_s: float) -> DagRun:
    """The first scheduled run that Airflow begins from now on; raises AirflowApiError when none does in time."""
    known: set[str] | None = None
    deadline = time.monotonic() + wait_s
    while True:
        try:
            latest = client.latest_runs(dag_id, limit=10, run_type=SCHEDULED)
        except AirflowApiError as error:
            if 0 < error.status < HTTPStatus.INTERNAL_SERVER_ERROR:
                raise
            latest = ()
        else:
            known = {run.run_id for run in latest} if known is None else known
        for run in latest:
            if run.run_id not in (known or ()) and run.state == "running":
                return run
        if time.monotonic() > deadline:
            raise AirflowApiError(f"no scheduled run of {dag_id} began in {wait_s:.0f} s", remedy="raise attach.wait")
        time.sleep(poll_s)


def past_runs(client: AirflowClient, dag_id: str, task_id: str, most: int) -> list[PastRun]:
    """Scheduled runs that succeeded, oldest first, with their numbers; those that we hit are none of the history."""
    runs = client.latest_runs(dag_id, limit=most, run_type=SCHEDULED)
    healthy = [run for run in runs if run.state == "success" and not (run.note or "").startswith(HIT)]
    return [PastRun(run_id=run.run_id, at=_began(run), metrics=_numbers_of(client, run, task_id)) for run in healthy]


def _began(run: DagRun) -> datetime:
    return run.start_date or run.run_after or _now()


def _numbers_of(client: AirflowClient, run: DagRun, task_id: str) -> dict[str, float]:
    """What a task of it returned, and how long it took."""
    found: dict[str, float] = {}
    if task_id:
        try:
            found = numbers(client.xcom(run.dag_id, run.run_id, task_id))
        except AirflowApiError as error:
            if error.status != HTTPStatus.NOT_FOUND:  # cleaned up since, or never returned
                raise
    if run.start_date is not None and run.end_date is not None:
        found = {"run_seconds": (run.end_date - run.start_date).total_seconds(), **found}
    return found


def _attached(client: AirflowClient, told: argparse.Namespace) -> int:
    """Exit code of a trial that asks for no run."""
    out = Path(told.out)
    past = past_runs(client, told.dag, told.metrics_task, told.history)
    dag_sight.leave_history(out, past)
    _say(f"{len(past)} earlier runs of {told.dag}")
    if told.attach == "history":
        _write(out / told.metrics, past[-1].metrics if past else {})
        return 0
    bound = next_run(client, told.dag, wait_s=told.wait, poll_s=told.poll)
    if told.attach == "hit":
        client.set_note(told.dag, bound.run_id, f"{HIT} a fault is tried on this run")
    _say(f"run {bound.run_id} began")
    run = Watch(client, told.dag, bound.run_id, out, told.poll).to_its_end()
    _say(f"run {run.run_id} {run.state}")
    if run.state == "success":
        _write(out / told.metrics, _numbers_of(client, run, told.metrics_task))
    return 0 if run.state == "success" else 1


def main(arguments: Sequence[str]) -> int:
    """0, 1 or 75."""
    told = _parse(arguments)
    try:
        client = AirflowClient.told(told.url, os.environ, timeout_s=10.0)
        if told.attach:
            return _attached(client, told)
        watch = Watch(client, told.dag, os.environ[RUN_VARIABLE], Path(told.out), told.poll)
        watch.begin(json.loads(told.conf))
        run = watch.to_its_end()
        _say(f"run {run.run_id} {run.state}")
        if run.state == "success" and told.metrics_task:
            _keep(client, watch, told.metrics_task, Path(told.out) / told.metrics)
    except SquallError as error:
        sys.stderr.write(f"{error}\n")
        return UNTOLD
    return 0 if run.state == "success" else 1


def numbers(value: JsonValue) -> dict[str, float]:
    """The numbers by name that a task returned."""
    text = value
    if isinstance(value, str):
        try:
            text = json.loads(value)
        except ValueError:
            return {}
    if isinstance(text, int | float) and not isinstance(text, bool):
        return {"value": float(text)}
    items = text.items() if isinstance(text, dict) else ()
    return {name: float(one) for name, one in items if isinstance(one, int | float) and not isinstance(one, bool)}


def _keep(client: AirflowClient, watch: Watch, task_id: str, path: Path) -> None:
    """A file that the DAG wrote itself is kept."""
    if not path.exists():
        _write(path, numbers(client.xcom(watch.dag_id, watch.run_id, task_id)))


def _write(path: Path, found: Mapping[str, float]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(dict(found), indent=2), encoding="utf-8")


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="dag_watch", description=__doc__)
    for name in ("--url", "--dag", "--conf", "--out"):
        parser.add_argument(name, required=True)
    parser.add_argument("--poll", type=float, default=0.5)
    parser.add_argument("--attach", default="", choices=("", "history", "see", "hit"))
    parser.add_argument("--history", type=int, default=60)
    parser.add_argument("--wait", type=float, default=0.0)
    parser.add_argument("--metrics-task", default="")
    parser.add_argument("--metrics", default="metrics.json")
    return parser.parse_args(arguments)


def _say(text: str) -> None:
    """One line of the trial's output: a log trigger may wait for it."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _now() -> datetime:
    return datetime.now(UTC)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
