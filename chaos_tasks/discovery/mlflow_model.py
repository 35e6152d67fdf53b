"""The finder of MLflow models: from a model's URI to the run that made it, and to the script that the run names."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from chaos_tasks.discovery.found import Guess, Pipeline
from chaos_tasks.discovery.scripts import pipeline_of
from chaos_tasks.errors import SetupError, SquallError
from chaos_tasks.settings import find_settings

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

_MODEL = re.compile(r"models:/(?P<name>[^/@]+)(?:@(?P<alias>.+)|/(?P<version>.+))")
_RUN = re.compile(r"runs:/(?P<run>[^/]+)(?:/.*)?")


class MlflowModel:
    """Asks the server of SQUALL_MLFLOW_URI, MLFLOW_TRACKING_URI or squall.toml, in this order."""

    kind: ClassVar[str] = "mlflow_model"
    summary: ClassVar[str] = "an MLflow model or run (models:/NAME@ALIAS, models:/NAME/VERSION, runs:/ID)"

    def fits(self, where: str) -> bool:
        """By its scheme."""
        return where.startswith(("models:/", "runs:/"))

    def find(self, where: str) -> Pipeline:
        """The script of the run that made the model."""
        uri = _tracking_uri()
        run = _run_of(where, uri)
        script = _script(where, run)
        root = next((one for one in script.parents if (one / ".git").exists()), script.parent)
        what = f"{where}: made by run {run.info.run_id[:12]} with {script.name}"
        found = pipeline_of(self.kind, what, root, script)
        logged = ", ".join(sorted(run.data.metrics)[:8]) or "no metrics"
        commands = tuple(Guess(value=one.value, why=f"{one.why}; that run logged {logged}") for one in found.commands)
        return found.model_copy(update={"commands": commands})


def _tracking_uri() -> str:
    told = os.environ.get("SQUALL_MLFLOW_URI") or os.environ.get("MLFLOW_TRACKING_URI")
    if told:
        return told
    try:
        return find_settings().mlflow_uri
    except SetupError:  # a folder without squall.toml is where people begin
        return ""


def _run_of(where: str, uri: str) -> Run:
    from chaos_tasks.tracking.reach import require, without_password

    if not uri:
        raise SetupError("no MLflow server is known", remedy="set MLFLOW_TRACKING_URI to the one that has the model")
    try:
        require(uri)
    except SquallError as error:
        why = error.message.rpartition(": ")[2]
        raise SetupError(
            f"{where} is asked for at {without_password(uri)}, where nothing answers: {why}",
            remedy="start that server, or set MLFLOW_TRACKING_URI to the one that has the model",
        ) from None
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    client = MlflowClient(tracking_uri=uri, registry_uri=uri)
    try:
        return client.get_run(_run_id(where, client))
    except MlflowException as error:
        raise SetupError(
            f"{where} is not at {without_password(uri)}: {str(error).splitlines()[0][:200]}",
            remedy="set MLFLOW_TRACKING_URI to the server that has it, or name the script instead",
        ) from None


def _run_id(where: str, client: MlflowClient) -> str:
    run, model = _RUN.fullmatch(where), _MODEL.fullmatch(where)
    if run:
        return run["run"]
    if model is None:
        raise SetupError(
            f"{where} is no model URI", remedy="write models:/NAME@ALIAS, models:/NAME/VERSION or runs:/ID"
        )
    if model["alias"]:
        version = client.get_model_version_by_alias(model["name"], model["alias"])
    else:
        version = client.get_model_version(model["name"], model["version"])
    if not version.run_id:
        raise SetupError(f"{where} names no run that made it", remedy="name the script that trains it instead")
    return str(version.run_id)


def _script(where: str, run: Run) -> Path:
    source = run.data.tags.get("mlflow.source.name", "")
    path = Path(source).expanduser()
    if path.suffix == ".py" and path.is_file():
        return path.resolve()
    raise SetupError(
        f"the run that made {where} says that it was made by {source or 'nothing'}, which is no script on this machine",
        remedy="clone its repository, and name the script: squall init path/to/train.py",
    )
