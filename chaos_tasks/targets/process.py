"""One process and no other: who it is, what belongs to it, and how to end all of it.

A pid alone is reused; a pid with its start time, boot and host is not.  What has left the group is still found by the
mark that its environment inherited.
"""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import psutil

from chaos_tasks.errors import SetupError
from chaos_tasks.model.actor import Actor
from chaos_tasks.model.base import Value
from chaos_tasks.model.place import ProcessPlace, TaskPlace

MARK_VARIABLE = "SQUALL_LAUNCH"
"""Environment variable `<trial id>#<launch>` that all which a workload starts inherits."""

SAME_START_S = 1.5
"""Start times this close are the same: the kernel's boot time, to which they are relative, moves with the clock."""

KILL_WAIT_S = 5.0
POLL_S = 0.02


class ProcessIdentity(Value):
    """Pid, start time (unix seconds), boot and host."""

    host: str
    boot_id: str
    pid: int
    start_time: float

    @classmethod
    def of(cls, pid: int) -> ProcessIdentity | None:
        """None if there is no such process, or if it has ended and only waits to be reaped."""
        started = _start_time(pid)
        return None if started is None else cls(host=host(), boot_id=boot_id(), pid=pid, start_time=started)

    @classmethod
    def of_place(cls, place: ProcessPlace | TaskPlace) -> ProcessIdentity:
        """The process that a place names."""
        return cls(host=place.host, boot_id=place.boot_id, pid=place.pid, start_time=place.start_time)

    def is_here(self) -> bool:
        """Whether it runs, or ran, on this machine since it booted: elsewhere nothing can be said about it."""
        return self.host == host() and self.boot_id == boot_id()

    def is_alive(self) -> bool:
        """True only while this very process runs; a stopped one is alive, a zombie is not."""
        started = _start_time(self.pid)
        return self.is_here() and started is not None and abs(started - self.start_time) < SAME_START_S

    def send(self, how: int) -> bool:
        """Send a signal to this very process; False when it is gone."""
        with suppress(ProcessLookupError):
            descriptor = os.pidfd_open(self.pid)  # pins the process: it cannot be replaced between check and signal
            try:
                if self.is_alive():
                    signal.pidfd_send_signal(descriptor, how)
                    return True
            finally:
                os.close(descriptor)
        return False


class Ended(Value):
    """What `end_tree` found and did."""

    found: tuple[int, ...] = ()
    killed: tuple[int, ...] = ()
    survivors: tuple[int, ...] = ()


class GpuProcess(Value):
    """A process that holds memory of a GPU."""

    gpu: int
    pid: int
    used_bytes: int


class GpuAnswer(Value):
    """Processes on the GPUs, or why none can be named."""

    available: bool
    reason: str = ""
    processes: tuple[GpuProcess, ...] = ()


@dataclass(frozen=True)
class _Seen:
    """All processes at one moment: parent, group and session of each."""

    parent: dict[int, int]
    group: dict[int, int]
    session: dict[int, int]


@lru_cache(maxsize=1)
def boot_id() -> str:
    """Changes with every boot."""
    path = Path("/proc/sys/kernel/random/boot_id")
    return path.read_text(encoding="ascii").strip() if path.exists() else f"boot-{psutil.boot_time():.0f}"


@lru_cache(maxsize=1)
def host() -> str:
    """Name of this machine."""
    return socket.gethostname()


def actor(run_id: str, step: str, *, try_number: int = 0) -> Actor:
    """This process, about to take a run for one of its steps."""
    me = psutil.Process()
    return Actor(
        run_id=run_id,
        step=step,
        host=host(),
        boot_id=boot_id(),
        pid=me.pid,
        start_time=me.create_time(),
        try_number=try_number,
    )


def identity(of: Actor) -> ProcessIdentity:
    """The process that took a run."""
    return ProcessIdentity(host=of.host, boot_id=of.boot_id, pid=of.pid, start_time=of.start_time)


def place_of(pid: int, *, trial_id: str, out: str, checkpoints: str, checkpoint_glob: str = "") -> ProcessPlace:
    """The place of a running workload; raises SetupError when the process is gone already."""
    identity = ProcessIdentity.of(pid)
    if identity is None:
        raise SetupError(f"process {pid} of trial {trial_id} is gone", remedy="read workload.log in its folder")
    with suppress(ProcessLookupError):
        return ProcessPlace(
            trial_id=trial_id,
            pgid=os.getpgid(pid),
            out=out,
            checkpoints=checkpoints,
            checkpoint_glob=checkpoint_glob,
            **identity.model_dump(),
        )
    raise SetupError(f"process {pid} of trial {trial_id} is gone", remedy="read workload.log in its folder")


def is_alive(place: ProcessPlace | TaskPlace) -> bool:
    """Whether the very process of the place runs."""
    return ProcessIdentity.of_place(place).is_alive()


def is_stopped(pid: int) -> bool:
    """Whether the process is in state T (stopped by a signal)."""
    with suppress(psutil.NoSuchProcess):
        return bool(psutil.Process(pid).status() == psutil.STATUS_STOPPED)
    return False


