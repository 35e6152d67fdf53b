"""Where the databases are stricter than the in-memory ledger: a fenced run can do nothing more that hurts."""

from __future__ import annotations

import pytest

from chaos_tasks.errors import Fenced, TargetBusy
from chaos_tasks.ledger import DatabaseLedger
from chaos_tasks.model.handle import Phase
from chaos_tasks.model.plan import Lock
from chaos_tasks.model.record import RecordKind
from tests.ledger_samples import act, armed, handle

A = handle("a")
KEY = [Lock(key="k", exclusive=True)]


def test_a_run_whose_locks_went_to_another_is_fenced_until_it_has_them_again(ledger: DatabaseLedger) -> None:
    ledger.acquire("run-1", KEY, lease_s=0)
    ledger.acquire("run-2", KEY, lease_s=300)
    with pytest.raises(Fenced, match="went to another run"):
        ledger.renew("run-1", lease_s=300)
    with pytest.raises(TargetBusy):
        ledger.acquire("run-1", KEY, lease_s=300)
    ledger.release("run-2")
    ledger.acquire("run-1", KEY, lease_s=300)
    ledger.renew("run-1", lease_s=300)


def test_an_open_handle_blocks_its_place_without_any_lock(ledger: DatabaseLedger) -> None:
    ledger.arm(A, armed(A), lease_s=300)
    with pytest.raises(TargetBusy, match="squall revert a"):
        ledger.acquire("run-2", [Lock(key=A.place.key, exclusive=False)], lease_s=300)


def test_a_repeated_transition_changes_nothing(ledger: DatabaseLedger) -> None:
    ledger.arm(A, armed(A), lease_s=300)
    intent = act(A, RecordKind.INJECT_INTENT)
    for _ in range(2):
        state = ledger.transition("a", to=Phase.INJECTING, expect=[Phase.ARMED], epoch=1, record=intent)
        assert state.phase is Phase.INJECTING
    assert len(list(ledger.records())) == 2
