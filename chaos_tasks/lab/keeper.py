"""Keeps one command running: starts it again when it ends, ever more slowly while it keeps ending at once."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from threading import Event

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 30.0
HEALTHY_AFTER_S = 60.0
"""A command that ran this long has recovered: the next end counts as a first one."""
LOOK_S = 0.2


def next_pause(pause_s: float, ran_s: float) -> float:
    """How long to wait before the next start, given the last wait and how long the command then ran."""
    return FIRST_PAUSE_S if ran_s >= HEALTHY_AFTER_S else min(max(pause_s * 2, FIRST_PAUSE_S), LONGEST_PAUSE_S)


def keep(argv: Sequence[str], stop: Event) -> None:
    """Run the command again and again until `stop` is set; then ask it to end, and wait for it."""
    pause_s = 0.0
    while not stop.wait(pause_s):
        started = time.monotonic()
        with subprocess.Popen(tuple(argv)) as child:  # the argv comes from the lab
            while child.poll() is None and not stop.wait(LOOK_S):
                pass
            if child.poll() is None:
                child.terminate()
        ran_s = time.monotonic() - started
        pause_s = next_pause(pause_s, ran_s)
        if not stop.is_set():
            sys.stderr.write(f"{argv[-1]}: ended with {child.returncode} after {ran_s:.1f} s; again in {pause_s:g} s\n")


def main() -> None:
    """`python -m chaos_tasks.lab.keeper COMMAND ...`"""
    stop = Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    keep(sys.argv[1:], stop)


if __name__ == "__main__":
    main()
