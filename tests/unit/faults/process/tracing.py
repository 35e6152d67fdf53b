"""A debugger as a process of its own: it attaches as `strace -p` does, or stays at the first stop as `gdb -p` does."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

TRACER = """
import ctypes, os, sys
SEIZE, LISTEN, CONT = 0x4206, 0x4208, 7
EVENT_STOP, WALL = 128, 0x40000000
trace = ctypes.CDLL(None, use_errno=True).ptrace
trace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
pid, lets_run = int(sys.argv[1]), sys.argv[2] == "lets run"
done = trace(SEIZE, pid, None, None)
print("attached" if done == 0 else os.strerror(ctypes.get_errno()), flush=True)
while done == 0:
    _, status = os.waitpid(pid, WALL)
    if not os.WIFSTOPPED(status):
        break
    signal, event = os.WSTOPSIG(status), status >> 16
    if event == EVENT_STOP and signal != 5:
        trace(LISTEN, pid, None, None)
    elif event != EVENT_STOP or lets_run:
        trace(CONT, pid, None, 0 if event == EVENT_STOP else signal)
"""


@contextmanager
def traced(pid: int, *, lets_run: bool) -> Iterator[None]:
    """The process is traced meanwhile; skips the test where that is not allowed.

    ``lets_run``: whether the debugger lets it run once somebody has continued it.
    """
    command = [sys.executable, "-I", "-S", "-c", TRACER, str(pid), "lets run" if lets_run else "holds"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as tracer:
        try:
            assert tracer.stdout is not None
            said = tracer.stdout.readline().strip()
            if said != "attached":
                pytest.skip(f"nobody may trace here: {said}")
            yield
        finally:
            tracer.kill()
