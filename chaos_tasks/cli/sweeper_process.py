"""A sweeper as a process of its own: it watches while anything is open, and ends by itself."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from chaos_tasks.composition import Squall


def start(squall: Squall) -> None:
    """Start `squall sweep --watch --until-idle` in a session of its own, and wait for its first heartbeat."""
    from chaos_tasks.errors import SetupError
    from chaos_tasks.safety.guards import own_beat
    from chaos_tasks.targets.process import host

    beat = own_beat(host())  # others may beat elsewhere
    before = squall.ledger.last_beat(beat)
    log = squall.settings.home / "sweeper.log"
    environment = {**os.environ, "SQUALL_LEDGER_URL": squall.settings.ledger_url}
    with log.open("ab") as out:
        command = [sys.executable, "-m", "chaos_tasks.cli", "sweep", "--watch", "--until-idle"]
        _start_apart(command, environment, out.fileno())
    deadline = squall.clock.monotonic() + 20
    while squall.ledger.last_beat(beat) in (None, before):
        if squall.clock.monotonic() > deadline:
            raise SetupError("the sweeper did not start within 20 s", remedy=f"look into {log}")
        squall.clock.sleep(0.1)


def _start_apart(command: list[str], environment: dict[str, str], out: int) -> None:
    """Nobody waits for it: it outlives the command on purpose, so no object of ours stands for it."""
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_DUP2, out, 1),
        (os.POSIX_SPAWN_DUP2, out, 2),
    ]
    os.posix_spawn(command[0], command, environment, file_actions=actions, setsid=True)
