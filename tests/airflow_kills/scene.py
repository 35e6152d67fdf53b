"""One row being played: the stack, the DAG run, and what a blow does to them."""

from __future__ import annotations

import signal
from dataclasses import dataclass, field

import psutil
from redis.exceptions import RedisError

from chaos_tasks.errors import SetupError
from chaos_tasks.lab import processes
from chaos_tasks.lab.airflow_api import AirflowApi, AirflowApiError, DagRun, TaskState
from chaos_tasks.lab.state import lab_folder
from chaos_tasks.lab.waiting import wait_until
from chaos_tasks.model.record import RecordKind
from squall_operators.run_ids import run_id_of
from tests.airflow_kills.stacks import EXERCISE, Stack, component, kill, supervisor_of, task_of, watcher_of
from tests.system.conftest import Lab

STARTS = 5
"""Components end one after the other with their database, and `up` says so of each."""


@dataclass
class Scene:
    """What the functions below act on; what they find wrong goes into ``wrong``."""

    stack: Stack
    run: DagRun
    wrong: list[str] = field(default_factory=list)
    leaked: list[psutil.Process] = field(default_factory=list)
    more: list[DagRun] = field(default_factory=list)

    @property
    def lab(self) -> Lab:
        """The lab."""
        return self.stack.lab

    @property
    def api(self) -> AirflowApi:
        """Airflow's REST API."""
        return self.stack.lab.api

    @property
    def run_id(self) -> str:
        """Squall's own run."""
        return run_id_of(self.run.dag_id, self.run.run_id)

    def expect(self, holds: bool, otherwise: str) -> None:
        """Note what is not as promised."""
        if not holds:
            self.wrong.append(otherwise)


# --- signals ----------------------------------------------------------------------------------------------------------


def kill_task(scene: Scene) -> None:
    """The process that executes the task."""
    kill([task_of(scene.lab, scene.run)])


def kill_supervisor(scene: Scene) -> None:
    """Squall's process that watches the workload."""
    kill([supervisor_of(scene.lab, scene.run)])


def kill_task_and_supervisor(scene: Scene) -> None:
    """Both, so that nobody reads the end of a pipe."""
    kill([supervisor_of(scene.lab, scene.run), task_of(scene.lab, scene.run)])


def kill_watcher(scene: Scene) -> None:
    """Airflow's process that watches the task, which goes on as an orphan."""
    kill([watcher_of(scene.lab, scene.run)])


def kill_worker(scene: Scene) -> None:
    """The worker's main process and its pool."""
    kill(scene.stack.worker(scene.run))


def kill_machine(scene: Scene) -> None:
    """All that runs where the workload runs."""
    kill(scene.stack.machine_of(scene.run))


def kill_scheduler(scene: Scene) -> None:
    """Its main process; a LocalExecutor's workers go on as orphans, and never end by themselves."""
    leader = psutil.Process(component(scene.lab, "scheduler").pid)
    scene.leaked += leader.children()
    kill([leader])


def kill_scheduler_and_all_below(scene: Scene) -> None:
    """With the workers and tasks that it has forked, and what those have started."""
    leader = psutil.Process(component(scene.lab, "scheduler").pid)
    kill([leader, *leader.children(recursive=True)])


def restart_scheduler(scene: Scene) -> None:
    """SIGTERM, as a deployment does it, and start it again."""
    processes.stop(component(scene.lab, "scheduler"))
    scene.stack.start_again()


def kill_scheduler_and_start_it(scene: Scene) -> None:
    """Killed with all below it, and started again at once."""
    kill_scheduler_and_all_below(scene)
    scene.stack.start_again()


def kill_api_server(scene: Scene) -> None:
    """With the processes that it has forked."""
    leader = psutil.Process(component(scene.lab, "api-server").pid)
    kill([leader, *leader.children(recursive=True)])


def restart_api_server(scene: Scene) -> None:
    """Killed, and started again at once."""
    kill_api_server(scene)
    scene.stack.start_again()


def start_again(scene: Scene) -> None:
    """Whatever does not run."""
    scene.stack.start_again()


def kill_machine_and_start_it(scene: Scene) -> None:
    """Power is back at once."""
    kill_machine(scene)
    scene.stack.start_again()


def restart_database(scene: Scene) -> None:
    """The PostgreSQL of Airflow's metadata and of the ledger: its clients are thrown out, and it is back at once."""
    restart_server(scene, "postgres")


def restart_broker(scene: Scene) -> None:
    """Celery's Redis: killed, and back with what it had acknowledged."""
    restart_server(scene, "redis", signal.SIGKILL)


