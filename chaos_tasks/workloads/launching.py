"""One launch of the workload: started with its mark, watched, and ended with all that belongs to it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from chaos_tasks.errors import SetupError, SquallError, WorkloadError
from chaos_tasks.model.place import ProcessPlace
from chaos_tasks.model.spec import TrialSpec
from chaos_tasks.model.trial import Launch
from chaos_tasks.ports import Clients, Clock
from chaos_tasks.targets.process import MARK_VARIABLE, end_tree, place_of
from chaos_tasks.workloads.airflow_dag import RUN_VARIABLE, dag_run_id
from chaos_tasks.workloads.dag_ending import end_dag_runs
from chaos_tasks.workloads.environment import clean
from chaos_tasks.workloads.journal import Asked, Exited, Journal, Launched
from chaos_tasks.workloads.progress import ProgressWatch, Tail
from chaos_tasks.workloads.session import end_session, start_session

LOG_NAME = "workload.log"
GRACE_S = 2.0


class RunningLaunch:
    """A started workload; `end` is always called, and leaves nothing of it running."""

    def __init__(
        self, spec: TrialSpec, number: int, journal: Journal, clock: Clock, make_clients: Callable[[], Clients]
    ) -> None:
        out = Path(spec.out)
        self.watch = ProgressWatch(spec.progress, out, clock.now)
        self.new_lines: list[str] = []
        self._log = Tail.at_end(out / LOG_NAME)
        self._clock = clock
        self._journal = journal
        self._make_clients = make_clients
        self._mark = f"{spec.trial_id}#{os.getpid()}.{number}"
        self._started_at = clock.now()
        self._first_progress_at: datetime | None = None
        told = {**spec.environment, **self._ask(spec, number), MARK_VARIABLE: self._mark}
        environment = clean(os.environ, told)
        self._process: subprocess.Popen[bytes] = start_session(
            spec.command, cwd=spec.cwd, environment=environment, log=out / LOG_NAME
        )
        self.place = self._register(spec)

    def look(self) -> int | None:
        """Exit code once it has ended; reads output and progress up to that moment."""
        code = self._process.poll()
        self.new_lines = list(self._log.lines())
        if self.watch.look(self.new_lines).first is not None and self._first_progress_at is None:
            self._first_progress_at = self._clock.now()
        return code

    def end(self, *, exit_code: int | None) -> Launch:
        """End what is left of its tree, and note the launch; ``exit_code`` None: it did not end by itself."""
        ended_at = self._clock.now()
        end_tree(self.place, GRACE_S if exit_code is None else 0.0, mark=self._mark)
        end_session(self._process)
        self._end_dag_runs()
        self.look()
        launch = Launch(
            pid=self.place.pid,
            started_at=self._started_at,
            ended_at=ended_at,
            exit_code=exit_code,
            first_step=self.watch.steps.first,
            last_step=self.watch.steps.last,
            first_progress_at=self._first_progress_at,
        )
        self._journal.append(Exited(launch=launch, highest_step=self.watch.steps.highest))
        return launch

    def _ask(self, spec: TrialSpec, number: int) -> dict[str, str]:
        """The run of a DAG that this launch is, noted before anybody asks Airflow for it."""
        if spec.dag is None or spec.dag.attached:
            return {}
        run_id = dag_run_id(spec.trial_id, number)
        self._journal.append(Asked(at=self._started_at, dag=spec.dag, run_id=run_id))
        return {RUN_VARIABLE: run_id}

    def _end_dag_runs(self) -> None:
        """One that Airflow does not let us end stays in the journal, for whoever ends the trial next."""
        try:
            end_dag_runs(self._journal, self._make_clients, self._clock)
        except SquallError as error:
            sys.stderr.write(f"{error}\n")

    def _register(self, spec: TrialSpec) -> ProcessPlace:
        try:
            place = place_of(
                self._process.pid,
                trial_id=spec.trial_id,
                out=spec.out,
                checkpoints=spec.checkpoints,
                checkpoint_glob=spec.checkpoint_glob,
            )
            self._journal.append(Launched(at=self._started_at, place=place))
            if spec.pid_file:
                write_atomically(Path(spec.pid_file), place.model_dump_json())
        except (SetupError, OSError) as error:
            end_session(self._process)
            raise WorkloadError(f"the workload of {spec.trial_id} cannot be registered: {error}") from error
        return place


def write_atomically(path: Path, text: str) -> None:
    """A reader sees the old content or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)
