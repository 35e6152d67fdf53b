"""Airflow on loopback: its settings, its four components as daemons, its pools, and when it is ready.

`airflow standalone` is not used: it opens ports on all interfaces and leaves its children behind when it is stopped.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from chaos_tasks.errors import SetupError
from chaos_tasks.lab import processes
from chaos_tasks.lab.airflow_api import COMPONENTS as HEALTHY_COMPONENTS
from chaos_tasks.lab.airflow_api import AirflowApi, ComponentHealth
from chaos_tasks.lab.cluster import broker_options
from chaos_tasks.lab.commands import run_to_end
from chaos_tasks.lab.ports import LOOPBACK
from chaos_tasks.lab.private_files import fernet_key, secret_once, write_private
from chaos_tasks.lab.processes import Daemon, DaemonSpec

COMPONENTS = ("api-server", "scheduler", "dag-processor", "triggerer")
WORK_POOL = "squall_work"
CONTROL_POOL = "squall_control"
REVERT_POOL = "squall_revert"
CONTROL_SLOTS = 4
REVERT_SLOTS = 2

PATIENCE_WITH_BROKEN_FILES_S = 45.0

USERS = {"admin": "admin", "operator": "op", "auditor": "viewer"}
"""Lab users and their roles; two who may approve, so that nobody has to approve an experiment of their own."""

PRELOAD = (
    "numpy",
    "scipy.stats",
    "pyarrow.parquet",
    "pydantic",
    "yaml",
    "psutil",
    "psycopg",
    "boto3",
    "redis",
    "mlflow.tracking",
    "mlflow.store.tracking.sqlalchemy_store",
    "sqlalchemy.dialects.postgresql.psycopg2",
    "matplotlib.figure",
    "matplotlib.backends.backend_agg",
    "chaos_tasks.composition",
    "chaos_tasks.workloads.runner",
    "chaos_tasks.judging.judge",
    "chaos_tasks.tracking.plots",
    "chaos_tasks.tracking.publisher",
    "squall_operators.steps",
)
"""Each task is a fork of the scheduler: what the scheduler has imported, no task pays for. Workloads are not forks."""

LOCAL_SETTINGS = '''"""Written by `squall up`: import once, where tasks are forked, what each would; and route."""

import importlib
import logging
import sys

if sys.argv[1:2] == ["scheduler"] and not {cluster} or sys.argv[1:3] == ["celery", "worker"]:
    for name in {modules!r}:
        try:
            importlib.import_module(name)
        except Exception as error:  # a task that needs it will say so itself
            logging.getLogger("squall.preload").warning("not preloaded: %s: %r", name, error)

if {cluster}:
    from squall_operators.routing import task_policy
'''


@dataclass(frozen=True)
class AirflowSettings:
    """What the launcher needs to know."""

    home: Path
    """Squall's home: Airflow gets the folder `airflow` in it."""
    dags: Path
    database: str
    """SQLAlchemy URL of the metadata database (psycopg2; Airflow derives the asynchronous one)."""
    port: int
    lanes: int
    """How many workloads may run at once: the slots of the pool for everything that is not control."""
    extra_env: Mapping[str, str]
    broker: str = ""
    """URL of Celery's broker; empty: tasks are forks of the scheduler."""

    @property
    def folder(self) -> Path:
        """AIRFLOW_HOME."""
        return self.home / "airflow"

    @property
    def url(self) -> str:
        """Where the UI and the API are."""
        return f"http://{LOOPBACK}:{self.port}"

    @property
    def passwords_file(self) -> Path:
        """Owner-only JSON of the lab users' passwords."""
        return self.folder / "passwords.json"


@dataclass(frozen=True)
class AirflowServer:
    """The running components."""

    settings: AirflowSettings
    daemons: tuple[Daemon, ...]
    user: str
    password: str

    def api(self) -> AirflowApi:
        """A client logged in as the lab's administrator."""
        return AirflowApi(self.settings.url, self.user, self.password)


def pools(lanes: int) -> dict[str, tuple[int, str]]:
    """Slots and description by name; nothing of the lab is in Airflow's own default pool."""
    return {
        WORK_POOL: (lanes, "Squall: workloads, one per lane"),
        CONTROL_POOL: (CONTROL_SLOTS, "Squall: arm, inject, judge and publish; never waits for workloads"),
        REVERT_POOL: (REVERT_SLOTS, "Squall: reverts and nothing else; never waits for anything"),
    }


