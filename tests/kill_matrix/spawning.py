"""The real supervisor without a new interpreter: forked by a process that was forked before its run had threads."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from unittest.mock import patch

from chaos_tasks.ports import Clients
from chaos_tasks.workloads import supervisor
from chaos_tasks.workloads.runner import SupervisedRunner
from tests.kill_matrix.cells import Role
from tests.kill_matrix.striking import Striker

LINE = 100
TREATING = "exercise"  # the step of the engine whose supervisor is struck


class Spawner:
    """Asked over a socket; it ends when the run that asks does, however that ends."""

    def __init__(self, clients: Clients, ledger_url: str, striker: Striker) -> None:
        self.striker = striker
        self._asks, served = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        if os.fork() == 0:
            self._asks.close()
            with suppress(BaseException):
                _serve(served, clients, ledger_url, striker)
            os._exit(0)
        served.close()

    def start(self) -> subprocess.Popen[bytes]:
        """A supervisor with pipes to this process."""
        given, answered = os.pipe(), os.pipe()
        theirs = [given[0], answered[1]]
        socket.send_fds(self._asks, [self.striker.phase.encode()], theirs)
        for descriptor in theirs:
            os.close(descriptor)
        return _Spawned(int(self._asks.recv(LINE)), given[1], answered[0])


class SpawningRunner(SupervisedRunner):
    """As the engine has it, but for how its supervisor begins."""

    def __init__(self, spawner: Spawner, log: Path) -> None:
        super().__init__(environment={}, log=log)
        self._spawner = spawner

    def _start(self) -> subprocess.Popen[bytes]:
        return self._spawner.start()


class _Spawned(subprocess.Popen[bytes]):
    """What the runner wants to know of a supervisor that is not its child."""

    def __init__(self, pid: int, stdin: int, stdout: int) -> None:
        self.pid = pid
        self.stdin, self.stdout = os.fdopen(stdin, "wb"), os.fdopen(stdout, "rb")
        self.returncode: int | None = None
        self._descriptor = -1
        with suppress(ProcessLookupError):
            self._descriptor = os.pidfd_open(pid)

    def __del__(self) -> None:
        """Nothing: the subprocess module does not know it."""

    def poll(self) -> int | None:
        """0 once it has ended: nobody asks how."""
        return self._ended(0.0)

    def wait(self, timeout: float | None = None) -> int:
        """Raises TimeoutExpired as the original does."""
        code = self._ended(3600.0 if timeout is None else timeout)
        if code is None:
            raise subprocess.TimeoutExpired("supervisor", timeout or 0.0)
        return code

    def kill(self) -> None:
        """SIGKILL."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)

    def _ended(self, within_s: float) -> int | None:
        if self.returncode is None:
            readable = self._descriptor < 0 or select.select([self._descriptor], [], [], within_s)[0]
            self.returncode = 0 if readable else None
        return self.returncode


def _serve(asked: socket.socket, clients: Clients, ledger_url: str, striker: Striker) -> None:
    """One supervisor per question, until the asking side is closed."""
    for how in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT):
        signal.signal(how, signal.SIG_IGN)
    while True:
        phase, descriptors, _, _ = socket.recv_fds(asked, LINE, 2)
        if not descriptors:
            return
        pid = os.fork()
        if pid == 0:
            asked.close()
            striker.role, striker.phase = Role.SUPERVISOR, "trial" if phase.decode() == TREATING else ""
            _supervise(clients, ledger_url, *descriptors)
        for descriptor in descriptors:
            os.close(descriptor)
        asked.send(str(pid).encode())


def _supervise(clients: Clients, ledger_url: str, given: int, answers: int) -> None:
    """Serve trials until the pipe ends; never returns."""
    code = 1
    with suppress(BaseException):
        for how in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT):
            signal.signal(how, signal.SIG_DFL)
        os.setsid()
        os.dup2(given, 0)
        os.dup2(answers, 1)
        for descriptor in (given, answers):
            os.close(descriptor)  # the only writer must be descriptor 1: its end is how the engine learns of a death
        sys.stdin = os.fdopen(0, "r", closefd=False)
        os.environ[supervisor.LEDGER_VARIABLE] = ledger_url
        with patch.object(supervisor, "_clients", lambda: clients):
            code = supervisor.main()
    os._exit(code)
