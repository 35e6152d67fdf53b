"""`python -m chaos_tasks.workloads.supervisor`: a process in a session of its own that serves the trials of one arm.

One TrialSpec as a JSON line on stdin, one Reply as a JSON line on stdout.  When stdin ends (the Airflow task died) or
SIGTERM comes, it finishes the receipt that it is at, reverts what it holds, ends the workload and goes.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from queue import SimpleQueue
from threading import Event, Thread
from traceback import format_exception

from pydantic import ValidationError

from chaos_tasks.clock import SystemClock
from chaos_tasks.errors import SetupError, SquallError
from chaos_tasks.ledger import open_ledger
from chaos_tasks.model.spec import TrialSpec
from chaos_tasks.ports import Clients
from chaos_tasks.redacting import know_environment, redacted
from chaos_tasks.telemetry.opening import from_variable, open_teller
from chaos_tasks.telemetry.telling import Teller
from chaos_tasks.workloads.renewal_slot import VARIABLE, RenewalSlot
from chaos_tasks.workloads.reply import Reply
from chaos_tasks.workloads.trial_run import TrialRun, World

LEDGER_VARIABLE = "SQUALL_LEDGER_URL"

Line = bytes | None


def main() -> int:
    """Serve until stdin ends; exit code 0."""
    stop: Event = Event()
    lines: SimpleQueue[Line] = SimpleQueue()
    replies = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # what a library prints must not be taken for a reply

    def leave(*_: object) -> None:
        stop.set()
        lines.put(None)

    signal.signal(signal.SIGTERM, leave)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Thread(target=_read, args=(lines, leave), name="stdin", daemon=True).start()
    while not stop.is_set() and (line := lines.get()) is not None:
        reply = _answer(line, stop)
        with suppress(BrokenPipeError):
            replies.write(reply.model_dump_json().encode() + b"\n")
    _teller().close(within_s=1.0)
    return 0


def _read(lines: SimpleQueue[Line], leave: Callable[[], object]) -> None:
    """A thread of its own: the end of stdin must be seen while a trial runs."""
    for line in sys.stdin.buffer:
        lines.put(line)
    leave()


def _answer(line: bytes, stop: Event) -> Reply:
    try:
        spec = TrialSpec.model_validate_json(line)
        know_environment({**os.environ, **spec.environment})
        return Reply(trial=TrialRun(spec, _world(stop)).run())
    except SquallError as error:
        return Reply(error=error.message, remedy=error.remedy)
    except ValidationError as error:
        return Reply(error=f"the trial's specification is wrong: {error.error_count()} problems")
    except Exception as error:  # noqa: BLE001  the runner must hear of it; the traceback is in the supervisor's log
        sys.stderr.write(redacted("".join(format_exception(error))))
        return Reply(error=f"the supervisor failed: {type(error).__name__}: {error}")


def _world(stop: Event) -> World:
    url = os.environ.get(LEDGER_VARIABLE, "")
    if not url:
        raise SetupError(f"{LEDGER_VARIABLE} is not set", remedy="start trials through `squall run` or the DAG")
    hear = _teller().hear
    return World(
        ledger=open_ledger(url, hear),
        open_ledger=lambda: open_ledger(url, hear),
        make_clients=_clients,
        clock=SystemClock(),
        stop=stop,
        renewed=_slot_writer(),
    )


def _slot_writer() -> Callable[[float], None]:
    fd = os.environ.get(VARIABLE, "")
    return RenewalSlot(int(fd)).write if fd else lambda until: None


@lru_cache(maxsize=1)
def _teller() -> Teller:
    """One for all trials; runs are judged elsewhere, so no trace is made here."""
    clock = SystemClock()
    return open_teller(from_variable(os.environ), lambda _: (), clock) or Teller((), lambda _: (), clock)


def _clients() -> Clients:
    """Imported only when something fires: most trials reach no cloud."""
    from chaos_tasks.clients import from_environment

    return from_environment()


if __name__ == "__main__":
    sys.exit(main())
