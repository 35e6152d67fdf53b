"""A real Airflow on Celery for tests: PostgreSQL, Redis, SeaweedFS, MLflow, a control machine and two work machines.

Each machine has a host name, a process table and a disk of its own (chaos_tasks/lab/machine.py), so a task sees nothing
that another machine's task left in a folder, and no process of it.

    with cluster_lab() as lab:                       # a `Lab` as in tests/system, so the same scenarios run on it
        lab.end(lab.start("healthy"))
        lab.process_of(run, "exercise")              # found inside its machine, as a psutil.Process of this host
        lab.machines["work-1"].kill()                # a machine dies with all that runs on it
        with lab.only("work-2"): ...                 # workloads go to that machine alone
"""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from chaos_tasks.lab import cluster, processes, stack
from chaos_tasks.lab.airflow_api import AirflowApi, DagRun
from chaos_tasks.lab.machine import process_in
from chaos_tasks.lab.parts import Part
from chaos_tasks.lab.seaweedfs import s3_client
from chaos_tasks.lab.state import LabState
from chaos_tasks.lab.waiting import wait_until
from chaos_tasks.ledger import open_ledger
from chaos_tasks.model.record import RecordKind
from tests.airflow_kills.project import prepare
from tests.cluster import shipped
from tests.servers import make_short_folder
from tests.system.conftest import ROOT, Lab, environment_of, options_of
from tests.system.tiny_target import make_project

WORK = ("work-1", "work-2")
WORKLOADS = frozenset({RecordKind.TRIAL_STARTED, RecordKind.TRIAL_ENDED})
ACTS = frozenset({RecordKind.INJECT_APPLIED, RecordKind.REVERT_VERIFIED})


@dataclass(frozen=True)
class Machine:
    """One running machine."""

    name: str
    home: Path

    @property
    def process(self) -> psutil.Process:
        """The first process of the machine's own process table, as this host sees it; all others descend from it."""
        daemon = processes.load_alive(cluster.folder_of(self.home), self.name)
        assert daemon is not None, f"{self.name} does not run"
        (first,) = psutil.Process(daemon.pid).children()
        return first

    @property
    def worker(self) -> psutil.Process:
        """The Celery worker's main process."""
        return self._service("celery")

    @property
    def sweeper(self) -> psutil.Process:
        """The watching sweeper."""
        return self._service("sweep")

    @property
    def disk(self) -> Path:
        """Squall's home of that machine, as this host sees it."""
        return cluster.disk_of(self.home, self.name)

    def find(self, pid: int) -> psutil.Process | None:
        """The process with that pid inside the machine."""
        return process_in(self.process.pid, pid)

    def kill(self) -> None:
        """As if the power were cut."""
        self.process.kill()

    def _service(self, word: str) -> psutil.Process:
        lines = {one: " ".join(one.cmdline()) for one in self.process.children()}
        return next(one for one, line in lines.items() if word in line)


@dataclass
class ClusterLab(Lab):
    """The running cluster, and what a test asks of it beyond a Lab."""

    state: LabState = field(kw_only=True)
    celery: object = field(kw_only=True)

    @property
    def machines(self) -> Mapping[str, Machine]:
        """By host name."""
        return {name: Machine(name, self.project.home) for name in (cluster.CONTROL, *WORK)}

    def process_of(self, run: DagRun, task_id: str) -> psutil.Process | None:
        """The process that runs a task now, on whichever machine."""
        found = [one for one in self.api.task_instances(run.dag_id, run.run_id) if one.task_id == task_id]
        machine = self.machines.get(found[0].hostname or "") if found else None
        return machine.find(found[0].pid) if machine is not None and found[0].pid else None

    def host_of(self, run: DagRun, task_id: str) -> str:
        """The machine that a task ran on last."""
        (found,) = [one for one in self.api.task_instances(run.dag_id, run.run_id) if one.task_id == task_id]
        return found.hostname or ""

    def hosts(self, run_id: str, kinds: Collection[RecordKind]) -> set[str]:
        """Which machines wrote a run's records of these kinds."""
        return {one.record.recorder.host for one in self.ledger.records(run_id=run_id, kinds=tuple(kinds))}

    @contextmanager
    def only(self, name: str) -> Iterator[None]:
        """Let workloads go to one work machine."""
        folder = cluster.folder_of(self.project.home)
        others = [one for one in WORK if one != name and processes.load_alive(folder, one) is not None]
        for other in others:  # named one by one: no name at all would be every worker
            self._tell("cancel_consumer", other)
        try:
            yield
        finally:
            for other in others:
                self._tell("add_consumer", other)

    def _tell(self, what: str, name: str) -> None:
        ask = getattr(self.celery.control, what)  # type: ignore[attr-defined]
        ask(cluster.WORK_QUEUE, destination=[f"{name}@{name}"], reply=True, timeout=5)

    def objects(self, bucket: str) -> list[str]:
        """Keys of a bucket of the lab's S3, as its administrator sees them."""
        assert self.state.identities is not None
        pages = s3_client(self.state.s3_endpoint, self.state.identities.admin).get_paginator("list_objects_v2")
        return [each["Key"] for page in pages.paginate(Bucket=bucket) for each in page.get("Contents", ())]

    def marks(self) -> list[Path]:
        """What is left of the fault on any machine's disk."""
        return [path for machine in self.machines.values() for path in machine.disk.glob("runs/*/**/.tiny-mark")]

    def await_workers(self) -> None:
        """Until every machine's worker takes tasks."""
        wanted = {f"{name}@{name}" for name in (cluster.CONTROL, *WORK)}
        wait_until(
            lambda: wanted <= {name for reply in self.celery.control.ping(timeout=2) for name in reply},  # type: ignore[attr-defined]
            what="all Celery workers",
            timeout_s=120,
        )


@contextmanager
def cluster_lab(*, with_shipped: bool = False) -> Iterator[ClusterLab]:
    """Starts in about a minute; everything is ended and removed afterwards.

    ``with_shipped``: also the reference target and the product's own experiments on it, which takes a minute more.
    """
    from celery import Celery

    folder = make_short_folder()
    project = make_project(folder / "p", ROOT / "dags")
    with pytest.MonkeyPatch.context() as environment:
        for name, value in environment_of(project).items():
            environment.setenv(name, value)
        more = prepare(project) | (shipped.prepare(project) if with_shipped else frozenset())
        options = options_of(project, more, lanes=4, work_machines=len(WORK))
        try:
            parts = {Part.AIRFLOW, Part.MLFLOW} | ({Part.REFERENCE} if with_shipped else set())
            state = stack.up(options, parts, report=print)
            with AirflowApi(state.airflow_url, state.airflow_user, state.airflow_password.get_secret_value()) as api:
                ledger = open_ledger(state.ledger_url)
                with Celery(broker=state.broker_url) as celery:
                    lab = ClusterLab(project, api, ledger, state=state, celery=celery)
                    lab.await_workers()
                    yield lab
                ledger.close()
        finally:
            stack.down(project.home)
            processes.end_strays(project.home)
            shutil.rmtree(folder, ignore_errors=True)
