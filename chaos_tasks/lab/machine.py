"""A machine of its own on this one: host name, process table and disk are its own (Linux namespaces); network is not.

`python -m chaos_tasks.lab.machine SPEC` keeps the services of a MachineSpec (as JSON) running.  What runs in the
machine sees its own disk at ``home`` and no process of another machine, so that whatever relied on a shared folder or
on a shared process table fails there as it would in production.
"""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import FrameType

import psutil
from pydantic import BaseModel, ConfigDict

from chaos_tasks.lab.keeper import next_pause

CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWUSER, CLONE_NEWPID = 0x20000, 0x4000000, 0x10000000, 0x20000000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_BIND, MS_REC, MS_PRIVATE = 1, 2, 4, 8, 4096, 16384, 1 << 18
PR_SET_PDEATHSIG = 1
LOOK_S = 0.05
STOP_S = 8.0


class MachineSpec(BaseModel):
    """What a machine is made of."""

    model_config = ConfigDict(frozen=True)

    name: str
    """Its host name."""
    home: Path
    """Where its disk is seen: the same path on every machine."""
    disk: Path
    """What is seen there; other machines have others."""
    hidden: Path
    """Folder of all disks: empty to whoever is in a machine."""
    logs: Path
    services: Mapping[str, tuple[str, ...]]
    """Command by name; each is started again when it ends."""


def available() -> bool:
    """Whether this user may make namespaces on this machine."""
    code = "from chaos_tasks.lab import machine; machine.enter()"
    return sys.platform == "linux" and _succeeds(code)


@lru_cache(maxsize=4)
def _succeeds(code: str) -> bool:
    root = str(Path(__file__).resolve().parents[2])
    path = os.pathsep.join((root, os.environ.get("PYTHONPATH", "")))
    done = subprocess.run(
        (sys.executable, "-c", code), env={**os.environ, "PYTHONPATH": path}, capture_output=True, check=False
    )
    return done.returncode == 0


def process_in(machine_pid: int, pid: int) -> psutil.Process | None:
    """The process that has ``pid`` inside the machine whose first process is ``machine_pid`` here."""
    with suppress(psutil.Error):
        for process in psutil.Process(machine_pid).children(recursive=True):
            if _inner_pid(process.pid) == pid:
                return process
    return None


def enter() -> None:
    """Leave this process's namespaces; its next child is the first process of the machine."""
    wanted = CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWPID
    if os.geteuid() == 0:
        _call("unshare", wanted)
        return
    user, group = os.geteuid(), os.getegid()
    _call("unshare", wanted | CLONE_NEWUSER)
    Path("/proc/self/setgroups").write_text("deny", encoding="ascii")
    Path("/proc/self/uid_map").write_text(f"0 {user} 1", encoding="ascii")
    Path("/proc/self/gid_map").write_text(f"0 {group} 1", encoding="ascii")


def settle(spec: MachineSpec) -> None:
    """Give the machine its name, its own view of processes, and its disk; called by its first process."""
    _call("prctl", PR_SET_PDEATHSIG, signal.SIGKILL)
    socket.sethostname(spec.name)
    _mount("none", Path("/"), "", MS_REC | MS_PRIVATE)
    _mount("proc", Path("/proc"), "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    _mount(str(spec.disk), spec.home, "", MS_BIND)
    _mount("none", spec.hidden, "tmpfs", MS_RDONLY)


def main() -> int:
    """Start the machine, pass signals on to it, and end with it."""
    spec = MachineSpec.model_validate_json(sys.argv[1])
    for folder in (spec.home, spec.disk, spec.logs):
        folder.mkdir(parents=True, exist_ok=True)
    enter()
    first = os.fork()
    if first == 0:
        settle(spec)
        Init(spec).run()
        os._exit(0)
    for how in (signal.SIGTERM, signal.SIGINT):
        signal.signal(how, lambda number, _: os.kill(first, number))
    os.waitpid(first, 0)
    return 0


@dataclass
class _Service:
    argv: tuple[str, ...]
    log: Path
    pid: int = 0
    started: float = 0.0
    pause_s: float = 0.0
    due: float = 0.0

    def start(self) -> None:
        """Like a daemon: a session of its own, so that what it leaves is found in its group."""
        with self.log.open("ab") as stream:
            child = subprocess.Popen(  # the argv comes from the lab
                self.argv, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream, start_new_session=True
            )
        child.returncode = 0  # reaped by Init, which reaps everything; Popen must not wait for it too
        self.pid, self.started = child.pid, time.monotonic()

    def ended(self) -> None:
        """Again later, ever more slowly while it ends at once."""
        now = time.monotonic()
        self.pause_s = next_pause(self.pause_s, now - self.started)
        self.pid, self.due = 0, now + self.pause_s


class Init:
    """The first process of a machine: keeps the services and reaps what they orphan."""

    def __init__(self, spec: MachineSpec) -> None:
        self._stopping = False
        self._services = [_Service(argv, spec.logs / f"{spec.name}.{name}.log") for name, argv in spec.services.items()]

    def run(self) -> None:
        """Until told to end; what is left then ends with this process, as with every machine."""
        for how in (signal.SIGTERM, signal.SIGINT):
            signal.signal(how, self._stop)
        while not self._stopping:
            for service in self._services:
                if not service.pid and service.due <= time.monotonic():
                    service.start()
            self._reap()
            time.sleep(LOOK_S)
        self._end()

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self._stopping = True

    def _reap(self) -> None:
        with suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG)[0]) != 0:
                for service in self._services:
                    if service.pid == ended:
                        service.ended()

    def _end(self) -> None:
        deadline = time.monotonic() + STOP_S
        for service in self._services:
            if service.pid:
                os.kill(service.pid, signal.SIGTERM)
        while any(service.pid for service in self._services) and time.monotonic() < deadline:
            self._reap()
            time.sleep(LOOK_S)


def _inner_pid(pid: int) -> int:
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("NSpid:"):
                return int(line.split()[-1])
    return -1


def _mount(source: str, target: Path, kind: str, flags: int) -> None:
    _call("mount", source.encode(), str(target).encode(), kind.encode(), ctypes.c_ulong(flags), None)


def _call(name: str, *arguments: object) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, name)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")


if __name__ == "__main__":
    sys.exit(main())
