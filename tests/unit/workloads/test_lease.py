"""A lease that cannot be renewed is given up before it is over, by a clock that nobody can set."""

from __future__ import annotations

from threading import Event

from chaos_tasks.clock import SystemClock
from chaos_tasks.errors import LedgerError
from chaos_tasks.testing.clock import FakeClock
from chaos_tasks.testing.memory_ledger import MemoryLedger
from chaos_tasks.workloads.lease import GIVEN_UP_SHARE, LeaseKeeper


def test_a_partitioned_holder_gives_up_before_its_lease_is_over() -> None:
    clock, tried = FakeClock(), Event()

    def unreachable() -> MemoryLedger:
        tried.set()
        raise LedgerError("no answer")

    with LeaseKeeper(unreachable, "run-1", 60.0, clock) as keeper:
        assert tried.wait(10)
        assert keeper.check() == ""
        clock.advance(60.0 * GIVEN_UP_SHARE + 0.1)
        assert "was not renewed" in keeper.check()
    assert clock.monotonic() < 60.0


def test_the_clock_of_leases_counts_the_time_asleep_and_never_runs_backwards() -> None:
    clock = SystemClock()
    first = clock.monotonic()
    assert clock.monotonic() >= first
    with open("/proc/uptime", encoding="ascii") as uptime:  # since boot, suspended or not
        assert abs(float(uptime.read().split()[0]) - first) < 60
