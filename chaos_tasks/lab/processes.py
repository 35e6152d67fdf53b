"""Start, recognise and end a named daemon: own session, log file, and a pid file that survives pid reuse."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import psutil
from pydantic import BaseModel, ConfigDict, ValidationError

from chaos_tasks.errors import SetupError
from chaos_tasks.lab.ports import is_free, require_free
from chaos_tasks.lab.private_files import write_private
from chaos_tasks.lab.waiting import NotReadyError, wait_until
from chaos_tasks.targets.process import ProcessIdentity, boot_id

__all__ = ["Daemon", "DaemonSpec", "ProcessIdentity", "boot_id"]

OWNER_VARIABLE = "SQUALL_LAB_DAEMON"
"""Inherited by all that a daemon starts, so that `down` finds what escaped from its process group."""

PYTHON = sys.executable
LOG_LINES_SHOWN = 12
STRAY_ROUNDS = 3
GROUP_GRACE_S = 2.0
PORT_GRACE_S = 2.0

# The Popen objects of daemons whose starter is still running: polled to reap them, kept so that none is left a zombie.
_children: dict[int, subprocess.Popen[bytes]] = {}


@dataclass(frozen=True)
class DaemonSpec:
    """What to start, and how it wants to be stopped."""

    name: str
    argv: tuple[str, ...]
    folder: Path
    """Holds `<name>.log` and `<name>.pid.json`."""
    cwd: Path
    env: Mapping[str, str] = field(default_factory=dict)
    """Added to the environment of the starter."""
    ports: Mapping[str, int] = field(default_factory=dict)
    """Must be free before the start; the key is the name used in `[lab.ports]`."""
    stop_signal: signal.Signals = signal.SIGTERM
    stop_grace_s: float = 10.0
    user: str | None = None
    owner: Path | None = None
    """The lab's home: all that the daemon starts bears this mark. The folder, where none is given."""


class Daemon(BaseModel):
    """A started daemon as its pid file records it."""

    model_config = ConfigDict(frozen=True)

    name: str
    identity: ProcessIdentity
    argv: tuple[str, ...]
    log: Path
    since: datetime
    stop_signal: int
    stop_grace_s: float

    @property
    def pid(self) -> int:
        """The leader's pid, which is also the id of its session and process group."""
        return self.identity.pid

    def is_alive(self) -> bool:
        """True while the very process that was started runs."""
        _reap(self.pid)
        return self.identity.is_alive()


def start(spec: DaemonSpec) -> Daemon:
    """Start the daemon in a session of its own, so that it outlives the starter; return once its pid is on disk."""
    for name, port in spec.ports.items():
        _require_free(name, port)
    spec.folder.mkdir(parents=True, exist_ok=True)
    log = spec.folder / f"{spec.name}.log"
    if log.exists():
        log.replace(log.with_suffix(".log.1"))
    with log.open("wb") as stream:
        process = _spawn(spec, stream.fileno())
    _children[process.pid] = process
    identity = ProcessIdentity.of(process.pid)
    if identity is None:
        raise _died(spec.name, log)
    daemon = Daemon(
        name=spec.name,
        identity=identity,
        argv=spec.argv,
        log=log,
        since=datetime.now(UTC),
        stop_signal=int(spec.stop_signal),
        stop_grace_s=spec.stop_grace_s,
    )
    write_private(_pid_file(spec.folder, spec.name), daemon.model_dump_json(indent=1))
    return daemon


def await_ready(
    daemon: Daemon, check: Callable[[], bool], *, timeout_s: float = 30.0, interval_s: float = 0.05
) -> Daemon:
    """Wait until `check` holds; if the daemon ends first or never gets there, say what its log said last."""

    def ready_or_dead() -> bool:
        require_alive(daemon)
        return check()

    try:
        wait_until(ready_or_dead, what=f"readiness of {daemon.name}", timeout_s=timeout_s, interval_s=interval_s)
    except NotReadyError as error:
        raise SetupError(f"{error}\n{_last_lines(daemon.log)}", remedy=f"read {daemon.log}") from error
    return daemon


def require_alive(daemon: Daemon) -> None:
    """Raise a SetupError with the last lines of its log if the daemon has ended."""
    if not daemon.is_alive():
        raise _died(daemon.name, daemon.log)


def load(folder: Path, name: str) -> Daemon | None:
    """The daemon that the pid file names, alive or not; None if it was never started or the file is damaged."""
    path = _pid_file(folder, name)
    try:
        return Daemon.model_validate_json(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValidationError):
        return None


def load_alive(folder: Path, name: str) -> Daemon | None:
    """The daemon that the pid file names, if that very process still runs."""
    daemon = load(folder, name)
    return daemon if daemon is not None and daemon.is_alive() else None


def stop(daemon: Daemon) -> None:
    """Ask, wait, then kill the whole group; safe at any time, and never touches a process that reused the pid."""
    if daemon.is_alive():
        daemon.identity.send(daemon.stop_signal)
        _wait_gone(lambda: not daemon.is_alive(), daemon.stop_grace_s)
    end_group(daemon.identity)
    _pid_file(daemon.log.parent, daemon.name).unlink(missing_ok=True)