def default_lanes() -> int:
    """One workload per core that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


LINEAGE = "AIRFLOW__OPENLINEAGE__TRANSPORT"
"""Lineage goes nowhere, unless whoever starts the lab says where."""


def environment(settings: AirflowSettings) -> dict[str, str]:
    """Everything that Airflow is told, by environment only; secrets are drawn once per lab and kept owner-only."""
    folder = settings.folder
    sections: dict[str, dict[str, str]] = {
        "core": {
            "executor": "LocalExecutor",
            # A pool whose slots are more than the executor's processes promises nothing.
            "parallelism": str(sum(slots for slots, _ in pools(settings.lanes).values())),
            "load_examples": "False",
            "dags_folder": str(settings.dags),
            "execution_api_server_url": f"{settings.url}/execution/",
            "fernet_key": secret_once(folder / "secrets" / "fernet_key", draw=fernet_key),
            "min_serialized_dag_update_interval": "2",
            "simple_auth_manager_users": ",".join(f"{user}:{role}" for user, role in USERS.items()),
            "simple_auth_manager_passwords_file": str(settings.passwords_file),
        },
        "database": {
            "sql_alchemy_conn": settings.database,
            "load_default_connections": "False",
        },
        "api": {
            "host": LOOPBACK,
            "port": str(settings.port),
            "base_url": settings.url,
            "workers": "1",
            "secret_key": secret_once(folder / "secrets" / "api_secret_key"),
            "instance_name": "Squall lab",
            "expose_config": "False",
        },
        "api_auth": {"jwt_secret": secret_once(folder / "secrets" / "jwt_secret", 64)},
        "logging": {
            "logging_level": "INFO",  # receipts and verdicts are in the tasks' logs
            "worker_log_server_host": LOOPBACK,
            "base_log_folder": str(folder / "logs"),
        },
        "dag_processor": {
            "dag_bundle_config_list": json.dumps([_bundle(settings.dags)]),
            "dag_bundle_storage_path": str(folder / "bundles"),
            "parsing_processes": "1",
            "refresh_interval": "5",
            # A changed .py file is seen within refresh_interval, a changed experiment file within this; parsing every
            # 5 s took a quarter of a core for nothing.
            "min_file_process_interval": "30",
        },
        "scheduler": {
            "scheduler_idle_sleep_time": "0.3",
            "scheduler_health_check_threshold": "15",
            "task_instance_heartbeat_timeout": "20",
            "task_instance_heartbeat_timeout_detection_interval": "5",
            "orphaned_tasks_check_interval": "10",
            "trigger_timeout_check_interval": "2",
            "enable_health_check": "False",
        },
        "workers": {"min_heartbeat_interval": "1"},  # 5 s by default, in which a finished task keeps its slot
        "metrics": {"statsd_on": "False", "otel_on": "False"},
        "traces": {"otel_on": "False"},
        "openlineage": {"disabled": str(LINEAGE not in os.environ)},
    }
    for section, options in (broker_options(settings.broker, settings.database) if settings.broker else {}).items():
        sections.setdefault(section, {}).update(options)
    named = {
        f"AIRFLOW__{section.upper()}__{key.upper()}": value
        for section, options in sections.items()
        for key, value in options.items()
    }
    return {**named, **_surroundings(settings), **settings.extra_env}


def start(settings: AirflowSettings, *, preload: tuple[str, ...] = PRELOAD) -> AirflowServer:
    """Start the components that do not run yet; migrate the database only when its schema is not this version's."""
    if importlib.util.find_spec("airflow") is None:
        raise SetupError("Airflow is missing", remedy="run `make setup` (extra: airflow)")
    password = _prepare(settings, preload)
    env = environment(settings)
    migrate(settings, env)
    with ThreadPoolExecutor(len(COMPONENTS)) as pool:
        daemons = tuple(pool.map(lambda name: _start_component(settings, name, env), COMPONENTS))
    return AirflowServer(settings, daemons, "admin", password)


def await_ready(server: AirflowServer, expected_dags: frozenset[str] = frozenset(), timeout_s: float = 240.0) -> None:
    """Return once every component has reported itself healthy since its start, the pools exist and the DAGs are parsed.

    A heartbeat of an earlier life does not count: for some seconds it would make a dead scheduler look well.
    """
    with server.api() as api:
        _await(server, lambda: _healthy(api.health(), server.daemons), timeout_s)
        for name, (slots, description) in pools(server.settings.lanes).items():
            api.ensure_pool(name, slots, description)
        if expected_dags:
            _await_dags(server, api, expected_dags, timeout_s)


def migrate(settings: AirflowSettings, env: Mapping[str, str]) -> bool:
    """Bring the metadata schema to this Airflow version; False, within milliseconds, when it already is."""
    stamp = settings.folder / "migrated.json"
    wanted = importlib.metadata.version("apache-airflow-core")
    if stamp.exists() and json.loads(stamp.read_text()) == {"airflow": wanted, "schema": _schema(settings)}:
        return False
    run_to_end((*AIRFLOW, "db", "migrate"), cwd=settings.folder, env=env, what="airflow db migrate")
    write_private(stamp, json.dumps({"airflow": wanted, "schema": _schema(settings)}))
    return True


AIRFLOW = (sys.executable, "-m", "airflow")


