"""Registered models in MLflow, as the gate of an alias sees them."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from chaos_tasks.errors import SetupError
from chaos_tasks.tracking.reach import reachable

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

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
                where = self._client().get_model_version_download_uri(model.name, model.version)
                return Path(download_artifacts(artifact_uri=where, dst_path=str(self._fresh()), tracking_uri=self.uri))
            except (MlflowException, OSError) as error:
                raise SetupError(
                    f"the files of {model.uri} cannot be had: {str(error).splitlines()[0]}",
                    remedy="check the name and version in MLflow",
                ) from error

    def _fresh(self) -> Path:
        self.folder.mkdir(parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(dir=self.folder))

    def _client(self) -> MlflowClient:
        from mlflow.tracking import MlflowClient

        return MlflowClient(tracking_uri=self.uri, registry_uri=self.uri)

    def point(self, model: ModelVersion, alias: str) -> None:
        """Set the alias."""
        with reachable(self.uri):
            self._client().set_registered_model_alias(model.name, alias, model.version)
