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
from chaos_tasks.model.place import PidNamespace, ProcessPlace, TaskPlace

MARK_VARIABLE = "SQUALL_LAUNCH"
"""Environment variable `<trial id>#<launch>` that all which a workload starts inherits."""

SAME_START_S = 0.05
"""Start times this close are the same: the kernel counts them in hundredths."""

WALL_S = 1e9
"""A start time above this is one by the wall clock, as older records have it; it is lost when that is set.

The wall clock passed it in 2001; a machine has been up for so long after 31 years.
"""

SAME_WALL_S = 1.5

ENDED = frozenset("ZXx")
"""States of a process that only waits to be reaped, or is being so."""

MACHINES_TABLE = 0xEFFFFFFC
"""Number of the table of processes that lasts as long as the boot (include/linux/proc_ns.h); others end before."""

FIRST_PID = 1
"""Of each table of processes; it begins and ends with it."""

KILL_WAIT_S = 5.0
POLL_S = 0.02


class ProcessIdentity(Value):
    """Pid, start time, boot and host, and the table of processes that the pid is of.

    The start time is in seconds since the boot: by the wall clock a process would not be known again once that was
    set, and would be taken for gone, neither continued nor ended.
    """

    host: str
    boot_id: str
    pid: int
    start_time: float
    pid_namespace: PidNamespace = 0

    @classmethod
    def of(cls, pid: int, *, ended_too: bool = False) -> ProcessIdentity | None:
        """None if there is no such process, or if it has ended and only waits to be reaped.

        ``ended_too``: of one that waits to be reaped as well; its pid is not given out again before.
        """
        started = _began(pid) if ended_too else _start_time(pid)
        if started is None:
            return None
        return cls(host=host(), boot_id=boot_id(), pid=pid, start_time=started, pid_namespace=pid_namespace())

    @classmethod
    def mine(cls) -> ProcessIdentity:
        """The process that asks."""
        found = cls.of(os.getpid())
        assert found is not None  # noqa: S101  (it is the one that runs this line)
        return found

    @classmethod
    def of_place(cls, place: ProcessPlace | TaskPlace) -> ProcessIdentity:
        """The process that a place names."""
        return cls(**{name: getattr(place, name) for name in cls.model_fields})

    def as_task(self, *, dag_id: str, run_id: str, task_id: str, try_number: int) -> TaskPlace:
        """This process as the place of the Airflow task that it runs."""
        return TaskPlace(**self.model_dump(), dag_id=dag_id, run_id=run_id, task_id=task_id, try_number=try_number)

    def is_here(self) -> bool:
        """Whether it runs, or ran, where this process can see it: of others nothing can be said."""
        return self._is_of_this_boot() and not self._is_of_another_table()

    def is_beside(self) -> bool:
        """Whether another container of this host has it, under a pid that means nothing here.

        That table of processes is another than this one, and not one that this one came after: a container that is
        started anew has a new table, and what ran in its old one has ended with that.
        """
        if not self._is_of_this_boot() or not self._is_of_another_table():
            return False
        begun = _start_time(FIRST_PID)  # None where /proc hides it: what cannot be told is not proved
        return self.pid_namespace == MACHINES_TABLE or begun is None or begun < self.start_time

    def _is_of_this_boot(self) -> bool:
        return self.host == host() and self.boot_id == boot_id()

    def _is_of_another_table(self) -> bool:
        here, there = pid_namespace(), self.pid_namespace
        return 0 not in (here, there) and here != there

    def is_alive(self) -> bool:
        """True only while this very process runs; a stopped one is alive, a zombie is not."""
        started = _start_time(self.pid)
        if not self.is_here() or started is None:
            return False
        if self.start_time > WALL_S:
            return abs(psutil.boot_time() + started - self.start_time) < SAME_WALL_S
        return abs(started - self.start_time) < SAME_START_S

    def began_at(self) -> float:
        """When it started, in unix seconds by today's wall clock."""
        return self.start_time if self.start_time > WALL_S else psutil.boot_time() + self.start_time

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


@lru_cache(maxsize=1)
def pid_namespace() -> int:
    """Number of the table of processes that this one sees; 0 where the kernel does not tell."""
    with suppress(OSError):
        return Path("/proc/self/ns/pid").stat().st_ino
    return 0


def actor(run_id: str, step: str, *, try_number: int = 0) -> Actor:
    """This process, about to take a run for one of its steps."""
    return Actor(
        run_id=run_id,
        step=step,
        host=host(),
        boot_id=boot_id(),
        pid=os.getpid(),
        start_time=_start_time(os.getpid()) or 0.0,
        try_number=try_number,
    )


def identity(of: Actor) -> ProcessIdentity:
    """The process that took a run."""
    return ProcessIdentity(host=of.host, boot_id=of.boot_id, pid=of.pid, start_time=of.start_time)


def place_of(pid: int, *, trial_id: str, out: str, checkpoints: str, checkpoint_glob: str = "") -> ProcessPlace:
    """The place of a workload that this process started and has not reaped: one that fails at once may have ended.

    Raises SetupError when there is no such process.
    """
    identity = ProcessIdentity.of(pid, ended_too=True)
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
    return _status(pid) == psutil.STATUS_STOPPED


def is_traced(pid: int) -> bool:
    """Whether the process is in state t (held by a debugger): a stop by a signal is not seen below that."""
    return _status(pid) == psutil.STATUS_TRACING_STOP


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
    """Seconds since the boot; None for a process that has ended, reaped or not."""
    with suppress(OSError, IndexError):
        if _stat(pid)[0] not in ENDED:
            return _began(pid)
    return None


def _began(pid: int) -> float | None:
    """Seconds since the boot; None only for a process that is not there, or that was reaped."""
    with suppress(OSError, ValueError, IndexError):
        return int(_stat(pid)[19]) / os.sysconf("SC_CLK_TCK")
    return None


def _status(pid: int) -> str:
    with suppress(psutil.NoSuchProcess):
        return str(psutil.Process(pid).status())
    return ""


def _stat(pid: int) -> list[str]:
    """Fields of proc_pid_stat(5) from the third, the state, on."""
    return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()


def _replaced(place: ProcessPlace) -> bool:
    """Whether somebody else bears the leader's pid now; then the group of that number is not ours."""
    return not is_alive(place) and _start_time(place.pid) is not None


def _look() -> _Seen:
    seen = _Seen({}, {}, {})
    for pid in psutil.pids():
        with suppress(OSError, ValueError, IndexError):  # ended while we looked
            fields = _stat(pid)
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