def _start_component(settings: AirflowSettings, component: str, env: Mapping[str, str]) -> Daemon:
    running = processes.load_alive(settings.folder / "run", component)
    return running or processes.start(component_spec(settings, component, env))


def component_spec(settings: AirflowSettings, component: str, env: Mapping[str, str]) -> DaemonSpec:
    """How one component is started; only the api-server listens, on loopback."""
    options: dict[str, tuple[str, ...]] = {
        "api-server": ("--host", LOOPBACK, "--port", str(settings.port), "--workers", "1"),
        "scheduler": ("--skip-serve-logs",),  # the log servers listen on all interfaces, whatever the settings say
        "triggerer": ("--skip-serve-logs",),
    }
    return DaemonSpec(
        name=component,
        argv=(*AIRFLOW, component, *options.get(component, ())),
        folder=settings.folder / "run",
        cwd=settings.folder,
        env=env,
        ports={"airflow": settings.port} if component == "api-server" else {},
        stop_grace_s=8.0,
        owner=settings.home,
    )


def password_of(home: Path, user: str) -> str:
    """Of a lab user; drawn at the first call."""
    return secret_once(home / "airflow" / "secrets" / f"password_{user}", 8)


def _prepare(settings: AirflowSettings, preload: tuple[str, ...]) -> str:
    (settings.folder / "config").mkdir(parents=True, exist_ok=True)
    (settings.folder / "config" / "airflow_local_settings.py").write_text(
        LOCAL_SETTINGS.format(modules=preload, cluster=bool(settings.broker)), encoding="utf-8"
    )
    passwords = {user: password_of(settings.home, user) for user in USERS}
    write_private(settings.passwords_file, json.dumps(passwords))
    exports = "".join(f"export {key}='{value}'\n" for key, value in sorted(environment(settings).items()))
    write_private(settings.folder / "airflow.env", exports)  # `. airflow.env` gives a shell in which `airflow` works
    return passwords["admin"]


def _bundle(dags: Path) -> dict[str, str | dict[str, str]]:
    return {
        "name": "squall",
        "classpath": "airflow.dag_processing.bundles.local.LocalDagBundle",
        "kwargs": {"path": str(dags)},
    }


def _surroundings(settings: AirflowSettings) -> dict[str, str]:
    return {
        "AIRFLOW_HOME": str(settings.folder),
        "SQUALL_HOME": str(settings.home),
        **processes.import_environment(),
        "PATH": os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath))),
        "SPT_NOENV": "1",  # else setproctitle overwrites the environment by which `down` knows its processes
        "SCARF_ANALYTICS": "false",
        "DO_NOT_TRACK": "1",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DVC_NO_ANALYTICS": "1",
        "PYTHONUNBUFFERED": "1",
    }


def _schema(settings: AirflowSettings) -> str | None:
    """The revision that the database says it is at; None for one that was never migrated."""
    import psycopg

    with psycopg.connect(settings.database.replace("+psycopg2", "")) as connection:
        known = connection.execute("select to_regclass('alembic_version') is not null").fetchone()
        if known != (True,):
            return None
        row = connection.execute("select version_num from alembic_version").fetchone()
    return str(row[0]) if row else None


def _healthy(health: tuple[ComponentHealth, ...], daemons: tuple[Daemon, ...]) -> bool:
    if {component.name for component in health if component.healthy} != set(HEALTHY_COMPONENTS):
        return False
    since = {daemon.name.replace("-", "_"): daemon.since for daemon in daemons}
    beats = {component.name: component.heartbeat for component in health}
    return all(
        (beat := beats.get(name)) is not None and beat >= started for name, started in since.items() if name in beats
    )


def _await_dags(server: AirflowServer, api: AirflowApi, expected: frozenset[str], timeout_s: float) -> None:
    """A DAG file that does not parse is given one more parse to be mended, not the whole deadline."""
    begun = time.monotonic()

    def parsed() -> bool:
        missing, waited = expected - api.dag_ids(), time.monotonic() - begun
        failures = api.import_failures() if missing and waited > PATIENCE_WITH_BROKEN_FILES_S else ()
        if missing and (failures or waited > timeout_s):
            traces = "\n".join(f"{each.filename}:\n{each.stack_trace.strip()}" for each in failures)
            raise SetupError(
                f"DAGs not parsed after {waited:.0f} s: {', '.join(sorted(missing))}\n{traces}".rstrip(),
                remedy="run `squall validate`; the DAG processor's log is in airflow/run of Squall's home",
            )
        return not missing

    _await(server, parsed, timeout_s + 5)


def _await(server: AirflowServer, check: Callable[[], bool], timeout_s: float) -> None:
    *others, last = server.daemons

    def holds() -> bool:
        for daemon in others:
            processes.require_alive(daemon)
        return check()

    # Asked seldom: four components are importing on the same cores, and each answer costs the api-server some too.
    processes.await_ready(last, holds, timeout_s=timeout_s, interval_s=0.3)