def restart_store(scene: Scene) -> None:
    """The S3 that clones and the results of trials cross by: killed, and back with its objects."""
    restart_server(scene, "s3", signal.SIGKILL)


def restart_server(scene: Scene, name: str, first: signal.Signals | None = None) -> None:
    """Stop a server of the lab, in its own way or by a signal, and start it again."""
    daemon = processes.load_alive(lab_folder(scene.lab.project.home) / name, name)
    assert daemon is not None, f"{name} does not run"
    if first is not None:
        daemon.identity.send(first)
    processes.stop(daemon)
    for left in reversed(range(STARTS)):
        try:
            scene.stack.start_again()
            return
        except (SetupError, RedisError):  # of what lived at the look before, or asked, and has ended with the server
            if not left:
                raise


# --- people, by the REST API ------------------------------------------------------------------------------------------


def mark_failed(scene: Scene) -> None:
    """The exercise task."""
    scene.api.set_task_state(scene.run.dag_id, scene.run.run_id, EXERCISE, TaskState.FAILED)


def mark_success(scene: Scene) -> None:
    """The exercise task."""
    scene.api.set_task_state(scene.run.dag_id, scene.run.run_id, EXERCISE, TaskState.SUCCESS)


def mark_revert(scene: Scene) -> None:
    """The revert task, as done, before it has begun: Airflow does not run it any more."""
    scene.api.set_task_state(scene.run.dag_id, scene.run.run_id, "revert", TaskState.SUCCESS)


def clear(scene: Scene) -> None:
    """The exercise task, with all after it."""
    scene.api.clear(scene.run.dag_id, scene.run.run_id, [EXERCISE], downstream=True)


def mark_run_failed(scene: Scene) -> None:
    """The DAG run."""
    scene.api.set_run_state(scene.run.dag_id, scene.run.run_id, "failed")


def mark_run_success(scene: Scene) -> None:
    """The DAG run."""
    scene.api.set_run_state(scene.run.dag_id, scene.run.run_id, "success")


def pause(scene: Scene) -> None:
    """The DAG: nothing more of it is scheduled, its teardown included."""
    scene.api.set_paused(scene.run.dag_id, True)


def pause_and_kill_task(scene: Scene) -> None:
    """Nobody retries it."""
    pause(scene)
    kill_task(scene)


def unpause(scene: Scene) -> None:
    """The DAG."""
    scene.api.set_paused(scene.run.dag_id, False)


def ask_for_more(scene: Scene) -> None:
    """A second run at once, the same run again, and to delete the run."""
    lab, run = scene.lab, scene.run
    second = lab.api.trigger(run.dag_id)
    scene.more.append(second)
    for what, ask in (
        ("a run with the same id", lambda: lab.api.trigger(run.dag_id, run_id=run.run_id)),
        ("to delete the running DAG run", lambda: lab.api.delete_run(run.dag_id, run.run_id)),
    ):
        try:
            ask()
        except AirflowApiError as error:
            scene.expect("409" in str(error), f"{what} was refused otherwise than by 409: {error.message[:200]}")
        else:
            scene.wrong.append(f"{what} was not refused")
    states = lab.states(second)
    scene.expect(not any(states.values()), f"the second run did not wait: {states}")


def let_the_second_run_end(scene: Scene) -> None:
    """It begins when the first has ended, and is a run of its own."""
    (second,) = scene.more
    ended = scene.lab.end(second)
    first = scene.api.run(scene.run.dag_id, scene.run.run_id)
    scene.expect(ended.state == "success", f"the second run is {ended.state}")
    began, over = ended.start_date, first.end_date
    scene.expect(
        began is not None and over is not None and over <= began, "the second run began before the first ended"
    )
    scene.expect(run_id_of(second.dag_id, second.run_id) != scene.run_id, "both have the same run in the ledger")


def clear_all_afterwards(scene: Scene) -> None:
    """A run that has its verdict is cleared as a whole: it may not hurt again."""
    acts = (RecordKind.INJECT_INTENT, RecordKind.INJECT_APPLIED, RecordKind.FAULT_ARMED)
    before = [kind for kind in scene.lab.records(scene.run_id) if kind in acts]
    everything = sorted(scene.lab.states(scene.run))
    scene.api.clear(scene.run.dag_id, scene.run.run_id, everything, downstream=True)
    wait_until(lambda: not scene.api.run(scene.run.dag_id, scene.run.run_id).finished, what="the run to begin again")
    scene.lab.end(scene.run)
    after = [kind for kind in scene.lab.records(scene.run_id) if kind in acts]
    scene.expect(before == after, "clearing a judged run armed or injected again")


def nobody(scene: Scene) -> None:
    """The run is left alone."""
