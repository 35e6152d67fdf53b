"""DAG files: as many DAGs as sound experiment files, one import error for the broken ones, and light to parse."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from airflow.dag_processing.dagbag import DagBag

from tests.unit.operators.conftest import ROOT, Squall

OTHERS = {"chaos_nightly", "chaos_on_demand", "chaos_sweeper", "chaos_audit_export"}
HEAVY = ["torch", "pandas", "boto3", "botocore", "dvc", "mlflow", "scipy", "pyarrow", "matplotlib", "sklearn"]


def bag_of(project: Squall) -> DagBag:
    """All DAG files of a project, as the DAG processor reads them."""
    return DagBag(str(project.dags), bundle_path=project.dags)


def test_number_of_dags_equals_number_of_experiment_files(project: Squall) -> None:
    for name in ("one", "two", "three"):
        project.write(name)
    bag = bag_of(project)
    assert bag.import_errors == {}
    assert set(bag.dags) == OTHERS | {"chaos_one", "chaos_two", "chaos_three"}


def test_broken_file_is_an_import_error_and_hides_nothing(project: Squall) -> None:
    project.write("sound")
    project.write("broken", "name: broken\nhypothesis: short\n")
    project.write("worse", "name: [")
    bag = bag_of(project)
    assert "chaos_sound" in bag.dags
    # An error of experiments.py would mark chaos_sound as stale.
    assert list(bag.import_errors) == ["broken_experiments.py"]
    (message,) = bag.import_errors.values()
    assert "broken.yaml" in message
    assert "worse.yaml" in message
    assert "2 experiment files are broken" in message


def test_mended_file_clears_the_import_error(project: Squall) -> None:
    project.write("broken", "name: broken\n")
    assert bag_of(project).import_errors
    project.write("broken")
    assert bag_of(project).import_errors == {}


def test_inside_a_task_only_its_own_dag_is_rendered(project: Squall, monkeypatch: pytest.MonkeyPatch) -> None:
    project.write("one")
    project.write("two")
    monkeypatch.setenv("_AIRFLOW_PARSING_CONTEXT_DAG_ID", "chaos_two")
    monkeypatch.setenv("_AIRFLOW_PARSING_CONTEXT_TASK_ID", "revert")
    bag = bag_of(project)
    assert set(bag.dags) & {"chaos_one", "chaos_two"} == {"chaos_two"}


def test_on_demand_form_offers_every_experiment(project: Squall) -> None:
    project.write("one")
    project.write("two")
    form = bag_of(project).dags["chaos_on_demand"].params
    assert form.get_param("experiment").schema["enum"] == ["one", "two"]


def test_upkeep_dags_are_on_and_never_catch_up(project: Squall) -> None:
    bag = bag_of(project)
    for dag_id in OTHERS:
        dag = bag.dags[dag_id]
        assert not dag.catchup
        assert dag.is_paused_upon_creation is False
        assert dag.max_active_runs == 1
        assert dag.dagrun_timeout is None


def test_night_waits_deferred_for_a_bounded_number_of_children(project: Squall) -> None:
    run = bag_of(project).dags["chaos_nightly"].get_task("run")
    assert run.partial_kwargs["deferrable"] is True
    assert run.partial_kwargs["poke_interval"] == 1
    assert run.partial_kwargs["max_active_tis_per_dagrun"] >= 1
    assert bag_of(project).dags["chaos_nightly"].get_task("summarise").trigger_rule == "all_done"


@pytest.mark.parametrize("path", sorted((ROOT / "dags").glob("*.py")), ids=lambda path: path.name)
def test_discovery_does_not_skip_our_files(path: Path) -> None:
    """Airflow skips files without the words `dag` and `airflow`, and says nothing."""
    from airflow.utils.file import might_contain_dag

    assert might_contain_dag(str(path), safe_mode=True)


def test_parsing_imports_nothing_heavy(project: Squall) -> None:
    project.write("one", ONE)
    code = (
        "import json, runpy, sys\n"
        f"for name in ('experiments', 'nightly', 'on_demand', 'sweeper', 'audit_export'): "
        f"runpy.run_path(r'{project.dags}/' + name + '.py')\n"
        f"print(json.dumps([name for name in {HEAVY} if name in sys.modules]))"
    )
    env = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'operators'}"}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == []


ONE = """\
name: one
hypothesis: A training survives a stale version.
owner: ml-platform
target: tiny
steady_state: [{name: completed, probe: workload.completed, tolerance: {type: exactly, value: true}}]
method: [{name: kill, fault: process.kill, target: workload, trigger: {at: elapsed, after: 1s}}]
"""
