"""Real child processes, forked so that nothing is imported again, and whatever they leave behind."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil

PR_SET_CHILD_SUBREAPER = 36
POLL_S = 0.005
STRAYS_END_WITHIN_S = 4.0


def adopt_orphans() -> None:
    """From now on a process whose parent dies becomes this one's child: none escapes the look for strays."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)


def start(act: Callable[[], object], log: Path | None) -> int:
    """Run it in a child with a process group of its own; returns the pid.  The child never returns from here."""
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        os.setpgid(0, 0)
        if log is not None:
            _redirect(log)
        for how in (signal.SIGINT, signal.SIGTERM):
            signal.signal(how, signal.SIG_DFL)
        act()
        code = 0
    except BaseException:  # noqa: BLE001  whatever it was, the parent's stack must not go on in the child
        with suppress(BaseException):
            traceback.print_exc()
    finally:
        with suppress(BaseException):
            sys.stderr.flush()
        os._exit(code)


def _redirect(log: Path) -> None:
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)


def wait(pid: int, within_s: float) -> int | None:
    """Exit code, or minus the signal; None, and killed, when it does not end in time."""
    deadline = time.monotonic() + within_s
    while True:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > deadline:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            return None
        time.sleep(POLL_S)


def run(act: Callable[[], object], log: Path, within_s: float) -> int | None:
    """`start` and `wait`."""
    return wait(start(act, log), within_s)


def known() -> frozenset[int]:
    """Pids of all descendants now: servers, for instance."""
    return frozenset(child.pid for child in psutil.Process().children(recursive=True))


def await_programs(names: frozenset[str], before: frozenset[int], within_s: float = 5.0) -> None:
    """Wait until orphans of these programs have ended: a lease is longer than they take."""
    deadline = time.monotonic() + within_s
    while any(_name(one) in names for one in _left(before)) and time.monotonic() < deadline:
        time.sleep(POLL_S)


def end_strays(before: frozenset[int], within_s: float = STRAYS_END_WITHIN_S) -> list[str]:
    """Descendants that are not to be there and do not end by themselves; they are killed, and named."""
    deadline = time.monotonic() + within_s
    while (left := _left(before)) and time.monotonic() < deadline:
        time.sleep(POLL_S)
    strays = [f"{_name(one)} (pid {one.pid})" for one in left]
    for one in left:
        with suppress(psutil.Error):
            one.kill()
    while _left(before):
        time.sleep(POLL_S)
    return strays


def _left(before: frozenset[int]) -> list[psutil.Process]:
    found = [one for one in psutil.Process().children(recursive=True) if one.pid not in before]
    return [one for one in found if not _reaped(one)]


def _reaped(one: psutil.Process) -> bool:
    try:
        if one.status() != psutil.STATUS_ZOMBIE:
            return False
        if one.ppid() == os.getpid():
            os.waitpid(one.pid, os.WNOHANG)
    except (psutil.Error, ChildProcessError):
        return True
    return True


def _name(one: psutil.Process) -> str:
    with suppress(psutil.Error):
        return str(one.name())
    return "a process"
