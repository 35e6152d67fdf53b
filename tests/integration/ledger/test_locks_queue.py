"""Who wants what somebody else holds stands in line: first come, first served, and the dead are passed over."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from chaos_tasks.errors import Queued, TargetBusy
from chaos_tasks.ledger import DatabaseLedger, open_ledger
from chaos_tasks.ledger.verify import verify
from chaos_tasks.model.handle import OPEN_PHASES, Phase
from chaos_tasks.model.plan import Lock
from chaos_tasks.model.record import RecordKind
from chaos_tasks.ports import Ledger
from chaos_tasks.testing.clock import FakeClock
from chaos_tasks.testing.memory_ledger import MemoryLedger
from tests.ledger_samples import act, armed, handle, registered

LONG_S = 300.0


@pytest.fixture(params=["sqlite", "postgres", "memory"])
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ledger]:
    """The same promises on each of them."""
    opened: Ledger
    if request.param == "memory":
        opened = MemoryLedger(FakeClock())
    else:
        url = f"sqlite:///{tmp_path}/l.db" if request.param == "sqlite" else request.getfixturevalue("pg_dsn")
        opened = open_ledger(url)
    yield opened
    opened.close()


def locks(*keys: str, exclusive: bool = True) -> tuple[Lock, ...]:
    return tuple(Lock(key=key, exclusive=exclusive) for key in keys)


def asks(ledger: Ledger, run_id: str, wanted: tuple[Lock, ...], *, queue_s: float = LONG_S) -> bool:
    """True when it got them, False when it stands in line."""
    try:
        ledger.acquire(run_id, wanted, lease_s=LONG_S, queue_s=queue_s)
    except Queued:
        return False
    return True


def test_who_came_first_is_served_first_whoever_asks_first(ledger: Ledger) -> None:
    assert asks(ledger, "holder", locks("a"))
    assert not asks(ledger, "first", locks("a"))
    assert not asks(ledger, "second", locks("a"))
    ledger.release("holder")
    assert not asks(ledger, "second", locks("a"))
    with pytest.raises(TargetBusy, match="first"):
        ledger.acquire("passer-by", locks("a"), lease_s=LONG_S)
    assert asks(ledger, "first", locks("a"))
    ledger.release("first")
    assert asks(ledger, "second", locks("a"))
    assert ledger.waiting() == []


def test_a_stream_of_readers_does_not_starve_a_writer(ledger: Ledger) -> None:
    assert asks(ledger, "reader-1", locks("a", exclusive=False))
    assert not asks(ledger, "writer", locks("a"))
    for number in range(2, 5):
        assert not asks(ledger, f"reader-{number}", locks("a", exclusive=False))
    ledger.release("reader-1")
    assert asks(ledger, "writer", locks("a"))
    ledger.release("writer")
    assert all(asks(ledger, f"reader-{number}", locks("a", exclusive=False)) for number in range(2, 5))


def test_the_line_is_one_per_key_and_all_that_is_below_it(ledger: Ledger) -> None:
    assert asks(ledger, "holder", locks("a/b"))
    assert not asks(ledger, "above", locks("a"))
    assert not asks(ledger, "below", locks("a/b/c"))
    assert not asks(ledger, "beside", locks("a/x"))  # behind `above`, which covers it
    assert asks(ledger, "elsewhere", locks("ab"))
    ledger.release("holder")
    assert not asks(ledger, "below", locks("a/b/c"))
    assert asks(ledger, "above", locks("a"))


def test_a_waiter_holds_nothing_of_what_it_wants(ledger: Ledger) -> None:
    assert asks(ledger, "holder", locks("b"))
    assert not asks(ledger, "both", locks("a", "b"))
    assert not asks(ledger, "later", locks("a"))  # in its order all the same, or it could be passed for ever
    ledger.release("both")
    assert asks(ledger, "later", locks("a"))


def test_a_dead_waiter_is_passed_over_and_keeps_its_place_for_its_return(ledger: Ledger) -> None:
    assert asks(ledger, "holder", locks("a"))
    assert not asks(ledger, "dead", locks("a"))
    assert not asks(ledger, "second", locks("a"))
    assert not asks(ledger, "third", locks("a"))
    ledger.whose_turn(["dead"], queue_s=0.0)  # as if it had not been heard of
    ledger.release("holder")
    assert not asks(ledger, "third", locks("a"))
    assert asks(ledger, "second", locks("a"))
    assert not asks(ledger, "dead", locks("a"))
    assert [one.run_id for one in ledger.waiting()] == ["dead", "third"]
    ledger.release("second")
    assert not asks(ledger, "third", locks("a"))
    assert asks(ledger, "dead", locks("a"))


def test_who_holds_something_neither_queues_nor_waits_behind_the_queue(ledger: Ledger) -> None:
    assert asks(ledger, "one", locks("a"))
    assert asks(ledger, "two", locks("b"))
    assert not asks(ledger, "waiter", locks("a", "b"))
    assert asks(ledger, "one", locks("a"))  # a retried `arm`: the waiter waits for it, so that it must not wait
    with pytest.raises(TargetBusy, match="two") as caught:
        ledger.acquire("one", locks("a", "b"), lease_s=LONG_S, queue_s=LONG_S)
    assert not isinstance(caught.value, Queued)
    assert [one.run_id for one in ledger.waiting()] == ["waiter"]


def test_without_patience_there_is_no_place_in_line(ledger: Ledger) -> None:
    assert asks(ledger, "holder", locks("a"))
    with pytest.raises(TargetBusy):
        ledger.acquire("other", locks("a"), lease_s=LONG_S)
    assert ledger.waiting() == []


def test_releasing_gives_the_place_up(ledger: Ledger) -> None:
    assert asks(ledger, "holder", locks("a"))
    assert not asks(ledger, "first", locks("a"))
    assert not asks(ledger, "second", locks("a"))
    ledger.release("first")
    ledger.release("holder")
    assert asks(ledger, "second", locks("a"))


def test_waiters_learn_when_their_turn_has_come(ledger: Ledger) -> None:
    assert asks(ledger, "holder", locks("a"))
    assert asks(ledger, "other", locks("b"))
    assert not asks(ledger, "first", locks("a"))
    assert not asks(ledger, "second", locks("a"))
    assert not asks(ledger, "elsewhere", locks("b", "c"))
    everybody = ["elsewhere", "first", "second", "unknown"]
    # "unknown" has nothing to wait for: whoever asks hears what became of it
    assert ledger.whose_turn(everybody, queue_s=LONG_S) == {"unknown"}
    ledger.release("holder")
    assert ledger.whose_turn(everybody, queue_s=LONG_S) == {"first", "unknown"}
    assert ledger.whose_turn(["second"], queue_s=LONG_S) == frozenset()
    ledger.release("other")
    assert ledger.whose_turn(everybody, queue_s=LONG_S) == {"elsewhere", "first", "unknown"}
    assert ledger.whose_turn([], queue_s=LONG_S) == frozenset()


def test_the_time_in_line_is_measured_from_the_first_asking(ledger: Ledger) -> None:
    assert ledger.acquire("holder", locks("a"), lease_s=LONG_S, queue_s=LONG_S) == 0.0
    since = [_queued_since(ledger, "waiter") for _ in range(2)]
    assert since[0] == since[1] == ledger.waiting()[0].since
    ledger.release("holder")
    waited = ledger.acquire("waiter", locks("a"), lease_s=LONG_S, queue_s=LONG_S)
    assert 0.0 <= waited <= (ledger.now() - since[0]).total_seconds()


def _queued_since(ledger: Ledger, run_id: str) -> datetime:
    with pytest.raises(Queued) as caught:
        ledger.acquire(run_id, locks("a"), lease_s=LONG_S, queue_s=LONG_S)
    return caught.value.since


@pytest.fixture
def database(tmp_path: Path) -> Iterator[DatabaseLedger]:
    opened = open_ledger(f"sqlite:///{tmp_path}/l.db")
    yield opened
    opened.close()


def test_nobody_waits_for_what_only_a_person_can_end(database: DatabaseLedger) -> None:
    one = handle("h", run_id="run-1")
    database.arm(one, armed(one), lease_s=LONG_S)
    wanted = locks(one.place.key)
    assert not asks(database, "run-2", wanted)  # it may be put back any moment
    for to, kind in ((Phase.REVERTING, RecordKind.REVERT_INTENT), (Phase.UNREVERTED, RecordKind.REVERT_FAILED)):
        database.transition("h", to=to, expect=OPEN_PHASES, epoch=1, record=act(one, kind))
    assert database.whose_turn(["run-2"], queue_s=LONG_S) == {"run-2"}  # to be told
    with pytest.raises(TargetBusy, match="squall revert h") as caught:
        database.acquire("run-2", wanted, lease_s=LONG_S, queue_s=LONG_S)
    assert not isinstance(caught.value, Queued)


def test_a_run_that_came_back_after_its_locks_went_stands_in_line_like_anybody_else(database: DatabaseLedger) -> None:
    database.acquire("run-1", locks("a", "b"), lease_s=0)
    database.acquire("run-2", locks("a"), lease_s=LONG_S)
    assert not asks(database, "run-1", locks("a", "b"))
    assert asks(database, "run-3", locks("c"))
    assert not asks(database, "run-3b", locks("b"))  # behind run-1
    database.release("run-2")
    assert asks(database, "run-1", locks("a", "b"))
    assert database.renew("run-1", lease_s=LONG_S)


def test_a_registered_run_in_line_is_no_gap_in_the_log(database: DatabaseLedger) -> None:
    database.acquire("run-1", locks("a"), lease_s=LONG_S)
    database.append(registered("run-2"))
    assert not asks(database, "run-2", locks("a"))
    assert verify(database).completeness.ok
    database.release("run-2")
    assert not verify(database).completeness.ok
