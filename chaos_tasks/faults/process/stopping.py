"""Stop processes, and let those go on whom we stopped: shared by `process.pause` and `process.torn_checkpoint`.

Whoever a debugger holds shows no stop, and may have one all the same: it stands still once the debugger leaves.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterable, Sequence

from pydantic import JsonValue

from chaos_tasks.faults.process import marks
from chaos_tasks.model.handle import Handle
from chaos_tasks.ports import Clock
from chaos_tasks.targets.process import ProcessIdentity, is_stopped, is_traced

SETTLE_S = 2.0
POLL_S = 0.01

STOPPED = "stopped"
"""Where in its mark a fault has whom it stopped."""


def stop(handle: Handle, running: Iterable[ProcessIdentity]) -> None:
    """Who is to be stopped is on disk first: once its leader has died, a group may not be known as ours."""
    running = list(running)
    mark = marks.read(handle)
    known = _of(mark)
    new = [one for one in running if one not in known]
    if new:
        stopped: list[JsonValue] = [one.model_dump(mode="json") for one in (*known, *new)]
        marks.write(handle, {**mark, STOPPED: stopped})
    for one in running:
        one.send(signal.SIGSTOP)


def stopped_by_us(handle: Handle) -> list[ProcessIdentity]:
    """Whom we stopped, or were about to stop, and who lives: wherever they are by now."""
    return [one for one in _of(marks.read(handle)) if one.is_alive()]


def standing(handle: Handle, members: Iterable[ProcessIdentity]) -> list[ProcessIdentity]:
    """Who of them stands still, or is not known to go on: one of ours that a debugger holds proves nothing."""
    ours = _of(marks.read(handle))
    return [one for one in members if is_stopped(one.pid) or (one in ours and is_traced(one.pid))]


def let_go(handle: Handle, members: Callable[[], Sequence[ProcessIdentity]], clock: Clock) -> None:
    """Let all of them go on, whatever their state; after SETTLE_S some may stand still, as under a debugger."""
    deadline = clock.monotonic() + SETTLE_S
    left = list(members())
    while True:
        for one in left:
            one.send(signal.SIGCONT)
        left = standing(handle, members())
        if not left or clock.monotonic() > deadline:
            return
        clock.sleep(POLL_S)


def _of(mark: dict[str, JsonValue]) -> list[ProcessIdentity]:
    found = mark.get(STOPPED)
    return [ProcessIdentity.model_validate(one) for one in found] if isinstance(found, list) else []