def group(place: ProcessPlace) -> tuple[ProcessIdentity, ...]:
    """Living members of the recorded process group; once its leader is gone, only those that bear the trial's mark."""
    if not ProcessIdentity.of_place(place).is_here() or _replaced(place):
        return ()
    sure = is_alive(place)
    members = _with(place.pgid, _look().group)
    return _identities(pid for pid in members if sure or _marked(pid, _prefix(place)))


def tree(place: ProcessPlace, *, mark: str | None = None) -> tuple[ProcessIdentity, ...]:
    """All that belongs to the workload: group, session, descendants, and what bears its mark wherever it hides.

    ``mark`` narrows marked processes to one launch; by default all launches of the trial count.
    """
    if not ProcessIdentity.of_place(place).is_here():
        return ()
    seen = _look()
    found = {pid for pid in seen.parent if _marked(pid, mark or _prefix(place), exact=mark is not None)}
    found |= {member.pid for member in group(place)}
    if is_alive(place):
        found |= set(_with(place.pgid, seen.session)) | {place.pid}
    return _identities(_spared(found | _descendants(found, seen)))


def end_tree(place: ProcessPlace, grace_s: float, *, mark: str | None = None) -> Ended:
    """Ask, wait ``grace_s``, then kill the recorded tree; never touches a process that reused a pid."""
    remembered = {member.pid: member for member in tree(place, mark=mark)}
    if not remembered:
        return Ended()

    def left() -> list[ProcessIdentity]:
        remembered.update((member.pid, member) for member in tree(place, mark=mark))
        return [member for member in remembered.values() if member.is_alive()]

    for member in remembered.values():
        member.send(signal.SIGTERM)
        member.send(signal.SIGCONT)  # a stopped process cannot die politely
    _wait(lambda: not left(), grace_s)
    killed: set[int] = set()

    def none_left() -> bool:
        """Kill until nothing new appears: a fork may outrun one pass."""
        killed.update(member.pid for member in left() if member.send(signal.SIGKILL))
        return not left()

    _wait(none_left, KILL_WAIT_S)
    survivors = tuple(sorted(member.pid for member in left()))
    return Ended(found=tuple(sorted(remembered)), killed=tuple(sorted(killed)), survivors=survivors)


def gpu_processes() -> GpuAnswer:
    """Which processes hold GPU memory, by NVML; says why when there is no GPU to ask."""
    try:
        import pynvml
    except ImportError:
        return GpuAnswer(available=False, reason="no GPU: nvidia-ml-py is not installed")
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        return GpuAnswer(available=False, reason=f"no GPU: {error}")
    try:
        return GpuAnswer(available=True, processes=tuple(_on_gpus()))
    except pynvml.NVMLError as error:
        return GpuAnswer(available=False, reason=f"the GPU does not answer: {error}")
    finally:
        pynvml.nvmlShutdown()


def _on_gpus() -> Iterator[GpuProcess]:
    import pynvml

    for index in range(pynvml.nvmlDeviceGetCount()):
        device = pynvml.nvmlDeviceGetHandleByIndex(index)
        for process in pynvml.nvmlDeviceGetComputeRunningProcesses(device):
            # the driver hides memory from containers: None is not zero, but zero is all that can be said
            yield GpuProcess(gpu=index, pid=process.pid, used_bytes=process.usedGpuMemory or 0)


def _start_time(pid: int) -> float | None:
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        if process.status() not in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD):
            return process.create_time()
    return None


def _replaced(place: ProcessPlace) -> bool:
    """Whether somebody else bears the leader's pid now; then the group of that number is not ours."""
    return not is_alive(place) and _start_time(place.pid) is not None


def _look() -> _Seen:
    seen = _Seen({}, {}, {})
    for pid in psutil.pids():
        with suppress(OSError, ValueError, IndexError):  # ended while we looked
            fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
            seen.parent[pid], seen.group[pid], seen.session[pid] = int(fields[1]), int(fields[2]), int(fields[3])
    return seen


def _with(number: int, table: dict[int, int]) -> list[int]:
    return [pid for pid, value in table.items() if value == number]


def _descendants(roots: set[int], seen: _Seen) -> set[int]:
    found: set[int] = set()
    frontier = set(roots)
    while frontier:
        frontier = {pid for pid, parent in seen.parent.items() if parent in frontier and pid not in found}
        found |= frontier
    return found


def _prefix(place: ProcessPlace) -> str:
    return f"{place.trial_id}#"


def _marked(pid: int, mark: str, *, exact: bool = False) -> bool:
    with suppress(OSError):  # ended, or not ours to read
        wanted = f"{MARK_VARIABLE}={mark}".encode()
        entries = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        return any(entry == wanted if exact else entry.startswith(wanted) for entry in entries)
    return False


def _spared(pids: Iterable[int]) -> list[int]:
    """Without this process, its ancestors and init: whatever a table says, those are never the workload."""
    untouchable = {0, 1, os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    return [pid for pid in pids if pid not in untouchable]


def _identities(pids: Iterable[int]) -> tuple[ProcessIdentity, ...]:
    return tuple(identity for pid in sorted(pids) if (identity := ProcessIdentity.of(pid)) is not None)


def _wait(holds: Callable[[], bool], timeout_s: float) -> bool:
    deadline = time.monotonic() + timeout_s
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_S)
    return True
