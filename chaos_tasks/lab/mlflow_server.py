"""MLflow: the schema of its database, where artifacts go, and a server for looking.

Writers use the database itself: on it a run is made in 9 ms instead of 16, a metric logged in 6 ms instead of 18, and
nothing is lost while the server, which takes ten seconds and more to start, is away.  Only writers on several machines
go through the server: they share no folder for artifacts, and it keeps them in S3.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import sys
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from chaos_tasks.errors import SetupError
from chaos_tasks.lab import processes, seaweedfs
from chaos_tasks.lab.commands import run_to_end
from chaos_tasks.lab.credentials import Credentials
from chaos_tasks.lab.ports import LOOPBACK
from chaos_tasks.lab.private_files import write_private
from chaos_tasks.lab.processes import Daemon, DaemonSpec

NAME = "mlflow"
ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # 2 GB of workers for a feature that nobody here uses
}

# Without `mlflow.cli`, whose imports take as long again.
UPGRADE = "import sys; from mlflow.db import commands; commands(['upgrade', sys.argv[1]])"


@dataclass(frozen=True)
class Bucket:
    """Where the server itself keeps artifacts: writers on other machines need neither its folder nor its key."""

    url: str
    endpoint: str
    key: Credentials

    def environment(self) -> dict[str, str]:
        """What MLflow's client of S3 reads."""
        return {
            "MLFLOW_S3_ENDPOINT_URL": self.endpoint,
            "AWS_DEFAULT_REGION": seaweedfs.REGION,
            **self.key.as_environment(),
        }


@dataclass(frozen=True)
class MlflowServer:
    """A running server."""

    daemon: Daemon
    port: int

    @property
    def url(self) -> str:
        """Where the UI is."""
        return f"http://{LOOPBACK}:{self.port}"


def upgrade_database(folder: Path, database: str) -> bool:
    """Bring the schema to this MLflow version; False, at once, when it already is.

    Two processes that meet an empty database at the same time both migrate it, and one of them fails: so this comes
    before anybody writes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    stamp = folder / "migrated.json"
    wanted = importlib.metadata.version("mlflow")
    if stamp.exists() and json.loads(stamp.read_text()) == {"mlflow": wanted, "schema": _schema(database)}:
        return False
    run_to_end((sys.executable, "-c", UPGRADE, database), cwd=folder, env=ENVIRONMENT, what="mlflow db upgrade")
    write_private(stamp, json.dumps({"mlflow": wanted, "schema": _schema(database)}))
    return True


def running(folder: Path, port: int) -> MlflowServer | None:
    """The server that this folder has started and that still lives."""
    daemon = processes.load_alive(folder, NAME)
    return MlflowServer(daemon, port) if daemon is not None else None


def start(
    folder: Path, port: int, database: str, artifacts: Path | Bucket, *, owner: Path | None = None
) -> MlflowServer:
    """Start the server without waiting for it; a no-op if it already runs.

    Artifacts are written by the clients where they are a folder, and by the server where they are a bucket.
    """
    if importlib.util.find_spec("mlflow") is None:
        raise SetupError("MLflow is missing", remedy="run `make setup`")
    if isinstance(artifacts, Path):
        artifacts.mkdir(parents=True, exist_ok=True)
    spec = _spec(folder, port, database, artifacts, owner)
    return running(folder, port) or MlflowServer(processes.start(spec), port)


def await_ready(server: MlflowServer, timeout_s: float = 120.0) -> None:
    """Return once the server answers."""
    processes.await_ready(server.daemon, lambda: answers(server.url), timeout_s=timeout_s, interval_s=0.3)


def answers(url: str) -> bool:
    """True if the server's health page can be read."""
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=2):  # a loopback address
            return True
    except (urllib.error.URLError, TimeoutError, ConnectionError):
        return False


def _spec(folder: Path, port: int, database: str, artifacts: Path | Bucket, owner: Path | None) -> DaemonSpec:
    options = {
        "--host": LOOPBACK,
        "--port": str(port),
        "--backend-store-uri": database,
        "--workers": "1",
    }
    if isinstance(artifacts, Bucket):
        kept, env = ("--serve-artifacts", "--artifacts-destination", artifacts.url), artifacts.environment()
    else:
        kept, env = ("--no-serve-artifacts", "--default-artifact-root", artifacts.as_uri()), {}
    argv = tuple(part for option in options.items() for part in option)
    return DaemonSpec(
        name=NAME,
        argv=(sys.executable, "-m", "mlflow", "server", *kept, *argv),
        folder=folder,
        cwd=folder,
        env={**ENVIRONMENT, **env},
        ports={"mlflow": port},
        stop_grace_s=3.0,
        owner=owner,
    )


def _schema(database: str) -> str | None:
    import psycopg

    with psycopg.connect(database.replace("+psycopg2", "")) as connection:
        known = connection.execute("select to_regclass('alembic_version') is not null").fetchone()
        if known != (True,):
            return None
        row = connection.execute("select version_num from alembic_version").fetchone()
    return str(row[0]) if row else None
