"""Any sequence of arms, moves, take-overs, renewals and locks ends in what the in-memory ledger says.

Records are not compared beyond their number and keys: the log has tests of its own.
"""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from chaos_tasks.errors import SquallError
from chaos_tasks.ledger import open_ledger
from chaos_tasks.ledger.verify import verify
from chaos_tasks.model.handle import OPEN_PHASES, Phase
from chaos_tasks.model.plan import Lock
from chaos_tasks.model.record import RecordKind
from chaos_tasks.ports import Ledger
from chaos_tasks.testing.clock import FakeClock
from chaos_tasks.testing.memory_ledger import MemoryLedger
from tests.ledger_samples import armed, handle, note

RUNS = st.sampled_from(["run-1", "run-2"])
HANDLES = st.sampled_from(["run-1/a", "run-1/b", "run-2/a"])
PHASES = st.sampled_from([Phase.INJECTING, Phase.INJECTED, Phase.REVERTING, Phase.REVERTED, Phase.UNREVERTED])
LOCKS = st.lists(
    st.builds(Lock, key=st.sampled_from(["a", "a/b", "a/b/c", "a/bc", "d"]), exclusive=st.booleans()),
    min_size=1,
    max_size=3,
)
LEASES = st.sampled_from([0.0, 3600.0])


class AgreesWithMemory(RuleBasedStateMachine):
    """Both ledgers get each call; both answer, or both refuse with the same kind of error."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.real = open_ledger(f"sqlite:///{Path(self.folder.name)}/l.db")
        self.real._database.read("PRAGMA synchronous = OFF")  # no power is cut here
        self.model = MemoryLedger(FakeClock())
        self.numbers = itertools.count()
        self.swept: set[str] = set()

    def both(self, call: Callable[[Ledger], Any]) -> Any:
        answers = [_outcome(call, ledger) for ledger in (self.real, self.model)]
        assert answers[0] == answers[1]
        return answers[0]

    @rule(name=HANDLES, lease_s=LEASES)
    def arm(self, name: str, lease_s: float) -> None:
        run_id = name.split("/")[0]
        if run_id not in self.swept:  # a swept run may not arm; the model lets it
            one = handle(name, run_id=run_id, principal=name)
            self.both(lambda ledger: ledger.arm(one, armed(one), lease_s=lease_s).phase)

    @rule(name=HANDLES, to=PHASES, expect=st.sets(st.sampled_from(Phase)), lag=st.sampled_from([0, 0, 0, 1]))
    def move(self, name: str, to: Phase, expect: set[Phase], lag: int) -> None:
        state = self.real.handle(name)
        run_id = name.split("/")[0]
        if state is None or (to is Phase.INJECTING and run_id in self.swept):
            return
        record = note(f"m{next(self.numbers)}", run_id=run_id, handle_id=name, kind=RecordKind.REVERT_INTENT)
        epoch = state.handle.epoch + lag
        self.both(lambda ledger: ledger.transition(name, to=to, expect=expect, epoch=epoch, record=record).phase)

    @rule(name=HANDLES, lease_s=LEASES)
    def sweep(self, name: str, lease_s: float) -> None:
        """Take over and begin to revert: from then on the run is fenced for both."""
        state = self.real.handle(name)
        if state is None or state.phase is Phase.REVERTED:
            return
        epoch = self.both(lambda ledger: ledger.take_over(name, lease_s=lease_s).handle.epoch)
        run_id = name.split("/")[0]
        record = note(f"m{next(self.numbers)}", run_id=run_id, handle_id=name, kind=RecordKind.REVERT_INTENT)
        move = {"to": Phase.REVERTING, "expect": OPEN_PHASES, "epoch": epoch, "record": record}
        assert self.both(lambda ledger: ledger.transition(name, **move).phase) is Phase.REVERTING
        self.swept.add(run_id)

    @rule(run_id=RUNS)
    def renew(self, run_id: str) -> None:
        """For long: locks that run out and go to another run fence the loser here, and not in the model."""
        self.both(lambda ledger: bool(ledger.renew(run_id, lease_s=3600.0)))

    @precondition(lambda self: not self.real.handles(phases=OPEN_PHASES))
    @rule(run_id=RUNS, locks=LOCKS)
    def acquire(self, run_id: str, locks: list[Lock]) -> None:
        self.both(lambda ledger: ledger.acquire(run_id, locks, lease_s=3600.0))

    @rule(run_id=RUNS)
    def release(self, run_id: str) -> None:
        self.both(lambda ledger: ledger.release(run_id))

    @rule(name=HANDLES, n=st.integers(0, 2))
    def claim(self, name: str, n: int) -> None:
        run_id = name.split("/")[0]
        state = self.real.handle(name)
        if run_id not in self.swept and state is not None and state.phase in (Phase.ARMED, Phase.INJECTED):
            record = note(f"{name}/claim/{n}", run_id=run_id, handle_id=name, kind=RecordKind.TRIGGER_CLAIMED)
            self.both(lambda ledger: ledger.claim(name, n, record))

    @invariant()
    def same_handles(self) -> None:
        real, model = ({s.handle.id: (s.phase, s.handle) for s in one.handles()} for one in (self.real, self.model))
        assert real == model

    @invariant()
    def same_records(self) -> None:
        real, model = ([s.record.idem_key for s in one.records()] for one in (self.real, self.model))
        assert real == model

    def teardown(self) -> None:
        assert verify(self.real).integrity.ok
        self.real.close()
        self.folder.cleanup()


def _outcome(call: Callable[[Ledger], Any], ledger: Ledger) -> Any:
    try:
        return call(ledger)
    except SquallError as error:
        return type(error)


TestAgreesWithMemory = AgreesWithMemory.TestCase
TestAgreesWithMemory.settings = settings(
    max_examples=10, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck)
)
