"""A running Airflow of each executor: who runs what of a DAG run, as processes of this host, and starting again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Protocol

import psutil

from chaos_tasks.composition import Squall, build
from chaos_tasks.lab import cluster, identities, processes, stack
from chaos_tasks.lab.airflow_api import DagRun
from chaos_tasks.lab.parts import Part
from chaos_tasks.lab.processes import Daemon
from chaos_tasks.lab.waiting import wait_until
from chaos_tasks.settings import read_settings
from tests.airflow_kills.project import EXPERIMENTS
from tests.airflow_kills.rows import Executor
from tests.cluster.running import WORK, ClusterLab, cluster_lab
from tests.system.conftest import Lab, local_lab, options_of

EXERCISE = "exercise"
SUPERVISOR = "chaos_tasks.workloads.supervisor"


class Stack(Protocol):
    """What a blow needs to know of a running Airflow."""

    executor: Executor

    @property
    def lab(self) -> Lab:
        """The lab it runs in."""

    def worker(self, run: DagRun) -> list[psutil.Process]:
        """The Airflow worker that has the run's exercise task: its main process first, then whatever it forked."""

    def machine_of(self, run: DagRun) -> list[psutil.Process]:
        """All that would be gone if the machine lost its power: worker, task, supervisor, workload."""

    def start_again(self) -> None:
        """Start what was killed, and wait until all is well."""

    def environment(self) -> Mapping[str, str]:
        """What a process of Squall's own is told here."""


@dataclass(frozen=True)
class LocalStack:
    """The scheduler forks workers, and those the tasks."""

    lab: Lab
    executor: Executor = Executor.LOCAL

    def worker(self, run: DagRun) -> list[psutil.Process]:
        """Its worker is the parent of the task."""
        return [watcher_of(self.lab, run)]

    def machine_of(self, run: DagRun) -> list[psutil.Process]:
        """The worker and all its descendants."""
        watcher = watcher_of(self.lab, run)
        return [watcher, *watcher.children(recursive=True)]

    def start_again(self) -> None:
        """`squall up` starts what does not run."""
        stack.up(options_of(self.lab.project, EXPERIMENTS, lanes=2), {Part.AIRFLOW, Part.SWEEPER})

    def environment(self) -> Mapping[str, str]:
        """One machine, one home."""
        return {"SQUALL_HOME": str(self.lab.project.home)}


@dataclass(frozen=True)
class CeleryStack:
    """A worker on each machine forks the tasks."""

    lab: ClusterLab
    executor: Executor = Executor.CELERY

    def worker(self, run: DagRun) -> list[psutil.Process]:
        """The main process and its pool, tasks left out."""
        main = self.lab.machines[self.lab.host_of(run, EXERCISE)].worker
        return [main, *main.children()]

    def machine_of(self, run: DagRun) -> list[psutil.Process]:
        """Its first process: all others die with it."""
        return [self.lab.machines[self.lab.host_of(run, EXERCISE)].process]

    def start_again(self) -> None:
        """`squall up` starts the machines and components that do not run."""
        options = options_of(self.lab.project, EXPERIMENTS, lanes=4, work_machines=len(WORK))
        stack.up(options, {Part.AIRFLOW})
        self.lab.await_workers()

    def environment(self) -> Mapping[str, str]:
        """As a machine is told it."""
        home = self.lab.project.home
        return {
            "SQUALL_HOME": str(cluster.folder_of(home) / "home"),
            "SQUALL_LEDGER_URL": self.lab.state.ledger_url,
            "SQUALL_CREDENTIALS": str(cluster.folder_of(home) / "credentials.json"),
            "SQUALL_STORE": f"s3://{identities.STORE_BUCKET}/squall",
            "SQUALL_STORE_ENDPOINT": self.lab.state.s3_endpoint,
        }


@contextmanager
def running(executor: Executor) -> Iterator[Stack]:
    """Starts in about a minute."""
    if executor is Executor.LOCAL:
        with local_lab() as lab:
            yield LocalStack(lab)
    else:
        with cluster_lab() as lab:
            yield CeleryStack(lab)


@contextmanager
def squall_of(stack: Stack) -> Iterator[Squall]:
    """Squall's own parts, as a process outside of Airflow has them."""
    settings = read_settings(stack.lab.project.config, dict(stack.environment()))
    with build(settings=settings) as squall:
        yield squall


# --- processes of a run -----------------------------------------------------------------------------------------------


def task_of(lab: Lab, run: DagRun) -> psutil.Process:
    """The process of its exercise task."""
    process = lab.process_of(run, EXERCISE)
    assert process is not None, "the exercise task has no process"
    return process


def watcher_of(lab: Lab, run: DagRun) -> psutil.Process:
    """Airflow's process that watches the task: a LocalExecutor's worker, or a child of a Celery worker's pool."""
    parent = task_of(lab, run).parent()
    assert parent is not None
    return parent


def supervisor_of(lab: Lab, run: DagRun) -> psutil.Process:
    """Squall's own supervisor of the run's workload."""
    children = task_of(lab, run).children()
    return next(one for one in children if SUPERVISOR in " ".join(one.cmdline()))


def component(lab: Lab, name: str) -> Daemon:
    """A component of Airflow that runs."""
    daemon = processes.load_alive(lab.project.home / "airflow" / "run", name)
    assert daemon is not None, f"{name} does not run"
    return daemon


def kill(found: list[psutil.Process]) -> None:
    """SIGKILL, all at the same time as far as one process can; none may start another in between."""
    for process in found:
        with suppress(psutil.NoSuchProcess):
            process.suspend()
    for process in found:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    wait_until(lambda: not any(lives(one) for one in found), what="the end of what was killed", timeout_s=10)


def lives(process: psutil.Process) -> bool:
    """A zombie does not."""
    with suppress(psutil.NoSuchProcess):
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    return False
