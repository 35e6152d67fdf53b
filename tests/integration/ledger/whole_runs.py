"""A writer process for tests: writes whole runs without end, and says each key once it is safely written.

It goes on where a killed writer of its name stopped, and repeats a call whose answer it did not get.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from itertools import count

from chaos_tasks.errors import SquallError
from chaos_tasks.ledger import open_ledger
from chaos_tasks.model.handle import Handle, Phase
from chaos_tasks.model.plan import Lock
from chaos_tasks.model.record import Record, RecordKind
from chaos_tasks.ports import Ledger
from tests.ledger_samples import act, armed, handle, note, registered, verdict

LEASE_S = 3600.0
REST_S = 0.05
MOVES = (
    (Phase.ARMED, Phase.INJECTING, RecordKind.INJECT_INTENT),
    (Phase.INJECTING, Phase.INJECTED, RecordKind.INJECT_APPLIED),
    (Phase.INJECTED, Phase.REVERTING, RecordKind.REVERT_INTENT),
    (Phase.REVERTING, Phase.REVERTED, RecordKind.REVERT_VERIFIED),
)


def say(line: str) -> None:
    """One line on stdout, at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def until_answered(call: Callable[[], object]) -> None:
    """Repeat a call that found no ledger; what was refused is said with whether the error names a next step."""
    while True:
        try:
            call()
        except SquallError as error:
            say(f"! {type(error).__name__} {'with' if error.remedy else 'without'} remedy: {error.message}")
            time.sleep(REST_S)  # a program, not a test: as a supervisor waits between two tries
        else:
            return


def write_run(ledger: Ledger, run_id: str) -> None:
    """Lock, register, arm, inject, revert, judge, unlock; from wherever an earlier try got to."""

    def append(record: Record) -> None:
        until_answered(lambda: ledger.append(record))
        say(record.idem_key)

    def move(start: Phase, to: Phase, record: Record) -> None:
        until_answered(lambda: ledger.transition(one.id, to=to, expect=[start], epoch=1, record=record))
        say(record.idem_key)

    one = handle(f"{run_id}/h", run_id=run_id, principal=run_id)
    until_answered(lambda: ledger.acquire(run_id, [Lock(key=one.place.key, exclusive=True)], lease_s=LEASE_S))
    append(registered(run_id))
    until_answered(lambda: ledger.arm(one, armed(one), lease_s=LEASE_S))
    say(armed(one).idem_key)
    phase = phase_of(ledger, one)
    begun = next((at for at, (start, _, _) in enumerate(MOVES) if start is phase), len(MOVES))
    for start, to, kind in MOVES[begun:]:
        move(start, to, act(one, kind))
    for nth in range(3):
        append(note(f"{run_id}/published/{nth}", run_id=run_id, handle_id=one.id))
    append(verdict(run_id))
    until_answered(lambda: ledger.release(run_id))


def phase_of(ledger: Ledger, one: Handle) -> Phase:
    """Where the handle stands now."""
    known: list[Phase] = []

    def ask() -> None:
        state = ledger.handle(one.id)
        known.extend([state.phase] if state is not None else [])

    until_answered(ask)
    return known[-1]


def main(url: str, name: str, first: str) -> None:
    """Write runs ``name-first``, ``name-(first + 1)``, ... until killed."""
    opened: list[Ledger] = []
    until_answered(lambda: opened.append(open_ledger(url)))
    for n in count(int(first)):
        write_run(opened[0], f"{name}-{n}")
        say(f"= {n}")


if __name__ == "__main__":
    main(*sys.argv[1:])
