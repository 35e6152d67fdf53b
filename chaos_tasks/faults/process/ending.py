"""Kill recorded processes, once, and prove that they are gone: shared by `process.kill` and `airflow.task_kill`."""

from __future__ import annotations

import hashlib
import signal
from collections.abc import Callable, Iterable, Sequence
from enum import StrEnum

from pydantic import JsonValue, TypeAdapter

from chaos_tasks.faults.process import marks
from chaos_tasks.model.handle import Finding, Fingerprint, Handle, Receipt
from chaos_tasks.ports import Clock
from chaos_tasks.targets.process import ProcessIdentity

GONE_S = 5.0
POLL_S = 0.01
_IDENTITIES: TypeAdapter[tuple[ProcessIdentity, ...]] = TypeAdapter(tuple[ProcessIdentity, ...])


class SignalName(StrEnum):
    """Signals that end a process which does not handle them."""

    KILL = "KILL"
    TERM = "TERM"
    INT = "INT"
    SEGV = "SEGV"
    ABRT = "ABRT"
    BUS = "BUS"
    HUP = "HUP"
    QUIT = "QUIT"

    @property
    def number(self) -> int:
        """As the kernel has it."""
        return int(signal.Signals[f"SIG{self.value}"])


def end_victims(
    handle: Handle, how: SignalName, choose: Callable[[], Sequence[ProcessIdentity]], clock: Clock
) -> Receipt:
    """Signal the victims and wait until they are gone; a second call ends the same ones and no others."""
    mark = marks.read(handle)
    if "victims" not in mark:
        mark = {"victims": [one.model_dump(mode="json") for one in choose()]}
        marks.write(handle, mark)
    victims = _victims(mark)
    for victim in victims:
        victim.send(how.number)
    gone = _wait_gone(victims, clock)
    pids: list[JsonValue] = [victim.pid for victim in gone]
    starts: list[JsonValue] = [victim.start_time for victim in gone]
    return Receipt(
        at=clock.now(),
        effective=bool(victims) and len(gone) == len(victims),
        summary=f"{len(gone)} of {len(victims)} processes ended by SIG{how.value}",
        evidence={"signal": how.value, "ended_pids": pids, "start_times": starts, "asked": len(victims)},
    )


def leave_to_healing(handle: Handle, clock: Clock) -> Receipt:
    """Nothing of ours acts any more; bringing the process back is its own runtime's work, and measured as recovery."""
    mark = marks.read(handle)
    if mark and not mark.get("reverted"):
        marks.write(handle, {**mark, "reverted": True})
    gone = sum(not victim.is_alive() for victim in _victims(mark))
    summary = f"{gone} processes stay ended; their own runtime starts them again" if mark else "nothing was ended"
    return Receipt(at=clock.now(), effective=True, summary=summary, evidence={"ended": gone})


def find_ended(handle: Handle) -> Finding:
    """From the mark and the processes themselves."""
    mark = marks.read(handle)
    if not mark:
        return Finding.ARMED
    if mark.get("reverted"):
        return Finding.REVERTED
    victims = _victims(mark)
    alive = sum(victim.is_alive() for victim in victims)
    if alive == len(victims):
        return Finding.ARMED
    return Finding.PARTIAL if alive else Finding.INJECTED


def living(identities: Iterable[ProcessIdentity]) -> Fingerprint:
    """Which processes of a place live."""
    names = sorted(f"{one.pid}@{one.start_time:.2f}" for one in identities if one.is_alive())
    digest = hashlib.sha256("\n".join(names).encode()).hexdigest()
    return Fingerprint(digest=digest, covers="pids and start times of its living processes", leaves_out="their memory")


def _victims(mark: dict[str, JsonValue]) -> tuple[ProcessIdentity, ...]:
    return _IDENTITIES.validate_python(mark.get("victims", []))


def _wait_gone(victims: Sequence[ProcessIdentity], clock: Clock) -> list[ProcessIdentity]:
    deadline = clock.monotonic() + GONE_S
    while any(victim.is_alive() for victim in victims) and clock.monotonic() < deadline:
        clock.sleep(POLL_S)
    return [victim for victim in victims if not victim.is_alive()]
