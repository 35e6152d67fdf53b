"""Run an entry point of an MLproject, and copy what the run logged to where a trial is read.

Started by its path in the pipeline's own interpreter, which need not have Squall: it imports MLflow and nothing of
ours.  Where its tracking goes, the environment says.  Ends with 0, or with 1 when the project's run failed.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

TREE = "tree"


def main() -> int:
    """Run, then write the run's metrics, and the artifacts that the trial reads, into the folder of the trial."""
    options = _options()
    sys.path[:] = sys.path[1:]  # this folder, whose modules would shadow others of their names
    import mlflow
    from mlflow.exceptions import ExecutionException

    out = Path(options.out)
    project = Path(options.project)
    if options.copy_of:
        project = _copied(Path(options.copy_of), out / TREE, options.leave_out) / project.relative_to(options.copy_of)
    name = os.environ.get("MLFLOW_EXPERIMENT_NAME", "squall")
    client = mlflow.MlflowClient()
    if client.get_experiment_by_name(name) is None:
        client.create_experiment(name, artifact_location=(out / "mlartifacts").as_uri())
    try:
        run: Any = mlflow.projects.run(  # type: ignore[no-untyped-call]
            str(project),
            entry_point=options.entry_point,
            parameters=dict(one.split("=", 1) for one in options.param),
            env_manager=options.env_manager,
            experiment_name=name,
            synchronous=True,
        )
    except ExecutionException as error:
        sys.stderr.write(f"{error}\n")
        return 1
    _keep(client, run.run_id, out, options.metrics, options.read)
    if options.copy_of:
        shutil.rmtree(out / TREE, ignore_errors=True)
    return 0


def _copied(source: Path, tree: Path, left_out: list[str]) -> Path:
    """Of the trial's own; a run that is started again finds what it left.  Files out of a cache are read-only."""
    if not tree.is_dir():
        partial = tree.with_name(f".{tree.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        shutil.copytree(source, partial, symlinks=True, ignore=shutil.ignore_patterns(*left_out))
        for path in partial.rglob("*"):
            if path.is_file() and not path.is_symlink():
                path.chmod(path.stat().st_mode | 0o600)
        partial.rename(tree)
    return tree


def _keep(client: Any, run_id: str, out: Path, metrics: str, files: list[str]) -> None:
    """Metrics of the run and of runs below it; the run's own win.  A file that the workload left itself is kept."""
    run = client.get_run(run_id)
    below = client.search_runs([run.info.experiment_id], f"tags.`mlflow.parentRunId` = '{run_id}'")
    logged: dict[str, float] = {}
    for one in (*reversed(below), run):
        logged.update(one.data.metrics)
    if not (out / metrics).exists():
        (out / metrics).parent.mkdir(parents=True, exist_ok=True)
        (out / metrics).write_text(json.dumps(logged), encoding="utf-8")
    for name in files:
        folder = name.rpartition("/")[0] or None
        if not (out / name).exists() and any(one.path == name for one in client.list_artifacts(run_id, folder)):
            (out / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(client.download_artifacts(run_id, name), out / name)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="mlflow_run", description=__doc__)
    for name in ("--project", "--entry-point", "--env-manager", "--out", "--metrics"):
        parser.add_argument(name, required=True)
    parser.add_argument("--copy-of", default="")
    for name in ("--leave-out", "--read", "--param"):
        parser.add_argument(name, action="append", default=[])
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
