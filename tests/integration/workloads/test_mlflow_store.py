"""A trial's MLflow store is a copy of an empty one: MLflow takes it as its own, and finds no place of another trial."""

from __future__ import annotations

import sqlite3
import sys
from pathlib import Path

import pytest

from chaos_tasks.clients import from_credentials
from chaos_tasks.workloads import mlflow_store
from chaos_tasks.workspaces import Workspaces


@pytest.fixture(scope="module")
def workspaces(tmp_path_factory: pytest.TempPathFactory) -> Workspaces:
    return Workspaces(tmp_path_factory.mktemp("home"), sys.executable, from_credentials({}))


def _experiments(place: Path, folder: Path) -> list[tuple[str, str]]:
    """As MLflow itself reads them, after whatever it thinks the store lacks."""
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    store = SqlAlchemyStore(f"sqlite:///{place}", str(folder))
    found = [(one.name, one.artifact_location) for one in store.search_experiments()]
    store.engine.dispose()
    return found


@pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy")  # MLflow's own way to SQLAlchemy
def test_each_trial_gets_a_copy_that_mlflow_takes_as_its_own(workspaces: Workspaces, tmp_path: Path) -> None:
    made = []
    for name in ("one", "two"):
        out = tmp_path / name
        out.mkdir()
        workspaces.lay_out_store(f"sqlite:///{out}/mlflow.db", out)
        with sqlite3.connect(out / "mlflow.db") as store:
            made.append(store.execute("SELECT version_num FROM alembic_version").fetchall())
        assert _experiments(out / "mlflow.db", out / "artifacts") == [("Default", f"{out}/artifacts/0")]
    assert made[0] == made[1] != []
    version = mlflow_store.version_of(sys.executable)
    assert [path.name for path in (workspaces.home / "cache" / "mlflow").iterdir() if path.is_dir()] == [version]


@pytest.mark.parametrize("uri", ["", "http://mlflow.example:5000", "sqlite:////elsewhere/mlflow.db"])
def test_a_store_that_is_not_the_trials_own_is_left_alone(uri: str, workspaces: Workspaces, tmp_path: Path) -> None:
    workspaces.lay_out_store(uri, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_store_that_is_there_is_kept(workspaces: Workspaces, tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_bytes(b"mine")
    workspaces.lay_out_store(f"sqlite:///{tmp_path}/mlflow.db", tmp_path)
    assert (tmp_path / "mlflow.db").read_bytes() == b"mine"


def test_an_interpreter_without_mlflow_makes_none(tmp_path: Path) -> None:
    assert mlflow_store.version_of("/nowhere/python") is None
    mlflow_store.make("/nowhere/python", tmp_path / "folder")
    assert not mlflow_store.lay_out(tmp_path / "folder", tmp_path / "out" / "mlflow.db")
    assert not (tmp_path / "out").exists()
