"""Runs trials through a supervisor: starts it, gives it one trial at a time, and notices when it dies."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

from pydantic import ValidationError

from chaos_tasks.clients import from_environment
from chaos_tasks.clock import SystemClock
from chaos_tasks.errors import WorkloadError
from chaos_tasks.model.spec import TrialSpec
from chaos_tasks.model.trial import Trial, TrialStatus
from chaos_tasks.ports import Clock
from chaos_tasks.workloads.fencing import end_trial
from chaos_tasks.workloads.journal import Journal, past_launches
from chaos_tasks.workloads.renewal_slot import VARIABLE, RenewalSlot
from chaos_tasks.workloads.reply import Reply

MODULE = "chaos_tasks.workloads.supervisor"
STOPPED = "the trial was stopped"
CLOSE_S = 30.0  # time for receipts and reverts of holds


class SupervisedRunner:
    """One supervisor for many trials; implements ports.TrialRunner.

    ``environment`` is the whole environment of the supervisor (SQUALL_LEDGER_URL in it); ``log`` takes its stderr;
    ``renewed`` hears until when (monotonic seconds) it has renewed its run.
    """

    def __init__(
        self,
        *,
        environment: Mapping[str, str],
        log: Path | None = None,
        clock: Clock | None = None,
        renewed: Callable[[str, float], None] = lambda run_id, until: None,
    ) -> None:
        self._environment = dict(environment)
        self._log = log
        self._clock = clock or SystemClock()
        self._renewed = renewed
        self._slot = RenewalSlot.make()
        self._run_id = ""
        self._process: subprocess.Popen[bytes] | None = None
        self._closed = False

    @property
    def pid(self) -> int | None:
        """The supervisor's, while there is one."""
        return self._process.pid if self._process is not None else None

    def run(self, spec: TrialSpec) -> Trial:
        """Run one trial to its end; VOID when the supervisor dies, ABORTED when `close` ends it from elsewhere."""
        self._run_id = spec.run_id
        try:
            return self._answered(spec)
        finally:
            self._hear()

    def _answered(self, spec: TrialSpec) -> Trial:
        started_at = self._clock.now()
        line = self._ask(self._supervisor(), spec)
        if not line.endswith(b"\n"):  # it died, or was told to go, without an answer
            return self._unanswered(spec, started_at)
        try:
            reply = Reply.model_validate_json(line)
        except ValidationError as error:
            raise WorkloadError("the supervisor's answer cannot be read", remedy=self._where()) from error
        if reply.trial is None:
            raise WorkloadError(f"{spec.trial_id}: {reply.error}", remedy=reply.remedy or self._where())
        if self._closed and reply.trial.status is TrialStatus.VOID:
            return reply.trial.model_copy(update={"status": TrialStatus.ABORTED, "error": STOPPED})
        return reply.trial

    def close(self) -> None:
        """End the supervisor by ending its stdin; it reverts its holds and ends its workload first."""
        self._closed = True
        process, self._process = self._process, None
        if process is None:
            return
        with suppress(BrokenPipeError):
            if process.stdin is not None:
                process.stdin.close()
        try:
            process.wait(CLOSE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()
        self._hear()

    def _hear(self) -> None:
        """Whatever became of the supervisor, and however its trial ended."""
        until = self._slot.read()
        if until is not None:
            self._renewed(self._run_id, until)

    def _ask(self, process: subprocess.Popen[bytes], spec: TrialSpec) -> bytes:
        assert process.stdin is not None  # noqa: S101  (both pipes are made in _start)
        assert process.stdout is not None  # noqa: S101
        with suppress(BrokenPipeError, ValueError):
            process.stdin.write(spec.model_dump_json().encode() + b"\n")
            process.stdin.flush()
            return process.stdout.readline()
        return b""

    def _supervisor(self) -> subprocess.Popen[bytes]:
        if self._closed:
            raise WorkloadError("the runner is closed", remedy="open another one")
        if self._process is None or self._process.poll() is not None:
            self._process = self._start()
        return self._process

    def _start(self) -> subprocess.Popen[bytes]:
        if self._log is None:
            return self._started(stderr=None)
        self._log.parent.mkdir(parents=True, exist_ok=True)
        with self._log.open("ab") as stream:
            return self._started(stderr=stream)

    def _started(self, *, stderr: BinaryIO | None) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            (sys.executable, "-m", MODULE),
            env={**self._environment, VARIABLE: str(self._slot.fd)},
            pass_fds=(self._slot.fd,),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            start_new_session=True,
        )

    def _unanswered(self, spec: TrialSpec, started_at: datetime) -> Trial:
        """The supervisor is gone: nothing of its trial may go on, and the trial says nothing."""
        process, self._process = self._process, None
        if process is not None:
            with suppress(subprocess.TimeoutExpired):
                process.wait(CLOSE_S)
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    with suppress(BrokenPipeError):
                        pipe.close()
        served_by_another = _served_by_another(spec, process)
        if not served_by_another:
            with suppress(WorkloadError):  # a DAG run that goes on is the next fence's to end
                end_trial(Path(spec.out), self._clock, from_environment(self._environment) if spec.dag else None)
        ended_at = self._clock.now()
        return Trial(
            id=spec.trial_id,
            run_id=spec.run_id,
            arm=spec.arm,
            seed=spec.seed,
            status=TrialStatus.ABORTED if self._closed else TrialStatus.VOID,
            started_at=started_at,
            ended_at=ended_at,
            wall_s=max(0.0, (ended_at - started_at).total_seconds()),
            launches=tuple(one.launch for one in past_launches(Journal(Path(spec.out)))),
            lost_steps=0,
            out=spec.out,
            error=STOPPED if self._closed else f"its supervisor ended {served_by_another or 'without an answer'}",
        )

    def _where(self) -> str:
        return f"read {self._log}" if self._log else f"its stderr has the cause (pid {os.getpid()})"


def _served_by_another(spec: TrialSpec, ours: subprocess.Popen[bytes] | None) -> str:
    """Who serves the trial now, where another process took it over: that supervisor has ended what ours left."""
    served = Journal(Path(spec.out)).supervisors()
    if ours is None or not served or served[-1].pid == ours.pid or not served[-1].is_alive():
        return ""
    return f"and pid {served[-1].pid} serves the trial"
