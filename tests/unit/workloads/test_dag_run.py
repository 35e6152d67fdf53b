"""What is read off a DAG run: conf, preflight, tries as signals and restarts, and the one process of a try."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from chaos_tasks.errors import WorkloadError
from chaos_tasks.model.spec import DagSpec, TaskAddress
from chaos_tasks.model.target import AirflowConnection, AirflowDagWorkload, AirflowSignal, DvcSource, Target
from chaos_tasks.targets.airflow import Dag, DagTask
from chaos_tasks.targets.process import ProcessIdentity, host
from chaos_tasks.workloads import dag_sight
from chaos_tasks.workloads.airflow_dag import dag_run_id, fit, schema_of
from chaos_tasks.workloads.command import render
from chaos_tasks.workloads.dag_preflight import no_room, reasons
from chaos_tasks.workloads.dag_sight import DagRunSeen, TaskSeen, TrySeen
from chaos_tasks.workloads.dag_watch import numbers
from chaos_tasks.workloads.journal import Asked, Journal, Over

AT = datetime(2026, 11, 29, 2, tzinfo=UTC)
WORKLOAD = AirflowDagWorkload(
    dag_id="d", conf={"out": "{out}", "seed": "{seed}"}, connection=AirflowConnection(url="http://127.0.0.1:1")
)
HEALTHY = Dag(dag_id="d", max_active_runs=2, params={"out": {"schema": {"type": "string"}}, "seed": {"schema": {}}})


def attempt(number: int, state: str, *, pid: int | None = None, hostname: str = "", at: datetime = AT) -> TrySeen:
    ended = at + timedelta(seconds=5) if state not in ("running", "queued") else None
    return TrySeen(try_number=number, state=state, pid=pid, hostname=hostname, started_at=at, ended_at=ended)


def seen(*tries: TrySeen, state: str = "running") -> DagRunSeen:
    return DagRunSeen(
        dag_id="d",
        run_id="r",
        state=state,
        ended_at=AT + timedelta(minutes=1),
        tasks=(TaskSeen(task_id="train", tries=tries),),
    )


# --- conf ---


def test_conf_is_filled_for_each_trial() -> None:
    target = Target(name="t", source=DvcSource(repo="r", data=("x.csv",)), workload=WORKLOAD)
    words = render(target, {"out": "/o", "seed": "7", "python": "p", "repo": "r"})
    assert json.loads(words[words.index("--conf") + 1]) == {"out": "/o", "seed": "7"}


@pytest.mark.parametrize(
    ("kinds", "value", "expected"),
    [
        ("integer", "7", 7),
        ("number", "0.5", 0.5),
        ("string", "7", "7"),
        (["null", "integer"], "7", 7),
        ("integer", "x", "x"),
    ],
)
def test_a_text_becomes_a_number_where_the_param_is_one(kinds: object, value: str, expected: object) -> None:
    assert fit(value, schema_of({"schema": {"type": kinds}})[0]) == expected  # type: ignore[dict-item]


def test_each_launch_has_a_run_id_of_its_own() -> None:
    assert dag_run_id("run/treatment/3", 1) == "squall__run-treatment-3"
    assert dag_run_id("run/treatment/3", 2) == "squall__run-treatment-3__2"


def test_numbers_of_what_a_task_returned() -> None:
    assert numbers({"auc": 0.5, "ok": True, "name": "x"}) == {"auc": 0.5}
    assert numbers('{"auc": 1}') == {"auc": 1.0}
    assert numbers("done") == {}


# --- preflight ---


def why_not(dag: Dag = HEALTHY, *, pool: str = "default_pool", conf: dict[str, str] | None = None) -> str:
    told = reasons(
        WORKLOAD, conf or dict(WORKLOAD.conf), dag, [DagTask(task_id="train", pool=pool)], {"default_pool": 1}
    )  # type: ignore[arg-type]
    return "; ".join(why for why, _ in told)


def test_nothing_is_in_the_way_of_a_healthy_dag() -> None:
    assert why_not() == ""


def test_what_keeps_a_run_from_ending_is_named() -> None:
    assert "is paused" in why_not(HEALTHY.model_copy(update={"is_paused": True}))
    assert "import errors" in why_not(HEALTHY.model_copy(update={"has_import_errors": True}))
    assert "2 runs of d are active, and max_active_runs is 2" in why_not(HEALTHY.model_copy(update={"active_runs": 2}))
    assert "train of d is in squall_work" in why_not(pool="squall_work")
    assert "pool gone, which has no slots" in why_not(pool="gone")


def test_a_conf_that_the_params_refuse_is_refused_before() -> None:
    assert "no param outt" in why_not(conf={"outt": "{out}"})
    whole = HEALTHY.model_copy(update={"params": {"out": {"schema": {"type": "integer"}}}})
    assert "param out of DAG d is of type integer" in why_not(whole, conf={"out": "{out}"})
    assert why_not(whole, conf={"out": "{seed}"}) == ""
    chosen = HEALTHY.model_copy(update={"params": {"mode": {"schema": {"enum": ["a", "b"]}}}})
    assert "takes one of" in why_not(chosen, conf={"mode": "c"})


def test_an_executor_that_could_be_full_of_waiting_tasks_is_refused() -> None:
    assert no_room({"squall_work": 4}, "4") is not None
    assert no_room({"squall_work": 4}, "5") is None
    assert no_room({"squall_work": 4}, "") is None  # not told
    assert no_room({"default_pool": 128}, "32") is None  # Squall's own tasks run elsewhere


# --- tries ---


def test_a_failed_try_that_is_tried_again_is_a_restart_and_a_retry() -> None:
    later = AT + timedelta(seconds=9)
    run = seen(attempt(1, "failed"), attempt(2, "success", at=later), state="success")
    assert dag_sight.retried_at(run) == (later,)
    events = dag_sight.events(run, AirflowSignal(events=("task_retry", "task_failed", "run_failed")))
    assert [(event.name, event.detail) for event in events] == [("task_retry", "train try 1")]


def test_a_task_that_failed_for_good_fails_the_run() -> None:
    run = seen(attempt(1, "failed"), attempt(2, "failed"), state="failed")
    assert [event.name for event in dag_sight.events(run, AirflowSignal())] == ["task_failed", "run_failed"]


# --- the process of a try ---


def own() -> ProcessIdentity:
    found = ProcessIdentity.of(os.getpid())
    assert found is not None
    return found


def test_the_process_of_a_running_try_is_found() -> None:
    me = own()
    began = datetime.fromtimestamp(me.began_at(), UTC)
    place = dag_sight.place_of(
        seen(attempt(1, "running", pid=me.pid, hostname=host(), at=began)), TaskAddress(task_id="train")
    )
    assert place is not None
    assert (place.pid, place.task_id, place.try_number) == (me.pid, "train", 1)


def test_a_process_that_did_not_begin_with_the_try_is_not_the_task() -> None:
    run = seen(attempt(1, "running", pid=own().pid, hostname=host(), at=AT - timedelta(days=400)))
    with pytest.raises(WorkloadError, match="did not begin with it"):
        dag_sight.place_of(run, TaskAddress(task_id="train"))
    assert dag_sight.process_here(run.tasks[0].tries[0]) is None


def test_a_task_of_another_host_is_refused() -> None:
    with pytest.raises(WorkloadError, match="runs on elsewhere"):
        dag_sight.place_of(seen(attempt(1, "running", pid=1, hostname="elsewhere")), TaskAddress(task_id="train"))


def test_a_try_is_waited_for_until_it_cannot_come() -> None:
    second = TaskAddress(task_id="train", try_number=2)
    assert dag_sight.place_of(None, second) is None
    assert dag_sight.place_of(seen(attempt(1, "running", pid=1)), second) is None
    with pytest.raises(WorkloadError, match="is over"):
        dag_sight.place_of(seen(attempt(1, "success")), second)
    with pytest.raises(WorkloadError, match="no task 'tarin'"):
        dag_sight.place_of(seen(attempt(1, "running")), TaskAddress(task_id="tarin"))


# --- the journal ---


def test_a_run_is_under_way_from_before_it_is_asked_for_until_its_end_is_noted(tmp_path: Path) -> None:
    journal, dag = Journal(tmp_path), DagSpec(dag_id="d", url="http://127.0.0.1:1", credentials="airflow")
    journal.append(Asked(at=AT, dag=dag, run_id="squall__a"))
    journal.append(Asked(at=AT, dag=dag, run_id="squall__a__2"))
    journal.append(Over(at=AT, run_id="squall__a"))
    assert [one.run_id for one in journal.dag_runs_under_way()] == ["squall__a__2"]
