"""Start a program in a session of its own, and end all that it started."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from chaos_tasks.errors import WorkloadError
from chaos_tasks.targets.process import MARK_VARIABLE

LEASH = Path(__file__).with_name("leash.py")
WARDEN = Path(__file__).with_name("warden.py")
REAP_S = 5.0


def start_session(
    command: Sequence[str], *, cwd: str, environment: Mapping[str, str], log: Path
) -> subprocess.Popen[bytes]:
    """Start it so that it dies with the thread that calls this; output is appended to the log."""
    if not command:
        raise WorkloadError("the command of a trial is empty", remedy="name a program in the target's workload.run")
    leashed = (sys.executable, "-I", "-S", str(LEASH), str(os.getpid()), *command)
    try:
        with log.open("ab") as stream:
            return subprocess.Popen(
                leashed,
                cwd=cwd,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
    except OSError as error:
        what = f"{command[0]} cannot be started in {cwd}: {error}"
        raise WorkloadError(what, remedy="check the trial's cwd") from error


@contextmanager
def guarded(mark: str) -> Iterator[None]:
    """Within: should this process be killed, whatever bears a mark that begins so is killed too, at once."""
    command = (sys.executable, "-I", "-S", str(WARDEN), MARK_VARIABLE, mark)
    plain = {name: value for name, value in os.environ.items() if name != MARK_VARIABLE}
    warden = subprocess.Popen(
        command,
        env=plain,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield
    finally:
        warden.kill()  # all is ended already
        warden.wait()
        if warden.stdin is not None:
            warden.stdin.close()


def end_session(process: subprocess.Popen[bytes]) -> None:
    """Kill what is left of the session and reap its leader.

    Safe for a leader that has ended: its pid is the group's number, which is not given out again while a member lives.
    """
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    with suppress(subprocess.TimeoutExpired):
        process.wait(REAP_S)
