"""The command of a trial that is a run of a DAG: our watcher, which asks for the run and waits for its end."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Mapping

from pydantic import JsonValue

from chaos_tasks.errors import WorkloadError
from chaos_tasks.model.spec import DagSpec
from chaos_tasks.model.target import AirflowDagWorkload, Target
from chaos_tasks.model.trial import Arm

PLACEHOLDER = re.compile(r"(?<!\$)\{([A-Za-z_][A-Za-z0-9_-]*(?:\.[A-Za-z0-9_-]+)*)\}")

MODULE = "chaos_tasks.workloads.dag_watch"
RUN_VARIABLE = "SQUALL_DAG_RUN"
"""Which run the watcher is to ask for: each launch has one of its own, noted in the journal before."""

UNTOLD = 75
"""Exit code of a watcher that could not start or watch the run: that says nothing about the DAG (EX_TEMPFAIL)."""


def dag_command(
    target: Target, values: Mapping[str, str], fill: Callable[[str], str], arm: Arm = Arm.CONTROL
) -> tuple[str, ...]:
    """Runs in our own interpreter: it needs nothing of the pipeline's; raises WorkloadError without {out}."""
    workload = target.workload
    assert isinstance(workload, AirflowDagWorkload)  # noqa: S101  (narrowing; the caller checked)
    if not values.get("out"):
        raise WorkloadError(f"DAG {workload.dag_id} cannot be run without a folder of a trial")
    conf = _filled({**workload.conf, **target.redirected_conf}, fill)
    attach = _attach(workload, arm)
    metrics = (
        ("--metrics-task", workload.metrics_task, "--metrics", target.reads.metrics) if workload.metrics_task else ()
    )
    return (
        *(sys.executable, "-P", "-m", MODULE, "--url", workload.connection.url, "--dag", workload.dag_id),
        *("--conf", json.dumps(conf), "--out", values["out"], "--poll", str(workload.poll.total_seconds())),
        *metrics,
        *attach,
    )


def _attach(workload: AirflowDagWorkload, arm: Arm) -> tuple[str, ...]:
    """A control reads the history and waits for nothing; a recovery waits for a run and hits none."""
    if workload.attach is None:
        return ()
    if arm is Arm.CONTROL:
        return ("--attach", "history", "--history", str(workload.attach.history))
    how = "hit" if arm is Arm.TREATMENT else "see"
    wait = str(workload.attach.wait.total_seconds())
    return ("--attach", how, "--history", str(workload.attach.history), "--wait", wait)


def dag_of(target: Target) -> DagSpec | None:
    """What whoever ends a trial needs to know of it; None for other workloads."""
    workload = target.workload
    if not isinstance(workload, AirflowDagWorkload):
        return None
    told, attach = workload.connection, workload.attach
    return DagSpec(
        dag_id=workload.dag_id,
        url=told.url,
        credentials=told.credentials,
        attached=attach is not None,
        wait_s=attach.wait.total_seconds() if attach is not None else 0.0,
    )


def dag_run_id(trial_id: str, launch: int) -> str:
    """The same for the same launch of a trial, and never that of another."""
    return f"squall__{trial_id.replace('/', '-')}" + (f"__{launch}" if launch > 1 else "")


def schema_of(param: JsonValue) -> tuple[frozenset[str], list[JsonValue]]:
    """Types and values that the schema of a DAG's param names; empty where it names none."""
    schema = param.get("schema") if isinstance(param, dict) else None
    if not isinstance(schema, dict):
        return frozenset(), []
    kinds, allowed = schema.get("type"), schema.get("enum")
    named = kinds if isinstance(kinds, list) else [kinds] if kinds else []
    return frozenset(str(one) for one in named), allowed if isinstance(allowed, list) else []


def fit(value: JsonValue, kinds: frozenset[str]) -> JsonValue:
    """A text becomes a number where the DAG's param is one: placeholders are texts."""
    if not isinstance(value, str) or "string" in kinds:
        return value
    for kind, read in (("integer", int), ("number", float)):
        if kind in kinds:
            try:
                return read(value)
            except ValueError:
                continue
    return value


def _filled(value: JsonValue | Mapping[str, JsonValue], fill: Callable[[str], str]) -> JsonValue:
    if isinstance(value, str):
        return fill(value)
    if isinstance(value, Mapping):
        return {name: _filled(one, fill) for name, one in value.items()}
    return [_filled(one, fill) for one in value] if isinstance(value, list) else value
