"""Whether MLflow is there, told within seconds: its own client would go on trying for minutes."""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPSConnection
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from chaos_tasks.errors import SetupError

TIMEOUT_S = 5.0
BEHIND_A_PROXY = (502, 503, 504)  # what is said for a server that is away by who stands before it
REMEDY = (
    "start it (`squall up`), then publish again (in Airflow: clear the task `publish`); "
    "the ledger has everything, and the outcome stands"
)


def require(uri: str) -> None:
    """Raise SetupError unless the server or database behind a tracking URI answers."""
    try:
        _touch(uri)
    except Exception as error:
        raise _unreachable(uri, error) from error


@contextmanager
def reachable(uri: str) -> Iterator[None]:
    """Turn MLflow's, its database's and its network's errors into a SetupError that says what to do."""
    require(uri)
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # before the import: nothing leaves without being asked
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (MlflowException, SQLAlchemyError, OSError) as error:
        raise _unreachable(uri, error) from error


def without_password(uri: str) -> str:
    """A URI that may be shown."""
    scheme, found, rest = uri.partition("://")
    user, at, host = rest.rpartition("@")
    return f"{scheme}://{user.partition(':')[0]}@{host}" if found and at else uri


def _touch(uri: str) -> None:
    parts = urlsplit(uri)
    if parts.scheme in ("http", "https"):
        _ask(parts)
    elif parts.scheme.startswith("sqlite"):
        folder = Path(uri.partition(":///")[2]).parent
        if not folder.is_dir():
            raise FileNotFoundError(f"no folder {folder}")
    else:
        from sqlalchemy import create_engine
        from sqlalchemy.pool import NullPool

        create_engine(uri, poolclass=NullPool).connect().close()


def _ask(parts: SplitResult) -> None:
    """Wait for an answer, whatever it says: a server that is frozen still takes connections."""
    kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=TIMEOUT_S)
    try:
        connection.request("GET", f"{parts.path.rstrip('/')}/health")
        status = connection.getresponse().status
    except ssl.SSLError:
        return  # it is there; which certificates are trusted is between MLflow's client and it
    finally:
        connection.close()
    if status in BEHIND_A_PROXY:
        raise ConnectionError(f"it answers {status}")


def _unreachable(uri: str, error: Exception) -> SetupError:
    password = urlsplit(uri).password
    cause = str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
    cause = cause.replace(password, "***") if password else cause
    return SetupError(f"MLflow at {without_password(uri)} cannot be written: {cause}", remedy=REMEDY)
