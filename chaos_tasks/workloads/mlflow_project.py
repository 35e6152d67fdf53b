"""The command of a trial that is an entry point of an MLproject, in the pipeline's own interpreter."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from chaos_tasks.errors import WorkloadError
from chaos_tasks.model.target import MlflowProjectWorkload, Reads
from chaos_tasks.workloads.aside import LEFT_OUT
from chaos_tasks.workloads.dvc_stage import read_files

NEEDED = ("python", "repo", "out", "seed")
SCRIPT = Path(__file__).with_name("mlflow_run.py")
EXPERIMENT = "squall"


def project_command(
    workload: MlflowProjectWorkload, reads: Reads, values: Mapping[str, str], fill: Callable[[str], str]
) -> tuple[str, ...]:
    """Runs our script, which knows MLflow and nothing of ours; raises WorkloadError when a value is missing."""
    missing = [name for name in NEEDED if not values.get(name)]
    if missing:
        raise WorkloadError(
            f"the MLflow project cannot be run without {', '.join(missing)}", remedy="run it in a clone of the source"
        )
    given = {name: fill(text) for name, text in workload.parameters.items()}
    if workload.seed_param:
        given[workload.seed_param] = values["seed"]
    if workload.out_param:
        given[workload.out_param] = values["out"]
    project = str(Path(values["repo"]) / workload.project)
    copy = ("--copy-of", values["repo"], *(word for name in LEFT_OUT for word in ("--leave-out", name)))
    return (
        *(values["python"], str(SCRIPT), "--project", project, "--entry-point", workload.entry_point),
        *(copy if workload.own_copy else ()),
        *("--env-manager", workload.env_manager, "--out", values["out"], "--metrics", reads.metrics),
        *(word for name in read_files(reads)[1:] for word in ("--read", name)),
        *(word for name, value in sorted(given.items()) for word in ("--param", f"{name}={value}")),
    )


def tracking_environment(values: Mapping[str, str]) -> dict[str, str]:
    """Each trial has a tracking store and an experiment of its own: nothing reaches the owners' server."""
    store = f"sqlite:///{values['out']}/mlflow.db"
    return {
        "MLFLOW_TRACKING_URI": store,
        "MLFLOW_REGISTRY_URI": store,
        "MLFLOW_EXPERIMENT_NAME": EXPERIMENT,
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
