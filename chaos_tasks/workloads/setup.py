"""Run a target's set-up steps once for a data version: prepare, then the pipeline's own gate."""

from __future__ import annotations

import os
import subprocess
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from chaos_tasks.errors import GuardTripped, WorkloadError
from chaos_tasks.model.base import Value
from chaos_tasks.model.target import SetupStep, Target
from chaos_tasks.ports import Clock
from chaos_tasks.redacting import lines, redact_file, reveal
from chaos_tasks.workloads.command import render_environment, render_line, resource_values
from chaos_tasks.workloads.environment import clean, interpreter_first
from chaos_tasks.workloads.session import end_session

LAST_LINES = 8
LOOK_S = 0.25
TIMED_OUT_CODE = 124  # as timeout(1) has it


class StepResult(Value):
    """How one set-up step ended; ``tail`` is the end of its log when it failed."""

    name: str
    gate: bool
    exit_code: int
    timed_out: bool = False
    seconds: float
    tail: str = ""

    @property
    def gate_refused(self) -> bool:
        """Whether the pipeline's own gate refused the data; a gate that hangs has not said anything."""
        return self.gate and self.exit_code != 0 and not self.timed_out


def run_setup(
    target: Target,
    values: Mapping[str, str],
    *,
    cwd: Path,
    log_dir: Path,
    clock: Clock,
    must_succeed: bool = False,
    stop: Callable[[], bool] = lambda: False,
) -> tuple[StepResult, ...]:
    """Run the steps in order, up to and with the first that fails; each within the workload's timeout.

    With ``must_succeed``, raises WorkloadError with the last lines of its log for a failed step that is no gate.
    ``stop`` is asked while a step runs: it ends the step, and raises GuardTripped.
    """
    workload = target.workload
    path = {"PATH": interpreter_first(values["python"], os.environ.get("PATH", ""))} if "python" in values else {}
    environment = clean(os.environ, {**path, **_environment(target, values)})
    timeout_s = workload.timeout.total_seconds()
    results: list[StepResult] = []
    log_dir.mkdir(parents=True, exist_ok=True)
    for step in workload.setup:
        log = log_dir / f"setup-{step.name}.log"
        words = render_line(step.run, values, what=f"setup step {step.name} of {target.name}")
        command = tuple(reveal(word, os.environ) for word in words)
        results.append(_run(step, command, cwd, log, environment, timeout_s, clock, stop))
        if must_succeed and results[-1].exit_code != 0 and not results[-1].gate_refused:
            raise _failed(results[-1], log)
        if results[-1].exit_code != 0:
            break
    return tuple(results)


def _environment(target: Target, values: Mapping[str, str]) -> dict[str, str]:
    told = render_environment(target, _only_known(target, values))
    return {name: reveal(text, os.environ) for name, text in told.items()}


def _only_known(target: Target, values: Mapping[str, str]) -> Mapping[str, str]:
    """The workload's environment may name what only a trial has; set-up steps see it empty."""
    return {**resource_values(target), "seed": "", "out": "", "checkpoints": "", "trial": "", **values}


def _run(
    step: SetupStep,
    command: Sequence[str],
    cwd: Path,
    log: Path,
    environment: Mapping[str, str],
    timeout_s: float,
    clock: Clock,
    stop: Callable[[], bool],
) -> StepResult:
    started = clock.monotonic()
    try:
        with log.open("wb") as stream:
            process = subprocess.Popen(
                command,
                cwd=cwd,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
    except OSError as error:
        raise WorkloadError(f"setup step {step.name} cannot start: {error}", remedy=f"check `{command[0]}`") from error
    code: int | None = None
    try:
        code = _wait(process, step, started + timeout_s, clock, stop)
    finally:
        end_session(process)
        redact_file(log)
    return StepResult(
        name=step.name,
        gate=step.gate,
        exit_code=TIMED_OUT_CODE if code is None else code,
        timed_out=code is None,
        seconds=clock.monotonic() - started,
        tail="" if code == 0 else last_lines(log),
    )


def _wait(
    process: subprocess.Popen[bytes], step: SetupStep, deadline: float, clock: Clock, stop: Callable[[], bool]
) -> int | None:
    """Its exit code, None when it ran out of time; raises GuardTripped when it is to stop."""
    while (left := deadline - clock.monotonic()) > 0:
        with suppress(subprocess.TimeoutExpired):
            return process.wait(min(left, LOOK_S))
        if stop():
            raise GuardTripped(f"setup step {step.name} was stopped", remedy="trigger a new run")
    return process.poll()


def _failed(result: StepResult, log: Path) -> WorkloadError:
    how = "ran out of time" if result.timed_out else f"ended with exit code {result.exit_code}"
    error = WorkloadError(f"setup step {result.name} {how}", remedy=f"read {log}")
    error.add_note(f"its log ends with:\n{result.tail}")  # for who is at the keyboard: it may quote rows of data
    return error


def last_lines(log: Path, count: int = LAST_LINES) -> str:
    """The end of a log, indented."""
    with suppress(OSError), log.open(encoding="utf-8", errors="replace") as stream:
        return "".join(f"    {line}" for line in deque(lines(stream), maxlen=count)).rstrip()
    return "    (no log)"
