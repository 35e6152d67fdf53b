"""End what a trial started once its supervisor is gone: `python -I -S warden.py VARIABLE MARK`, with a pipe as stdin.

The supervisor holds the other end of the pipe: however it ends, this process reads the end of it, and kills whatever
bears the mark in its environment, in whatever session it hides and whoever its parent is by now.  It has a session of
its own, so that a kill of the supervisor's group, or of the task's, does not reach it.  It imports nothing of ours and
costs milliseconds.
"""

import os
import signal
import sys
import time
from contextlib import suppress

LOOKS_APART_S = 0.05
GIVE_UP_S = 30.0


def end_marked(entry: bytes) -> bool:
    """Kill all that bear it; whether there were any."""
    found = False
    for name in os.listdir("/proc"):
        if name.isdigit() and int(name) != os.getpid():
            with suppress(OSError):  # ended meanwhile, or not ours
                pinned = os.pidfd_open(int(name))  # what is looked at is what is killed, whoever gets the number next
                try:
                    if _bears(name, entry):
                        signal.pidfd_send_signal(pinned, signal.SIGKILL)
                        found = True
                finally:
                    os.close(pinned)
    return found


def _bears(pid: str, entry: bytes) -> bool:
    with open(f"/proc/{pid}/environ", "rb") as environment:
        return any(one.startswith(entry) for one in environment.read().split(b"\0"))


if __name__ == "__main__":
    for how in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(how, signal.SIG_IGN)  # whoever ends all politely ends the supervisor, and that ends this
    sys.stdin.buffer.read()
    deadline = time.monotonic() + GIVE_UP_S
    quiet = 0
    while quiet < 2 and time.monotonic() < deadline:  # a fork may outrun one look
        quiet = 0 if end_marked(f"{sys.argv[1]}={sys.argv[2]}".encode()) else quiet + 1
        time.sleep(LOOKS_APART_S)
