"""Become a workload that dies with its starter: `python -I -S leash.py STARTER_PID COMMAND...`.

The kernel's parent-death signal is set in the process itself, just before exec: a hook between fork and exec inside a
starter that has threads may deadlock.  Imports nothing of ours, so that it costs milliseconds.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1
CANNOT_RUN = 127

if __name__ == "__main__":
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != int(sys.argv[1]):  # the starter died before the kernel was told
        sys.exit(CANNOT_RUN)
    # what a Python parent ignores or catches must not be inherited: a workload expects the defaults
    for how in (signal.SIGINT, signal.SIGTERM, signal.SIGPIPE, signal.SIGSEGV):
        signal.signal(how, signal.SIG_DFL)
    try:
        os.execvp(sys.argv[2], sys.argv[2:])
    except OSError as error:
        sys.stderr.write(f"cannot run {sys.argv[2]}: {error}\n")
        sys.exit(CANNOT_RUN)
