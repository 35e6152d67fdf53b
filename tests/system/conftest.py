"""One real Airflow for all system tests: scheduler, DAG processor, triggerer, api-server, ledger and sweeper."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import psutil
import pytest

from chaos_tasks.lab import processes, stack
from chaos_tasks.lab.airflow_api import AirflowApi, DagRun
from chaos_tasks.lab.parts import LabOptions, Part
from chaos_tasks.lab.waiting import NotReadyError, wait_until
from chaos_tasks.ledger import open_ledger
from chaos_tasks.model.handle import OPEN_PHASES, HandleState
from chaos_tasks.model.record import RecordKind
from chaos_tasks.model.verdict import Verdict
from chaos_tasks.ports import Ledger
from chaos_tasks.runs import Run
from chaos_tasks.settings import read_settings
from tests.airflow_kills.project import prepare
from tests.canaries import SPILT
from tests.doc_blocks import block
from tests.servers import make_short_folder
from tests.system import guarded_target, spilling_target, stranger_target
from tests.system.tiny_target import METHODS, TinyProject, add_crowd, make_project

ROOT = Path(__file__).resolve().parents[2]
END_S = 240.0
LINEAGE = "lineage.jsonl"
CREDENTIALS = """
[credentials]
somebody = "airflow:somebodys_keys"
"""
ANSWER_S = 90.0
"""How long a request may take; on a busy machine Airflow takes its time."""

CROWD_SIZE = 3
"""One that holds the target, and two that wait for it."""


@dataclass
class Lab:
    """The running lab, and what a test asks of it."""

    project: TinyProject
    api: AirflowApi
    ledger: Ledger
    url: str = ""
    crowd: tuple[str, ...] = ()
    """Experiments of which one at a time holds its target."""

    def start(self, experiment: str, conf: dict[str, object] | None = None) -> DagRun:
        """Trigger an experiment's DAG."""
        return self.api.trigger(f"chaos_{experiment}", conf)  # type: ignore[arg-type]

    def end(self, run: DagRun) -> DagRun:
        """The run once it has ended; what its failed tasks said is shown when the test fails."""
        try:
            ended = self.api.wait(run.dag_id, run.run_id, timeout_s=END_S)
        except NotReadyError:
            print(self.states(run))  # noqa: T201 - which task it is that nobody ends
            raise
        for task in self.api.task_instances(run.dag_id, run.run_id):
            print(task.task_id, task.state, f"try {task.try_number}", f"{task.duration or 0:.1f} s")  # noqa: T201
            if task.state == "failed" and task.map_index < 0:
                print(self.api.log(run.dag_id, run.run_id, task.task_id, try_number=task.try_number)[:4000])  # noqa: T201
        return ended

    def states(self, run: DagRun) -> dict[str, str | None]:
        """State by task id."""
        return self.api.task_states(run.dag_id, run.run_id)

    def await_task(self, run: DagRun, task_id: str, state: str = "running") -> psutil.Process | None:
        """Wait until a task is in a state; its process when it runs."""
        wait_until(
            lambda: self.states(run).get(task_id) == state,
            what=f"{task_id} of {run.run_id} being {state}",
            timeout_s=END_S,
            interval_s=0.1,
        )
        return self.process_of(run, task_id)

    def process_of(self, run: DagRun, task_id: str) -> psutil.Process | None:
        """The process that runs a task now."""
        found = [one for one in self.api.task_instances(run.dag_id, run.run_id) if one.task_id == task_id]
        return psutil.Process(found[0].pid) if found and found[0].pid and psutil.pid_exists(found[0].pid) else None

    def records(self, run_id: str) -> list[RecordKind]:
        """Kinds of the run's records, in order."""
        return [stored.record.kind for stored in self.ledger.records(run_id=run_id)]

    def verdict(self, run_id: str) -> Verdict | None:
        """The recorded verdict."""
        return Run(self.ledger, run_id).verdict()

    def left_in(self, run_id: str) -> list[HandleState]:
        """Open handles of a run."""
        return self.ledger.handles(run_id=run_id, phases=OPEN_PHASES)


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    """Starts in about half a minute; everything is ended and removed afterwards."""
    with local_lab(stranger=True) as running:
        yield running


@contextmanager
def local_lab(*, stranger: bool = False) -> Iterator[Lab]:
    """Airflow with its LocalExecutor, a sweeper and S3; with a ``stranger``, also a DAG that is a target."""
    folder = make_short_folder()
    project = make_project(folder / "p", ROOT / "dags")
    crowd = add_crowd(project, CROWD_SIZE)
    with pytest.MonkeyPatch.context() as environment:
        for name, value in {**environment_of(project), **mlflow_of(project), **SPILT}.items():
            environment.setenv(name, value)
        more = prepare(project) | guarded_target.prepare(project) | spilling_target.prepare(project) | frozenset(crowd)
        project.config.write_text(project.config.read_text() + CREDENTIALS)
        (project.dags / "promote.py").write_text(promotion())
        more |= stranger_target.prepare(project) if stranger else frozenset()
        options = options_of(project, more, lanes=2)
        try:
            state = stack.up(options, {Part.AIRFLOW, Part.SWEEPER, Part.S3})
            assert state.airflow_password is not None
            settings = read_settings(project.config, {"SQUALL_HOME": str(project.home)})
            password = state.airflow_password.get_secret_value()
            with AirflowApi(state.airflow_url, state.airflow_user, password, timeout_s=ANSWER_S) as api:
                if stranger:
                    stranger_target.settle(state, api)
                ledger = open_ledger(settings.ledger_url)
                yield Lab(project, api, ledger, state.airflow_url, crowd)
                ledger.close()
        finally:
            stack.down(project.home)
            processes.end_strays(project.home)
            shutil.rmtree(folder, ignore_errors=True)


def promotion() -> str:
    """The DAG that waits for a verdict, as docs/integrations.md shows it."""
    (text,) = block("promote", (ROOT / "docs" / "integrations.md").read_text(encoding="utf-8"))
    return text.replace("flights", "tiny").replace("label-flip", "healthy")


def environment_of(project: TinyProject) -> dict[str, str]:
    """What the lab's processes inherit."""
    inherited = os.environ.get("PYTHONPATH", "")
    return {
        "PYTHONPATH": os.pathsep.join(part for part in (str(project.site), inherited) if part),
        **lineage_of(project),
    }


def mlflow_of(project: TinyProject) -> dict[str, str]:
    """A database for MLflow and no server, which would take as long to start as Airflow does."""
    return {"SQUALL_MLFLOW_URI": f"sqlite:///{project.home}/mlflow.db"}


def lineage_of(project: TinyProject) -> dict[str, str]:
    """Airflow's own settings of OpenLineage, where its provider is installed: events go into a file."""
    if find_spec("airflow.providers.openlineage") is None:
        return {}
    transport = {"type": "file", "log_file_path": str(project.root / LINEAGE), "append": True}
    return {"AIRFLOW__OPENLINEAGE__TRANSPORT": json.dumps(transport), "AIRFLOW__OPENLINEAGE__NAMESPACE": "tests"}


def options_of(project: TinyProject, more: frozenset[str], *, lanes: int, work_machines: int = 0) -> LabOptions:
    """How its lab is started, and started again."""
    expected = {f"chaos_{name}" for name in (*METHODS, *more)} | {"chaos_nightly", "chaos_on_demand"}
    return LabOptions(
        home=project.home,
        dags=project.dags,
        config=project.config,
        ports=None,
        lanes=lanes,
        expected_dags=frozenset(expected),
        work_machines=work_machines,
    )
