"""No permit, no fault: in the transaction of the first intent, on SQLite, on PostgreSQL and in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta
from functools import partial
from pathlib import Path
from threading import Barrier, Thread

import pytest

from chaos_tasks.errors import LedgerError, NotPermitted
from chaos_tasks.ledger import DatabaseLedger, open_ledger
from chaos_tasks.ledger.verify import verify
from chaos_tasks.model.consent import Consent, Decision, PermitConsumed
from chaos_tasks.model.handle import Handle, Phase
from chaos_tasks.model.plan import Plan
from chaos_tasks.model.record import RecordKind
from chaos_tasks.ports import Ledger
from chaos_tasks.testing.clock import FakeClock
from chaos_tasks.testing.memory_ledger import MemoryLedger
from tests.ledger_samples import act
from tests.permit_samples import HOUR, NONCE, answer, arm, grant, inject, permit, register, revoke, say

THREADS = 8
KINDS = (RecordKind.PERMIT_CONSUMED, RecordKind.INJECT_INTENT)


@pytest.fixture(params=["sqlite", "postgres", "memory"])
def another(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[], Ledger]]:
    """Opens the same ledger again, as another process would."""
    with ExitStack() as stack:
        if request.param == "memory":
            memory = MemoryLedger(FakeClock())
            yield memory.of_another_process
            return
        url = f"sqlite:///{tmp_path}/l.db" if request.param == "sqlite" else request.getfixturevalue("pg_dsn")

        def opened() -> Ledger:
            one = open_ledger(url)
            stack.callback(one.close)
            return one

        yield opened


@pytest.fixture
def ledger(another: Callable[[], Ledger]) -> Ledger:
    """One of them."""
    return another()


def kinds(ledger: Ledger) -> list[RecordKind]:
    return [one.record.kind for one in ledger.records(kinds=KINDS)]


def refused(ledger: Ledger, plan: Plan, one: Handle, why: str) -> None:
    """Nothing was written, and the handle is where it was."""
    with pytest.raises(NotPermitted, match=why):
        inject(ledger, plan, one)
    state = ledger.handle(one.id)
    assert state is not None
    assert state.phase is Phase.ARMED
    assert kinds(ledger) == []


def test_a_run_that_needs_nothing_injects_as_ever(ledger: Ledger) -> None:
    plan = register(ledger, "r", Consent.NONE)
    inject(ledger, plan, arm(ledger, plan))
    assert kinds(ledger) == [RecordKind.INJECT_INTENT]


def test_a_permit_is_used_up_before_the_intent_and_once_for_all_faults_of_the_run(ledger: Ledger) -> None:
    plan = register(ledger, "r")
    approved = answer(ledger, plan)
    issued = permit(ledger, plan, approved)
    first, second = arm(ledger, plan, "a"), arm(ledger, plan, "b")
    inject(ledger, plan, first)
    inject(ledger, plan, second)
    assert kinds(ledger) == [RecordKind.PERMIT_CONSUMED, RecordKind.INJECT_INTENT, RecordKind.INJECT_INTENT]
    used = next(iter(ledger.records(kinds=(RecordKind.PERMIT_CONSUMED,)))).record
    assert isinstance(used.payload, PermitConsumed)
    assert (used.payload.permit_seq, used.payload.approval_seq) == (issued.seq, approved.seq)
    assert used.payload.handle_id == first.id
    assert used.plan_sha256 == plan.content_sha256


def test_without_a_permit_nothing_is_injected(ledger: Ledger) -> None:
    plan = register(ledger, "r")
    one = arm(ledger, plan)
    refused(ledger, plan, one, "has no permit")
    answer(ledger, plan)  # an approval alone is no permit
    refused(ledger, plan, one, "has no permit")


def test_a_permit_without_its_approval_is_worth_nothing(ledger: Ledger) -> None:
    plan = register(ledger, "r")
    one = arm(ledger, plan)
    permit(ledger, plan, next(iter(ledger.records())))
    refused(ledger, plan, one, "not in the log")


@pytest.mark.parametrize("decision", [Decision.REJECT, Decision.EXPIRE, Decision.REVOKE])
def test_a_later_no_beats_the_permit(ledger: Ledger, decision: Decision) -> None:
    plan = register(ledger, "r")
    permit(ledger, plan, answer(ledger, plan))
    answer(ledger, plan, decision, key="1")
    refused(ledger, plan, arm(ledger, plan), decision.value)


@pytest.mark.parametrize("until", [timedelta(0), -HOUR, 5 * HOUR, timedelta(days=30)])
def test_a_permit_ends_and_never_lasts_longer_than_four_hours(ledger: Ledger, until: timedelta) -> None:
    plan = register(ledger, "r")
    permit(ledger, plan, answer(ledger, plan), expires_at=ledger.now() + until)
    refused(ledger, plan, arm(ledger, plan), "good until")


def test_an_old_approval_gives_no_new_permit(ledger: Ledger) -> None:
    plan = register(ledger, "r")
    stale = answer(ledger, plan, decided_at=ledger.now() - timedelta(days=2))
    permit(ledger, plan, stale)
    refused(ledger, plan, arm(ledger, plan), "four hours after the approval")


def test_a_permit_for_another_plan_is_none(ledger: Ledger) -> None:
    ours, theirs = register(ledger, "ours"), register(ledger, "theirs")
    permit(ledger, theirs, answer(ledger, theirs))
    copied = next(iter(ledger.records(run_id="theirs", kinds=(RecordKind.PERMIT_ISSUED,)))).record
    assert copied.payload is not None
    say(ledger, "ours", RecordKind.PERMIT_ISSUED, copied.payload, "x", copied.plan_sha256)
    refused(ledger, ours, arm(ledger, ours), "has no permit")


def test_a_plan_that_is_not_the_registered_one_is_not_acted_on(ledger: Ledger) -> None:
    plan = register(ledger, "r")
    permit(ledger, plan, answer(ledger, plan))
    edited = plan.model_copy(update={"seeds": (99,)})
    refused(ledger, edited, arm(ledger, plan), "not the one that was approved")


def test_a_permit_that_rests_on_less_than_is_needed_is_none(ledger: Ledger) -> None:
    plan = register(ledger, "r")
    granted = grant(ledger, ledger.now() + 10 * HOUR)
    permit(ledger, plan, granted, consent=Consent.STANDING)
    refused(ledger, plan, arm(ledger, plan), "rests on standing")


def test_a_standing_approval_counts_until_it_is_taken_back(ledger: Ledger) -> None:
    granted = grant(ledger, ledger.now() + 10 * HOUR)
    plan, later = register(ledger, "r", Consent.STANDING), register(ledger, "later", Consent.STANDING)
    permit(ledger, later, granted, consent=Consent.STANDING, nonce="6" * 32)
    permit(ledger, plan, granted, consent=Consent.STANDING)
    revoke(ledger, granted)
    refused(ledger, later, arm(ledger, later), "revoked")
    refused(ledger, plan, arm(ledger, plan), "revoked")


def test_a_standing_approval_lets_a_run_through(ledger: Ledger) -> None:
    plan = register(ledger, "r", Consent.STANDING)
    granted = grant(ledger, ledger.now() + 10 * HOUR)
    permit(ledger, plan, granted, consent=Consent.STANDING)
    inject(ledger, plan, arm(ledger, plan))
    assert kinds(ledger) == list(KINDS)


def test_nobody_but_the_ledger_says_that_a_permit_was_used(ledger: Ledger) -> None:
    plan = register(ledger, "r")
    issued = permit(ledger, plan, answer(ledger, plan))
    used = PermitConsumed(
        nonce=NONCE, plan_sha256=plan.content_sha256, permit_seq=issued.seq, approval_seq=1, handle_id="h"
    )
    with pytest.raises(LedgerError, match="by the ledger alone"):
        say(ledger, "r", RecordKind.PERMIT_CONSUMED, used)


def at_once(acts: list[Callable[[], None]]) -> list[BaseException | None]:
    """Begin all of them at the same moment; what each raised."""
    barrier, said = Barrier(len(acts)), list[BaseException | None]([None] * len(acts))

    def run(number: int) -> None:
        barrier.wait()
        try:
            acts[number]()
        except Exception as error:  # noqa: BLE001  that is what is looked at
            said[number] = error

    threads = [Thread(target=run, args=(number,)) for number in range(len(acts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return said


def test_eight_faults_of_one_run_at_once_use_one_permit_up_once(another: Callable[[], Ledger]) -> None:
    ledger = another()
    plan = register(ledger, "r")
    permit(ledger, plan, answer(ledger, plan))
    handles = [arm(ledger, plan, f"h{n}") for n in range(THREADS)]
    said = at_once([partial(inject, another(), plan, one) for one in handles])
    assert said == [None] * THREADS
    assert kinds(ledger) == [RecordKind.PERMIT_CONSUMED] + [RecordKind.INJECT_INTENT] * THREADS


def test_eight_runs_with_one_nonce_at_once_let_one_through(another: Callable[[], Ledger]) -> None:
    ledger = another()
    plans = [register(ledger, f"r{n}") for n in range(THREADS)]
    handles = []
    for plan in plans:
        permit(ledger, plan, answer(ledger, plan))  # the same nonce in each: a permit that was copied
        handles.append(arm(ledger, plan))
    pairs = list(zip(plans, handles, strict=True))
    said = at_once([partial(inject, another(), plan, one) for plan, one in pairs])
    assert sum(one is None for one in said) == 1
    assert all(one is None or (isinstance(one, NotPermitted) and "used before" in one.message) for one in said)
    assert sorted(kinds(ledger)) == sorted(KINDS)


def test_verification_finds_an_injection_without_a_permit(tmp_path: Path) -> None:
    ledger = open_ledger(f"sqlite:///{tmp_path}/l.db")
    assert isinstance(ledger, DatabaseLedger)
    plan = register(ledger, "good")
    permit(ledger, plan, answer(ledger, plan))
    inject(ledger, plan, arm(ledger, plan))
    assert verify(ledger).order.ok
    forged = register(ledger, "forged")
    one = arm(ledger, forged)
    ledger.append(act(one, RecordKind.INJECT_INTENT))  # past the transition
    found = verify(ledger).order
    ledger.close()
    assert [offence.what for offence in found.first] == [
        "inject.intent of handle forged/h in run forged comes without a permit, which the run needs"
    ]
