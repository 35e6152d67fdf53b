"""Whoever's task fails is told what of Squall's was in, and nothing where nothing was."""

from __future__ import annotations

from datetime import timedelta

import pytest

from chaos_tasks.model.handle import Phase
from chaos_tasks.model.record import RecordKind
from chaos_tasks.model.verdict import Outcome
from chaos_tasks.notifying.beside import failed_beside
from chaos_tasks.testing.clock import FakeClock
from chaos_tasks.testing.memory_ledger import MemoryLedger
from tests.ledger_samples import act, armed, handle
from tests.unit.test_answers import judged

HOUR = timedelta(hours=1)
WHAT = "task train of theirs, run 1"


@pytest.fixture
def ledger() -> MemoryLedger:
    return MemoryLedger(FakeClock())


def told(ledger: MemoryLedger, target: str = "") -> str:
    found = failed_beside(ledger, WHAT, target=target, within=HOUR, at=ledger.now())
    return found.text if found else ""


def test_nothing_is_told_where_nothing_is_in_or_only_armed(ledger: MemoryLedger) -> None:
    one = handle()
    ledger.arm(one, armed(one), lease_s=60)
    judged(ledger, "held", Outcome.HELD)
    judged(ledger, "unknown", Outcome.INCONCLUSIVE)
    assert told(ledger) == ""


def test_a_fault_that_is_in_and_a_run_that_deviated_are_named(ledger: MemoryLedger) -> None:
    one = handle()
    ledger.arm(one, armed(one), lease_s=60)
    judged(ledger, "bad", Outcome.DEVIATED)
    assert told(ledger).startswith(f"failed_beside: {WHAT} failed while 1 run needs somebody\n")
    assert "squall report bad" in told(ledger)
    record = act(one, RecordKind.INJECT_INTENT)
    ledger.transition(one.id, to=Phase.INJECTING, expect=[Phase.ARMED], epoch=1, record=record)
    text = told(ledger)
    assert f"{WHAT} failed while 1 fault is in and 1 run needs somebody" in text
    assert f"squall revert {one.id}" in text
    assert "deviated, masked: run bad" in text


def test_another_target_and_an_old_verdict_are_left_out(ledger: MemoryLedger) -> None:
    judged(ledger, "bad", Outcome.DEVIATED)
    assert told(ledger, "toy")
    assert told(ledger, "other") == ""
    at = ledger.now() + 2 * HOUR
    assert failed_beside(ledger, WHAT, within=HOUR, at=at) is None
