"""Registered models in MLflow, as the gate of an alias sees them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from chaos_tasks.errors import SetupError
from chaos_tasks.tracking.reach import reachable

if TYPE_CHECKING:
    from chaos_tasks.attesting.promoting import ModelVersion


@dataclass(frozen=True)
class MlflowRegistry:
    """Downloads the files of a version below ``folder``."""

    uri: str
    folder: Path

    def files(self, model: ModelVersion) -> Path:
        """A fresh copy each time: what was checked yesterday may have changed."""
        from mlflow.artifacts import download_artifacts
        from mlflow.exceptions import MlflowException

        with reachable(self.uri):
            try:
                return Path(
                    download_artifacts(artifact_uri=model.uri, dst_path=str(self.folder), tracking_uri=self.uri)
                )
            except (MlflowException, OSError) as error:
                raise SetupError(
                    f"the files of {model.uri} cannot be had: {str(error).splitlines()[0]}",
                    remedy="check the name and version in MLflow",
                ) from error

    def point(self, model: ModelVersion, alias: str) -> None:
        """Set the alias."""
        from mlflow.tracking import MlflowClient

        with reachable(self.uri):
            MlflowClient(tracking_uri=self.uri, registry_uri=self.uri).set_registered_model_alias(
                model.name, alias, model.version
            )
