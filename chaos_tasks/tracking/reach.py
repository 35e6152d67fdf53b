"""Whether MLflow is there, told within seconds: its own client would go on trying for minutes."""

from __future__ import annotations

import fcntl
import os
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPSConnection
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from chaos_tasks.clock import SystemClock
from chaos_tasks.errors import SetupError

TIMEOUT_S = 5.0
OPENING_S = 60.0
"""Making its tables takes MLflow some seconds."""

POLL_S = 0.05
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


@contextmanager
def alone(uri: str) -> Iterator[None]:
    """One process at a time opens an MLflow database that is a file.

    The first one makes the tables; two that make them at once fail, each on what the other has made.  A server does
    this before it answers anybody.  Raises SetupError where another one takes too long.
    """
    file = _file(uri)
    if file is None:
        yield
        return
    with file.with_name(f"{file.name}.opening").open("w") as lock:
        _lock(lock.fileno(), file)
        yield


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
        file = _file(uri)
        if file is not None and not file.parent.is_dir():
            raise FileNotFoundError(f"no folder {file.parent}")
    else:
        from sqlalchemy import create_engine
        from sqlalchemy.pool import NullPool

        create_engine(uri, poolclass=NullPool).connect().close()


def _file(uri: str) -> Path | None:
    """The file of a database that is one; None for a server, and for a database in memory."""
    if not uri.startswith("sqlite"):
        return None
    from sqlalchemy.engine import make_url

    name = make_url(uri).database
    return Path(name) if name and name != ":memory:" else None


def _lock(descriptor: int, file: Path) -> None:
    """Wait for the lock, and not without end: who holds it may stand still."""
    clock = SystemClock()
    deadline = clock.monotonic() + OPENING_S
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if clock.monotonic() > deadline:
                why = f"another process has been opening {file} for {OPENING_S:.0f} s"
                raise SetupError(why, remedy="see whether it stands still, then publish again") from None
            clock.sleep(POLL_S)
        else:
            return


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
