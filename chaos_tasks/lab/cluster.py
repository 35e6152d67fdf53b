"""Airflow on Celery: one machine for control tasks and several for workloads, each with a disk of its own."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from chaos_tasks.errors import SetupError
from chaos_tasks.lab import machine, processes
from chaos_tasks.lab.machine import MachineSpec
from chaos_tasks.lab.processes import Daemon, DaemonSpec

CONTROL = "control"
CONTROL_QUEUE = "squall_control"
REVERT_QUEUE = "squall_revert"
WORK_QUEUE = "default"
CONTROL_CONCURRENCY = 4
REVERT_CONCURRENCY = 2
FOLDER = "machines"

AIRFLOW = (sys.executable, "-m", "airflow")


@dataclass(frozen=True)
class Cluster:
    """Who works where."""

    home: Path
    """The lab's home; the machines see it, and have their own disks at `machine_home`."""
    work_machines: int
    lanes: int
    """Workloads at a time, over all machines."""
    env: Mapping[str, str]
    """Airflow's environment, with what a worker needs to find ledger, credentials and store without a shared folder."""
    sweeper: tuple[str, ...]
    """Command of the watching sweeper; each machine has one, since no other sees its processes."""

    @property
    def folder(self) -> Path:
        """Pid files, disks and logs of the machines."""
        return folder_of(self.home)

    @property
    def machine_home(self) -> Path:
        """SQUALL_HOME of every machine: the same path, another disk."""
        return self.folder / "home"

    def names(self) -> tuple[str, ...]:
        """Host names, control first."""
        return (CONTROL, *(f"work-{number}" for number in range(1, self.work_machines + 1)))

    def spec(self, name: str) -> MachineSpec:
        """One machine: a Celery worker with its queue (on the control machine one more, for reverts), and a sweeper."""
        if name == CONTROL:
            workers = {
                "worker": self._worker(name, CONTROL_QUEUE, CONTROL_CONCURRENCY),
                "reverter": self._worker(f"revert-{name}", REVERT_QUEUE, REVERT_CONCURRENCY),
            }
        else:
            workers = {"worker": self._worker(name, WORK_QUEUE, self._share())}
        return MachineSpec(
            name=name,
            home=self.machine_home,
            disk=disk_of(self.home, name),
            hidden=self.folder / "disks",
            logs=self.folder / "logs",
            services={**workers, "sweeper": self.sweeper},
        )

    def _worker(self, name: str, queue: str, concurrency: int) -> tuple[str, ...]:
        where = ("-q", queue, "--concurrency", str(concurrency), "-H", f"{name}@%h")
        # Its log server would listen on all interfaces.
        return (*AIRFLOW, "celery", "worker", "--skip-serve-logs", *where, "--without-mingle", "--without-gossip")

    def _share(self) -> int:
        return max(1, -(-self.lanes // self.work_machines))


def folder_of(home: Path) -> Path:
    """Where the machines of a lab keep everything."""
    return home / FOLDER


def disk_of(home: Path, name: str) -> Path:
    """A machine's disk as this host sees it."""
    return folder_of(home) / "disks" / name


def started(home: Path) -> tuple[str, ...]:
    """Names of the machines that a lab has started and not yet stopped."""
    return tuple(sorted(path.name.removesuffix(".pid.json") for path in folder_of(home).glob("*.pid.json")))


def start(cluster: Cluster) -> tuple[Daemon, ...]:
    """Start the machines that do not run yet; raises SetupError where this user may make no namespaces."""
    if not machine.available():
        raise SetupError(
            "machines of their own need Linux namespaces, which this user may not make here",
            remedy="run as root, or allow user namespaces (sysctl kernel.unprivileged_userns_clone=1)",
        )
    return tuple(_start(cluster, name) for name in cluster.names())


def broker_options(url: str, database: str) -> dict[str, dict[str, str]]:
    """Airflow's settings for Celery, by section."""
    return {
        "celery": {
            "broker_url": url,
            "result_backend": f"db+{database.replace('+psycopg2', '')}",
            "sync_parallelism": "1",
            "worker_prefetch_multiplier": "1",
            "task_acks_late": "True",
        },
        "core": {"executor": "CeleryExecutor", "hostname_callable": "socket.gethostname"},
        "operators": {"default_queue": WORK_QUEUE},
    }


def _start(cluster: Cluster, name: str) -> Daemon:
    running = processes.load_alive(cluster.folder, name)
    if running is not None:
        return running
    disk_of(cluster.home, name).mkdir(parents=True, exist_ok=True)
    spec = DaemonSpec(
        name=name,
        argv=(sys.executable, "-m", "chaos_tasks.lab.machine", cluster.spec(name).model_dump_json()),
        folder=cluster.folder,
        cwd=cluster.home,
        env={**cluster.env, "SQUALL_HOME": str(cluster.machine_home)},
        owner=cluster.home,
    )
    return processes.start(spec)
