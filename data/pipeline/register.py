"""Registers a trained model in MLflow with its metrics and points an alias at it."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import evaluate
import mlflow
import torch
from mlflow import MlflowClient

HERE = Path(__file__).parent


def register(checkpoint: Path, out: Path, name: str, alias: str) -> int:
    """The new version; requirements are given, since finding them takes ten seconds."""
    model, _, _ = evaluate.restored(checkpoint)
    measured = json.loads((out / "metrics.json").read_text())
    with mlflow.start_run():
        mlflow.log_metrics({k: v for k, v in measured.items() if not isinstance(v, dict)})
        logged = mlflow.pytorch.log_model(
            model,
            name="model",
            registered_model_name=name,
            pip_requirements=[f"torch=={torch.__version__}"],
            code_paths=[str(HERE / "model.py")],
            serialization_format="pickle",
        )
    version = int(logged.registered_model_version or 0)
    MlflowClient().set_registered_model_alias(name, alias, str(version))
    return version


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True, help="the trial's folder, for its metrics.json")
    parser.add_argument("--tracking-uri", required=True)
    parser.add_argument("--experiment", default="late-flights")
    parser.add_argument("--model-name", default="late-flights")
    parser.add_argument("--alias", default="champion")
    args = parser.parse_args()
    mlflow.set_tracking_uri(args.tracking_uri)
    mlflow.set_experiment(args.experiment)
    version = register(args.checkpoint, args.out, args.model_name, args.alias)
    print(f"registered {args.model_name} version {version} as {args.alias}")


if __name__ == "__main__":
    main()
