"""An alias of a registered model in a real MLflow: set by evidence, and by nothing else."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from chaos_tasks.attesting.promoting import Gate, ModelVersion, attest
from chaos_tasks.errors import GuardTripped, SetupError
from chaos_tasks.tracking.models import MlflowRegistry
from tests.unit.attesting.test_statements import FLIP, KEY, run

NOW = datetime(2026, 11, 24, tzinfo=UTC)
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy")  # MLflow's own way to SQLAlchemy


def test_an_alias_follows_the_evidence_and_an_edited_artifact_loses_it(tmp_path: Path) -> None:
    import mlflow
    from mlflow.tracking import MlflowClient

    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    client = MlflowClient(tracking_uri=uri, registry_uri=uri)
    experiment = client.create_experiment("models", artifact_location=(tmp_path / "artifacts").as_uri())
    made = client.create_run(experiment).info
    (tmp_path / "weights.bin").write_bytes(b"1234")
    client.log_artifact(made.run_id, str(tmp_path / "weights.bin"), "model")
    client.create_registered_model("late-flights")
    source = f"{mlflow.artifacts.download_artifacts(run_id=made.run_id, artifact_path='model', tracking_uri=uri)}"
    version = client.create_model_version("late-flights", source=Path(source).as_uri(), run_id=made.run_id)
    model = ModelVersion(name="late-flights", version=str(version.version))
    registry = MlflowRegistry(uri, tmp_path / "copies")
    envelope = attest(model, registry.files(model), [run("missing-values")], KEY, at=NOW)
    gate = Gate((FLIP,), [KEY.verify_key], timedelta(days=7), lambda: NOW)
    gate.promote(model, "champion", envelope, registry)
    assert str(client.get_model_version_by_alias("late-flights", "champion").version) == model.version

    (Path(source) / "weights.bin").write_bytes(b"6666")
    with pytest.raises(GuardTripped, match="as it is now"):
        gate.promote(model, "challenger", envelope, registry)
    with pytest.raises(SetupError, match="cannot be had"):
        registry.files(ModelVersion(name="nobody", version="1"))
