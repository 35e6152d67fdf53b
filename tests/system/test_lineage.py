"""OpenLineage hears from a real Airflow what a run asked, what came out, and which data version it was about."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from chaos_tasks.lab.airflow_api import DagRun
from chaos_tasks.lab.waiting import wait_until
from chaos_tasks.model.record import RecordKind
from chaos_tasks.runs import Run
from squall_operators.run_ids import run_id_of
from tests.system.conftest import END_S, LINEAGE, ROOT, Lab

pytestmark = pytest.mark.skipif(
    find_spec("airflow.providers.openlineage") is None, reason="the provider of OpenLineage is not installed"
)
SCHEMA = json.loads((ROOT / "schemas" / "openlineage-run-facet.schema.json").read_text(encoding="utf-8"))


def told(lab: Lab, run: DagRun, task_id: str, event: str) -> list[dict[str, Any]]:
    """Events of one task of a run."""
    path = Path(lab.project.root / LINEAGE)
    events = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    return [
        one
        for one in events
        if one["job"]["name"] == f"{run.dag_id}.{task_id}"
        and one["eventType"] == event
        and one["run"]["facets"].get("airflow", {}).get("dagRun", {}).get("run_id") == run.run_id
    ]


def once(lab: Lab, run: DagRun, task_id: str, event: str) -> dict[str, Any]:
    """The event, once it is there: the provider tells it after the task."""
    wait_until(lambda: bool(told(lab, run, task_id, event)), what=f"{event} of {task_id}", timeout_s=END_S)
    (found,) = told(lab, run, task_id, event)
    jsonschema.validate(found["run"]["facets"]["squall_chaos"], SCHEMA)
    return found


def test_a_run_that_held_is_told_with_its_evidence_and_its_data_version(lab: Lab) -> None:
    run = lab.end(lab.start("healthy"))
    run_id = run_id_of(run.dag_id, run.run_id)
    event = once(lab, run, "verdict", "COMPLETE")
    (record,) = lab.ledger.records(run_id=run_id, kinds=[RecordKind.EVALUATE_VERDICT])
    facet = event["run"]["facets"]["squall_chaos"]
    assert (facet["runId"], facet["experiment"], facet["target"]) == (run_id, "healthy", "tiny")
    assert (facet["faults"], facet["outcome"]) == (["tiny.mark"], "held")
    assert (facet["recordSeq"], facet["recordSha256"]) == (record.seq, record.leaf_sha256)
    (read,), (hurt,) = event["inputs"], event["outputs"]
    assert (read["namespace"], read["name"]) == ("dvc:tiny", "rows.csv")
    assert read["facets"]["version"]["datasetVersion"] == Run(lab.ledger, run_id).plan().source_commit
    assert (hurt["namespace"], hurt["name"]) == (f"squall:{run_id}", "rows.csv")
    before = once(lab, run, "exercise", "COMPLETE")["run"]["facets"]["squall_chaos"]
    assert (before["runId"], "outcome" in before) == (run_id, False)


def test_a_run_that_did_not_hold_is_told_as_a_failure_with_its_outcome(lab: Lab) -> None:
    run = lab.end(lab.start("inject-fails"))
    facet = once(lab, run, "verdict", "FAIL")["run"]["facets"]["squall_chaos"]
    verdict = lab.verdict(run_id_of(run.dag_id, run.run_id))
    assert verdict is not None
    assert facet["outcome"] == verdict.outcome.value != "held"
