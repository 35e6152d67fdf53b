"""Run a target's set-up steps once for a data version: prepare, then the pipeline's own gate."""

from __future__ import annotations

import subprocess
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from chaos_tasks.errors import WorkloadError
from chaos_tasks.model.base import Value
from chaos_tasks.model.target import SetupStep
from chaos_tasks.ports import Clock
from chaos_tasks.workloads.command import render_line
from chaos_tasks.workloads.session import end_session

LAST_LINES = 8


class StepResult(Value):
    """How one set-up step ended; ``exit_code`` is None when its time was over."""

    name: str
    gate: bool
    exit_code: int | None
    seconds: float

    @property
    def refused(self) -> bool:
        """Whether the pipeline's own gate refused the data."""
        return self.gate and self.exit_code not in (0, None)


class SetupResult(Value):
    """The steps in order, up to and with the first that did not succeed."""

    steps: tuple[StepResult, ...]

    @property
    def refused_by(self) -> str:
        """Name of the gate that refused the data, or an empty text."""
        return next((step.name for step in self.steps if step.refused), "")

    @property
    def succeeded(self) -> bool:
        """Whether all steps ended with exit code 0."""
        return all(step.exit_code == 0 for step in self.steps)


def run_setup(
    steps: Sequence[SetupStep],
    values: Mapping[str, str],
    *,
    cwd: Path,
    log_dir: Path,
    environment: Mapping[str, str],
    timeout_s: float,
    clock: Clock,
    must_succeed: bool = False,
) -> SetupResult:
    """Run the steps in order and stop at the first that fails.

    With ``must_succeed``, raises WorkloadError with the last lines of its log for a failed step that is no gate.
    ``environment`` is the whole environment of the steps.
    """
    results: list[StepResult] = []
    log_dir.mkdir(parents=True, exist_ok=True)
    for step in steps:
        log = log_dir / f"setup-{step.name}.log"
        command = render_line(step.run, values, what=f"setup step {step.name}")
        results.append(_run(step, command, cwd, log, environment, timeout_s, clock))
        if must_succeed and not step.gate and results[-1].exit_code != 0:
            raise _failed(results[-1], log)
        if results[-1].exit_code != 0:
            break
    return SetupResult(steps=tuple(results))


def _run(
    step: SetupStep,
    command: Sequence[str],
    cwd: Path,
    log: Path,
    environment: Mapping[str, str],
    timeout_s: float,
    clock: Clock,
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
        with suppress(subprocess.TimeoutExpired):
            code = process.wait(timeout_s)
    finally:
        end_session(process)
    return StepResult(name=step.name, gate=step.gate, exit_code=code, seconds=clock.monotonic() - started)


def _failed(result: StepResult, log: Path) -> WorkloadError:
    how = "ran out of time" if result.exit_code is None else f"ended with exit code {result.exit_code}"
    return WorkloadError(f"setup step {result.name} {how}; its log ends with:\n{last_lines(log)}", remedy=f"read {log}")


def last_lines(log: Path, count: int = LAST_LINES) -> str:
    """The end of a log, indented."""
    with suppress(OSError), log.open(encoding="utf-8", errors="replace") as stream:
        return "".join(f"    {line}" for line in deque(stream, maxlen=count)).rstrip()
    return "    (no log)"