def end_group(leader: ProcessIdentity, grace_s: float = GROUP_GRACE_S) -> tuple[int, ...]:
    """Terminate, then kill, all that is left in the leader's group; return the pids that were found in it."""
    found = tuple(member.pid for member in group_members(leader))
    for how in (signal.SIGTERM, signal.SIGKILL):
        for member in group_members(leader):
            member.send(how)
            member.send(signal.SIGCONT)  # a stopped process does not act on TERM
        if _wait_gone(lambda: not group_members(leader), grace_s):
            break
    return found


def group_members(leader: ProcessIdentity) -> tuple[ProcessIdentity, ...]:
    """The living members of the leader's process group, the leader included.

    A pid is not given out again while a group of that number has members, so a group whose leader is gone is still
    ours, unless another process now bears the leader's pid.
    """
    _reap(leader.pid)
    present = ProcessIdentity.of(leader.pid)
    if not leader.is_here() or (present is not None and not leader.is_alive()):
        return ()
    members = []
    for pid in psutil.pids():
        with suppress(ProcessLookupError, PermissionError):
            if os.getpgid(pid) == leader.pid and (member := ProcessIdentity.of(pid)) is not None:
                members.append(member)
    return tuple(members)


def strays(owner: Path, name: str = "") -> tuple[psutil.Process, ...]:
    """Living processes with the inherited mark of a daemon (`name`, or any) of the lab in `owner`."""
    mark = f"{owner}#{name}"
    return tuple(process for process in psutil.process_iter() if _bears(process, mark, exact=bool(name)))


def end_strays(owner: Path, name: str = "", *, grace_s: float = GROUP_GRACE_S) -> tuple[int, ...]:
    """End what `strays` finds, until nothing new appears, and leave no zombie of this process's; return the pids."""
    ended: set[int] = set()
    for _ in range(STRAY_ROUNDS):
        found = strays(owner, name)
        if not found:
            break
        ended |= {process.pid for process in found}
        for process in found:
            with suppress(psutil.Error):
                process.terminate()
        for process in psutil.wait_procs(found, timeout=grace_s)[1]:
            with suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(found, timeout=grace_s)
    for pid in tuple(_children):  # those that ended by themselves, too: whoever started them stays their parent
        _reap(pid)
    return tuple(sorted(ended))


def _bears(process: psutil.Process, mark: str, *, exact: bool) -> bool:
    with suppress(psutil.Error):
        found = process.environ().get(OWNER_VARIABLE, "")
        ours = found == mark if exact else found.startswith(mark)
        return ours and process.pid != os.getpid() and process.status() != psutil.STATUS_ZOMBIE
    return False


def import_environment() -> dict[str, str]:
    """PYTHONPATH with the source roots of a checkout, so that a lab runs without `pip install -e`, too."""
    root = Path(__file__).resolve().parents[2]
    ours = (str(root), str(root / "operators")) if (root / "pyproject.toml").exists() else ()
    inherited = tuple(part for part in os.environ.get("PYTHONPATH", "").split(os.pathsep) if part)
    return {"PYTHONPATH": os.pathsep.join((*ours, *(part for part in inherited if part not in ours)))}


def tree_memory(pid: int) -> int:
    """Bytes held by a process and its descendants, shared pages counted once where the system can tell."""
    total = 0
    with suppress(psutil.Error):
        leader = psutil.Process(pid)
        for process in (leader, *leader.children(recursive=True)):
            with suppress(psutil.Error):
                full = process.memory_full_info()
                total += int(getattr(full, "pss", full.rss))
    return total


def _require_free(name: str, port: int) -> None:
    """Of a server that has just ended, threads may still be on their way out, and hold its sockets until they are."""
    _wait_gone(lambda: is_free(port), PORT_GRACE_S)
    require_free(name, port)


def _spawn(spec: DaemonSpec, log: int) -> subprocess.Popen[bytes]:
    mark = f"{spec.owner or spec.folder}#{spec.name}"
    try:
        return subprocess.Popen(  # the argv is built by this package
            spec.argv,
            cwd=spec.cwd,
            env={**os.environ, **spec.env, OWNER_VARIABLE: mark},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            user=spec.user,
            group=spec.user,
            extra_groups=None if spec.user is None else [],
        )
    except FileNotFoundError as error:
        raise SetupError(
            f"{spec.name} cannot start: {spec.argv[0]} is missing", remedy="run `make setup` to finish the installation"
        ) from error


def _died(name: str, log: Path) -> SetupError:
    return SetupError(f"{name} ended while starting; its log ends with:\n{_last_lines(log)}", remedy=f"read {log}")


def _last_lines(log: Path) -> str:
    with suppress(OSError), log.open(encoding="utf-8", errors="replace") as stream:
        return "".join(f"    {line}" for line in deque(stream, maxlen=LOG_LINES_SHOWN)).rstrip()
    return "    (no log)"


def _reap(pid: int) -> None:
    child = _children.get(pid)
    if child is not None and child.poll() is not None:
        _children.pop(pid, None)


def _wait_gone(check: Callable[[], bool], timeout_s: float) -> bool:
    try:
        wait_until(check, what="end of a process", timeout_s=timeout_s)
    except NotReadyError:
        return False
    return True


def _pid_file(folder: Path, name: str) -> Path:
    return folder / f"{name}.pid.json"
