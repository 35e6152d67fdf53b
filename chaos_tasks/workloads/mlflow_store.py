"""A trial's own MLflow store, copied from one that was made once: making its tables takes MLflow up to a minute."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import tempfile
from contextlib import closing
from pathlib import Path

from chaos_tasks.workloads.environment import clean

PREFIX = "sqlite:///"
STORE = "store.db"
TIMEOUT_S = 600
VERSION = "import importlib.metadata as of; print(of.version('mlflow'))"
MAKE = (
    "import sys; from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore; "
    "SqlAlchemyStore(sys.argv[1], sys.argv[2])"
)
"""In the pipeline's interpreter, whose MLflow will read it; no interface of MLflow's makes tables and nothing else."""


def place_of(uri: str, out: Path) -> Path | None:
    """The file of a store that belongs to the trial alone and is not there yet; None for any other."""
    path = Path(uri.removeprefix(PREFIX))
    return path if uri.startswith(PREFIX) and path.is_relative_to(out) and not path.exists() else None


def version_of(python: str) -> str | None:
    """Of the MLflow of an interpreter, without importing it; None where it has none."""
    found = _asked(python, VERSION)
    return found.stdout.strip() if found is not None and found.returncode == 0 else None


def make(python: str, folder: Path) -> None:
    """Make the store in a folder; where that fails, the folder stays without one, and MLflow makes it in each trial."""
    folder.mkdir(parents=True)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        store = Path(scratch) / STORE
        found = _asked(python, MAKE, f"{PREFIX}{store}", str(Path(scratch) / "artifacts"))
        if found is None or found.returncode != 0 or not store.is_file():
            return
        with closing(sqlite3.connect(store)) as connection, connection:
            # The first experiment names where its artifacts go; without it, MLflow makes it anew in each trial.
            connection.execute("DELETE FROM experiments")
        store.rename(folder / STORE)


def lay_out(folder: Path, place: Path) -> bool:
    """Copy the store to its place; False, and nothing there, where none could be made."""
    if not (folder / STORE).is_file():
        return False
    place.parent.mkdir(parents=True, exist_ok=True)
    partial = place.with_name(f".{place.name}.partial")
    shutil.copyfile(folder / STORE, partial)
    partial.rename(place)
    return True


def _asked(python: str, code: str, *arguments: str) -> subprocess.CompletedProcess[str] | None:
    try:
        return subprocess.run(
            (python, "-c", code, *arguments),
            env=clean(os.environ, {"MLFLOW_DISABLE_TELEMETRY": "true"}),
            cwd="/",
            capture_output=True,
            text=True,
            check=False,
            timeout=TIMEOUT_S,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
