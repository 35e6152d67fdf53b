"""Wait for what the kernel does with a small workload."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable

import psutil


def child_of(leader: subprocess.Popen[bytes]) -> psutil.Process:
    """Once it runs what it is to run."""
    for _ in range(200):
        children = psutil.Process(leader.pid).children()
        if children and children[0].name() == "sleep":
            return children[0]
        time.sleep(0.05)
    raise AssertionError("the child does not run")


def until(holds: Callable[[], bool]) -> bool:
    """Whether it holds within five seconds."""
    deadline = time.monotonic() + 5
    while not holds() and time.monotonic() < deadline:
        time.sleep(0.01)
    return holds()
