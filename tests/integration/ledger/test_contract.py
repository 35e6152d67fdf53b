"""What every ledger promises, on SQLite, on PostgreSQL and in memory."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from chaos_tasks.clock import SystemClock
from chaos_tasks.errors import Fenced, IdempotencyConflict, LeaseRenewed, LedgerError, TargetBusy
from chaos_tasks.leasing import kept
from chaos_tasks.ledger import DatabaseLedger, open_ledger
from chaos_tasks.ledger.opening import open_database
from chaos_tasks.ledger.verify import verify
from chaos_tasks.model.actor import Actor
from chaos_tasks.model.handle import OPEN_PHASES, Phase
from chaos_tasks.model.plan import Lock
from chaos_tasks.model.record import RecordKind
from chaos_tasks.ports import Ledger
from chaos_tasks.testing.clock import FakeClock
from chaos_tasks.testing.memory_ledger import MemoryLedger
from tests.ledger_samples import NOON, act, armed, handle, note

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


@pytest.fixture
def other(ledger: Ledger, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ledger]:
    """The same ledger as another process has it open."""
    if isinstance(ledger, MemoryLedger):
        yield ledger.of_another_process()
        return
    sqlite = (tmp_path / "l.db").exists()
    opened = open_ledger(f"sqlite:///{tmp_path}/l.db" if sqlite else request.getfixturevalue("pg_dsn"))
    yield opened
    opened.close()


def exclusive(*keys: str) -> tuple[Lock, ...]:
    return tuple(Lock(key=key, exclusive=True) for key in keys)


def shared(*keys: str) -> tuple[Lock, ...]:
    return tuple(Lock(key=key, exclusive=False) for key in keys)


def test_records_come_back_in_order_and_by_query(ledger: Ledger) -> None:
    for n in range(6):
        kind = RecordKind.STOP_TRIGGERED if n % 2 else RecordKind.RUN_PUBLISHED
        ledger.append(note(f"k{n}", run_id=f"run-{n % 3}", kind=kind, occurred_at=NOON + timedelta(hours=n)))
    assert [stored.record.idem_key for stored in ledger.records()] == [f"k{n}" for n in range(6)]
    assert [stored.seq for stored in ledger.records(run_id="run-1")] == [1, 4]
    assert [stored.seq for stored in ledger.records(kinds=(RecordKind.STOP_TRIGGERED,), after_seq=1)] == [3, 5]
    window = ledger.records(since=NOON + timedelta(hours=1), until=NOON + timedelta(hours=3))
    assert [stored.seq for stored in window] == [1, 2]


def test_a_time_finds_all_records_since_then_whatever_their_writers_clocks_said(ledger: Ledger) -> None:
    for n, hour in enumerate((0, 5, 1, 6, 2, 7)):  # two hosts, one of them five hours ahead
        ledger.append(note(f"k{n}", run_id=f"run-{n % 2}", occurred_at=NOON + timedelta(hours=hour)))
    at = lambda hour, **more: [one.seq for one in ledger.records(since=NOON + timedelta(hours=hour), **more)]  # noqa: E731
    assert at(0) == [0, 1, 2, 3, 4, 5]
    assert at(2) == [1, 3, 4, 5]
    assert at(6) == [3, 5]
    assert at(6, after_seq=3) == [5]
    assert at(2, run_id="run-0") == [4]
    assert at(8) == []


def test_an_experiment_is_found_by_its_whole_name_and_by_nothing_that_quotes_it(ledger: Ledger) -> None:
    quoting = '"experiment":"late"'
    for n, (name, run_id) in enumerate(
        [("late", "r1"), ("late-data", "r2"), (quoting, "r3"), ("", quoting), ("late", "r4")]
    ):
        ledger.append(note(f"k{n}", experiment=name, run_id=run_id))
    assert [one.seq for one in ledger.records(experiment="late")] == [0, 4]
    assert [one.seq for one in ledger.records(experiment=quoting)] == [2]
    assert [one.seq for one in ledger.records(experiment="late", run_id="r4")] == [4]


def test_a_ledger_from_before_the_index_of_times_gets_it_when_opened(tmp_path: Path) -> None:
    path = tmp_path / "l.db"
    open_ledger(f"sqlite:///{path}").close()
    has_index = "SELECT COUNT(*) FROM sqlite_master WHERE type = 'index' AND name = 'squall_record_time'"
    with closing(sqlite3.connect(path)) as database:
        database.execute("DROP INDEX squall_record_time")
        assert database.execute(has_index).fetchone() == (0,)
    open_ledger(f"sqlite:///{path}").close()
    with closing(sqlite3.connect(path)) as database:
        assert database.execute(has_index).fetchone() == (1,)


def test_a_record_came_in_when_the_ledgers_clock_says_whatever_its_host_says(ledger: Ledger) -> None:
    before = ledger.now()
    ledger.append(note("k", occurred_at=before - timedelta(days=1)))
    ledger.arm(handle(), armed(handle()), lease_s=LONG_S)
    claimed = act(handle(), RecordKind.INJECT_INTENT).model_copy(update={"occurred_at": before + timedelta(days=1)})
    ledger.transition("h1", to=Phase.INJECTING, expect=[Phase.ARMED], epoch=1, record=claimed)
    found = ledger.recorded_at(ledger.records())
    assert list(found) == [0, 1, 2]
    assert all(before <= at <= ledger.now() for at in found.values())
    assert ledger.recorded_at([]) == {}


def test_a_repeated_record_came_in_when_it_first_did(ledger: Ledger) -> None:
    first = ledger.append(note("k"))
    at = ledger.recorded_at([first])
    assert ledger.recorded_at([ledger.append(note("k"))]) == at


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_a_ledger_from_before_times_were_kept_keeps_them_once_it_is_opened(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path}/l.db" if kind == "sqlite" else request.getfixturevalue("pg_dsn")
    with closing(open_ledger(url)) as old:
        old.append(note("before"))
    with closing(open_database(url)) as database, database.transaction() as session:
        session.write("ALTER TABLE squall_record DROP COLUMN recorded_at")
    for key in ("after", "reopened"):
        with closing(open_ledger(url)) as renewed:
            opened = renewed.now()
            renewed.append(note(key))
            found = renewed.recorded_at(renewed.records())
            assert found[0] == NOON, "what it claims itself"
            assert opened <= found[max(found)] <= renewed.now()
            assert verify(renewed).ok


def test_what_an_older_squall_writes_beside_a_newer_one_is_read_as_it_claims(tmp_path: Path) -> None:
    with closing(open_ledger(f"sqlite:///{tmp_path}/l.db")) as ledger:
        ledger.append(note("k"))
        for kept in ("NULL", "'nonsense'", "-1", "9223372036854775807"):
            with closing(sqlite3.connect(tmp_path / "l.db")) as database:
                database.execute(f"UPDATE squall_record SET recorded_at = {kept}")
                database.commit()
            assert ledger.recorded_at(ledger.records()) == {0: NOON}


def test_the_same_record_is_written_once(ledger: Ledger) -> None:
    first = ledger.append(note("k"))
    assert ledger.append(note("k")).seq == first.seq
    assert len(list(ledger.records())) == 1


def test_the_same_key_with_other_content_is_refused(ledger: Ledger) -> None:
    ledger.append(note("k"))
    with pytest.raises(IdempotencyConflict):
        ledger.append(note("k", text="something else"))
    assert len(list(ledger.records())) == 1


def test_arming_twice_is_arming_once(ledger: Ledger) -> None:
    first = ledger.arm(handle(), armed(handle()), lease_s=LONG_S)
    again = ledger.arm(handle(), armed(handle()), lease_s=LONG_S)
    assert (first.phase, again.phase) == (Phase.ARMED, Phase.ARMED)
    assert len(list(ledger.records())) == 1
    assert ledger.handle("h1") == again
    assert ledger.handle("h2") is None


def test_a_transition_moves_the_handle_and_writes_its_record(ledger: Ledger) -> None:
    ledger.arm(handle(), armed(handle()), lease_s=LONG_S)
    record = act(handle(), RecordKind.INJECT_INTENT)
    state = ledger.transition("h1", to=Phase.INJECTING, expect=[Phase.ARMED], epoch=1, record=record)
    assert state.phase is Phase.INJECTING
    assert [stored.record.kind for stored in ledger.records()] == [RecordKind.FAULT_ARMED, RecordKind.INJECT_INTENT]


def test_a_refused_transition_writes_nothing(ledger: Ledger) -> None:
    ledger.arm(handle(), armed(handle()), lease_s=LONG_S)
    record = act(handle(), RecordKind.INJECT_APPLIED)
    with pytest.raises(Fenced):
        ledger.transition("h1", to=Phase.INJECTED, expect=[Phase.INJECTING], epoch=1, record=record)
    with pytest.raises(Fenced):
        ledger.transition("h1", to=Phase.INJECTING, expect=[Phase.ARMED], epoch=2, record=record)
    assert [stored.record.kind for stored in ledger.records()] == [RecordKind.FAULT_ARMED]
    state = ledger.handle("h1")
    assert state is not None
    assert state.phase is Phase.ARMED


def test_taking_over_fences_whoever_held_the_handle(ledger: Ledger) -> None:
    ledger.arm(handle(), armed(handle()), lease_s=LONG_S)
    assert ledger.take_over("h1", lease_s=LONG_S).handle.epoch == 2
    with pytest.raises(Fenced):
        ledger.transition(
            "h1", to=Phase.INJECTING, expect=[Phase.ARMED], epoch=1, record=act(handle(), RecordKind.INJECT_INTENT)
        )
    reverting = act(handle(epoch=2), RecordKind.REVERT_INTENT)
    ledger.transition("h1", to=Phase.REVERTING, expect=[Phase.ARMED], epoch=2, record=reverting)
    with pytest.raises(Fenced):
        ledger.renew("run-1", lease_s=LONG_S)
    reverted = act(handle(epoch=2), RecordKind.REVERT_VERIFIED)
    ledger.transition("h1", to=Phase.REVERTED, expect=[Phase.REVERTING], epoch=2, record=reverted)
    with pytest.raises(Fenced):
        ledger.renew("run-1", lease_s=LONG_S)
    assert ledger.take_over("h1", lease_s=LONG_S).handle.epoch == 2  # reverted: nothing left to take


def test_a_handle_that_was_renewed_since_it_was_listed_as_expired_is_not_taken_over(
    ledger: Ledger, other: Ledger
) -> None:
    ledger.arm(handle(), armed(handle()), lease_s=0)
    (listed,) = other.handles(expired=True)
    until = ledger.renew("run-1", lease_s=LONG_S)
    with pytest.raises(LeaseRenewed):
        other.take_over(listed.handle.id, lease_s=LONG_S, listed=listed)
    state = ledger.handle("h1")
    assert state is not None
    assert (state.handle.epoch, state.lease_until) == (1, until)
    assert ledger.renew("run-1", lease_s=0) <= until  # its run is not fenced
    (listed,) = other.handles(expired=True)
    assert other.take_over("h1", lease_s=LONG_S, listed=listed).handle.epoch == 2
    with pytest.raises(LeaseRenewed):  # of two sweepers that listed it, one has it
        ledger.take_over("h1", lease_s=LONG_S, listed=listed)


def test_a_handle_that_nobody_has_renewed_is_taken_over_before_its_lease_is_over_by_whoever_saw_that(
    ledger: Ledger, other: Ledger
) -> None:
    """The database's clock may have been set back: that nobody renewed is known without it."""
    ledger.arm(handle(), armed(handle()), lease_s=LONG_S)
    listed = other.handle("h1")
    assert other.take_over("h1", lease_s=LONG_S, listed=listed).handle.epoch == 2
    with pytest.raises(Fenced):
        ledger.renew("run-1", lease_s=LONG_S)


def test_an_abandoned_handle_is_closed_and_blocks_nobody(ledger: Ledger) -> None:
    one = handle()
    ledger.arm(one, armed(one), lease_s=0)
    stuck = act(one, RecordKind.REVERT_FAILED)
    ledger.transition("h1", to=Phase.UNREVERTED, expect=[Phase.ARMED], epoch=1, record=stuck)
    locks = exclusive(one.place.key)
    ledger.acquire("run-1", exclusive("target:t"), lease_s=0)
    for wanted in (locks, exclusive("target:t")) if isinstance(ledger, DatabaseLedger) else ():
        with pytest.raises(TargetBusy) as refused:
            ledger.acquire("run-2", wanted, lease_s=LONG_S)
        assert (refused.value.passes, "squall abandon h1 --reason" in refused.value.remedy) == (False, True)
    taken = ledger.take_over("h1", lease_s=0).handle
    gone = note("gone", kind=RecordKind.HANDLE_ABANDONED, handle_id="h1")
    ledger.transition("h1", to=Phase.ABANDONED, expect=OPEN_PHASES, epoch=taken.epoch, record=gone)
    assert ledger.handles(phases=OPEN_PHASES) == ledger.handles(phases=OPEN_PHASES, expired=True) == []
    assert ledger.take_over("h1", lease_s=LONG_S).handle.epoch == taken.epoch
    ledger.acquire("run-2", (*locks, *exclusive("target:t")), lease_s=LONG_S)
    if isinstance(ledger, DatabaseLedger):
        assert verify(ledger).open_handles == ()


def test_one_swept_handle_stops_the_whole_run(ledger: Ledger) -> None:
    first, second = handle("a"), handle("b", principal="other")
    ledger.arm(first, armed(first), lease_s=300)
    ledger.arm(second, armed(second), lease_s=300)
    ledger.take_over("a", lease_s=300)
    with pytest.raises(Fenced):
        ledger.renew("run-1", lease_s=300)
    with pytest.raises(Fenced):
        ledger.claim("b", 0, note("claim", kind=RecordKind.TRIGGER_CLAIMED, handle_id="b"))
    with pytest.raises(Fenced):
        ledger.arm(handle("c"), armed(handle("c")), lease_s=300)
    intent = act(second, RecordKind.INJECT_INTENT)
    with pytest.raises(Fenced):
        ledger.transition("b", to=Phase.INJECTING, expect=[Phase.ARMED], epoch=1, record=intent)
    reverting = act(second, RecordKind.REVERT_INTENT)
    ledger.transition("b", to=Phase.REVERTING, expect=[Phase.ARMED], epoch=1, record=reverting)


def test_a_swept_run_may_not_believe_that_it_injected(ledger: Ledger) -> None:
    first, second = handle("a"), handle("b", principal="other")
    for one in (first, second):
        ledger.arm(one, armed(one), lease_s=LONG_S)
    intent = act(second, RecordKind.INJECT_INTENT)
    ledger.transition("b", to=Phase.INJECTING, expect=[Phase.ARMED], epoch=1, record=intent)
    ledger.take_over("a", lease_s=LONG_S)
    applied = act(second, RecordKind.INJECT_APPLIED)
    with pytest.raises(Fenced):
        ledger.transition("b", to=Phase.INJECTED, expect=[Phase.INJECTING], epoch=1, record=applied)


def test_renewing_extends_every_open_handle_of_the_run(ledger: Ledger) -> None:
    ledger.arm(handle("a"), armed(handle("a")), lease_s=0)
    ledger.arm(handle("b", run_id="run-2"), armed(handle("b", run_id="run-2")), lease_s=0)
    assert [state.handle.id for state in ledger.handles(expired=True)] == ["a", "b"]
    until = ledger.renew("run-1", lease_s=LONG_S)
    assert until > ledger.now()
    assert [state.handle.id for state in ledger.handles(expired=True)] == ["b"]


def test_handles_by_run_and_phase(ledger: Ledger) -> None:
    for name, run_id in (("a", "run-1"), ("b", "run-1"), ("c", "run-2")):
        one = handle(name, run_id=run_id)
        ledger.arm(one, armed(one), lease_s=LONG_S)
    intent = act(handle("b"), RecordKind.INJECT_INTENT)
    ledger.transition("b", to=Phase.INJECTING, expect=[Phase.ARMED], epoch=1, record=intent)
    assert [state.handle.id for state in ledger.handles()] == ["a", "b", "c"]
    assert [state.handle.id for state in ledger.handles(run_id="run-1", phases=[Phase.ARMED])] == ["a"]
    assert ledger.handles(expired=True) == []


def test_a_firing_is_claimed_once(ledger: Ledger) -> None:
    ledger.arm(handle(), armed(handle()), lease_s=LONG_S)
    record = note("claim/0", kind=RecordKind.TRIGGER_CLAIMED, handle_id="h1")
    assert ledger.claim("h1", 0, record)
    assert not ledger.claim("h1", 0, record)
    assert ledger.claim("h1", 1, note("claim/1", kind=RecordKind.TRIGGER_CLAIMED, handle_id="h1"))
    assert len(list(ledger.records(kinds=(RecordKind.TRIGGER_CLAIMED,)))) == 2


@pytest.mark.parametrize("other", ["s3://b", "s3://b/p", "s3://b/p/q"])
def test_an_exclusive_key_conflicts_above_and_below(ledger: Ledger, other: str) -> None:
    ledger.acquire("run-1", exclusive("s3://b/p"), lease_s=LONG_S)
    with pytest.raises(TargetBusy, match="run-1"):
        ledger.acquire("run-2", shared(other), lease_s=LONG_S)
    with pytest.raises(TargetBusy, match="run-1"):
        ledger.acquire("run-2", exclusive(other), lease_s=LONG_S)


@pytest.mark.parametrize("other", ["s3://b/pq", "s3://c", "s3://b/q"])
def test_neighbours_do_not_conflict(ledger: Ledger, other: str) -> None:
    ledger.acquire("run-1", exclusive("s3://b/p"), lease_s=LONG_S)
    ledger.acquire("run-2", exclusive(other), lease_s=LONG_S)


def test_readers_share_and_keep_writers_out(ledger: Ledger) -> None:
    ledger.acquire("run-1", shared("s3://b/p"), lease_s=LONG_S)
    ledger.acquire("run-2", shared("s3://b/p"), lease_s=LONG_S)
    with pytest.raises(TargetBusy):
        ledger.acquire("run-3", exclusive("s3://b"), lease_s=LONG_S)


def test_all_locks_or_none(ledger: Ledger) -> None:
    ledger.acquire("run-1", exclusive("b"), lease_s=LONG_S)
    with pytest.raises(TargetBusy):
        ledger.acquire("run-2", exclusive("a", "b"), lease_s=LONG_S)
    ledger.acquire("run-3", exclusive("a"), lease_s=LONG_S)


def test_a_run_may_take_its_own_locks_again(ledger: Ledger) -> None:
    ledger.acquire("run-1", exclusive("a"), lease_s=LONG_S)
    ledger.acquire("run-1", (*exclusive("a"), *shared("a/b")), lease_s=LONG_S)
    with pytest.raises(TargetBusy):
        ledger.acquire("run-2", shared("a/b"), lease_s=LONG_S)


def test_released_locks_are_free(ledger: Ledger) -> None:
    ledger.acquire("run-1", exclusive("a"), lease_s=LONG_S)
    ledger.release("run-1")
    ledger.acquire("run-2", exclusive("a"), lease_s=LONG_S)


def test_a_dead_run_loses_its_locks_but_not_over_an_open_handle(ledger: Ledger) -> None:
    ledger.acquire("run-1", exclusive("a"), lease_s=0)
    ledger.acquire("run-2", exclusive("a"), lease_s=0)
    one = handle("h", run_id="run-2", principal="someone")
    ledger.arm(one, armed(one), lease_s=0)
    with pytest.raises(TargetBusy, match="run-2"):
        ledger.acquire("run-3", exclusive("a"), lease_s=LONG_S)


def test_watchers_beat(ledger: Ledger) -> None:
    assert ledger.last_beat("sweeper") is None
    before = ledger.now()
    ledger.beat("sweeper")
    ledger.beat("sweeper")
    beat = ledger.last_beat("sweeper")
    assert beat is not None
    assert before <= beat <= ledger.now()


def test_a_thread_beats_while_another_one_of_its_process_writes_without_a_pause(ledger: Ledger) -> None:
    beats: list[str] = []

    def beat() -> None:
        ledger.beat("sweeper")
        beats.append("beat")

    clock = SystemClock()
    deadline = clock.monotonic() + 30
    with kept(beat, lease_s=0.03):
        while len(beats) < 3 and clock.monotonic() < deadline:
            ledger.append(note("k"))
    assert len(beats) >= 3
    assert ledger.last_beat("sweeper") is not None


def test_times_are_utc_and_near_ours(ledger: Ledger) -> None:
    now = ledger.now()
    assert now.tzinfo is UTC
    if not isinstance(ledger, MemoryLedger):
        assert abs(now - datetime.now(UTC)) < timedelta(seconds=5)


def test_an_unknown_handle_is_named(ledger: Ledger) -> None:
    with pytest.raises(LedgerError, match="nobody"):
        ledger.take_over("nobody", lease_s=1)


def an_actor(step: str, *, pid: int = 1, tried: int = 0) -> Actor:
    return Actor(run_id="run-1", step=step, host="h", pid=pid, try_number=tried)


def test_who_holds_locks_until_when_and_which_process_had_the_run_last(ledger: Ledger, other: Ledger) -> None:
    assert (ledger.held_until("run-1"), ledger.last_actor("run-1")) == (None, None)
    ledger.enter(an_actor("arm"))
    ledger.acquire("run-1", exclusive("k"), lease_s=LONG_S)
    other.enter(an_actor("baseline", pid=2))
    until = other.held_until("run-1")
    assert until is not None
    assert until > other.now()
    assert other.last_actor("run-1") == an_actor("baseline", pid=2)
    other.release("run-1")
    assert other.held_until("run-1") is None


def test_who_takes_a_run_later_supersedes_who_took_it_before(ledger: Ledger, other: Ledger) -> None:
    one = handle("h1")
    assert ledger.acting("run-1") == 0
    assert ledger.enter(an_actor("inject")).incarnation == 1
    ledger.acquire("run-1", exclusive("k"), lease_s=LONG_S)
    ledger.arm(one, armed(one), lease_s=LONG_S)
    taken = other.enter(an_actor("inject", pid=2))
    assert (taken.incarnation, taken.before) == (2, an_actor("inject"))
    refused = (
        lambda: ledger.acting("run-1"),
        lambda: ledger.enter(an_actor("exercise")),
        lambda: ledger.renew("run-1", lease_s=LONG_S),
        lambda: ledger.append(note("trial", run_id="run-1", kind=RecordKind.TRIAL_STARTED)),
        lambda: ledger.append(note("end", run_id="run-1", kind=RecordKind.TRIAL_ENDED)),
        lambda: ledger.append(note("refusal", run_id="run-1", kind=RecordKind.RUN_REFUSED)),
        lambda: ledger.claim("h1", 0, note("claim", run_id="run-1", kind=RecordKind.TRIGGER_CLAIMED)),
        lambda: ledger.take_over("h1", lease_s=LONG_S),
        lambda: ledger.arm(one, armed(one), lease_s=LONG_S),
        lambda: ledger.acquire("run-1", exclusive("k"), lease_s=LONG_S),
        lambda: ledger.release("run-1"),
        lambda: ledger.transition(
            "h1", to=Phase.INJECTING, expect=[Phase.ARMED], epoch=1, record=act(one, RecordKind.INJECT_INTENT)
        ),
        lambda: ledger.transition(
            "h1", to=Phase.REVERTING, expect=[Phase.ARMED], epoch=1, record=act(one, RecordKind.REVERT_INTENT)
        ),
    )
    for call in refused:
        with pytest.raises(Fenced, match="taken by another process"):
            call()
    assert [stored.record.kind for stored in other.records()] == [RecordKind.FAULT_ARMED]
    other.transition("h1", to=Phase.INJECTING, expect=[Phase.ARMED], epoch=1, record=act(one, RecordKind.INJECT_INTENT))
    other.renew("run-1", lease_s=LONG_S)


def test_a_superseded_process_still_says_that_it_undid_its_act(ledger: Ledger, other: Ledger) -> None:
    ledger.enter(an_actor("inject"))
    other.enter(an_actor("inject"))
    ledger.append(act(handle("h1"), RecordKind.INJECT_FAILED))
    assert [stored.record.kind for stored in other.records()] == [RecordKind.INJECT_FAILED]


def test_a_process_keeps_its_incarnation_over_all_its_steps(ledger: Ledger, other: Ledger) -> None:
    for step in ("arm", "inject", "exercise"):
        taken = ledger.enter(an_actor(step))
        assert (taken.incarnation, taken.before) == (1, None)
    assert other.enter(an_actor("revert")).before is None


def test_an_earlier_try_never_supersedes_a_later_one(ledger: Ledger, other: Ledger) -> None:
    ledger.enter(an_actor("exercise", tried=2))
    with pytest.raises(Fenced, match="try 1 of exercise"):
        other.enter(an_actor("exercise", tried=1))
    assert ledger.acting("run-1") == 1
    assert other.enter(an_actor("revert", tried=1)).incarnation == 2


def test_tries_are_counted_by_task_and_anew_for_a_dag_run_that_was_made_anew(ledger: Ledger, other: Ledger) -> None:
    ledger.enter(an_actor("arm", tried=1))
    ledger.act_as("run-1", 0)
    ledger.enter(an_actor("exercise", tried=2))
    ledger.enter(an_actor("revert", tried=2))  # exercise reverts by itself
    other.check_enter(an_actor("revert", tried=1))
    with pytest.raises(Fenced, match="try 1 of exercise"):
        other.check_enter(an_actor("exercise", tried=1))
    other.enter(an_actor("arm", tried=1))
    other.act_as("run-1", 0)
    other.check_enter(an_actor("exercise", tried=1))


def test_an_arm_that_stood_in_line_goes_on_as_the_same_try_in_another_process(ledger: Ledger, other: Ledger) -> None:
    ledger.enter(an_actor("baseline", tried=2))
    ledger.act_as("run-1", 0)
    for _ in range(3):
        ledger.enter(an_actor("arm", tried=1))
        ledger.act_as("run-1", 0)
    with pytest.raises(Fenced, match="try 1 of baseline"):
        other.check_enter(an_actor("baseline", tried=1))


def test_whether_a_process_would_be_refused_can_be_asked_without_taking_the_run(ledger: Ledger, other: Ledger) -> None:
    ledger.enter(an_actor("revert", tried=2))
    with pytest.raises(Fenced, match="try 1 of revert"):
        other.check_enter(an_actor("revert", tried=1))
    other.check_enter(an_actor("revert", tried=3))
    assert (ledger.acting("run-1"), other.acting("run-1")) == (1, 0)
    other.enter(an_actor("recovery", tried=1))
    with pytest.raises(Fenced, match="taken by another process"):
        ledger.check_enter(an_actor("revert", tried=2))


def test_until_when_it_has_renewed_a_process_knows_by_its_own_clock(ledger: Ledger) -> None:
    began = ledger.own_leases.now()
    assert ledger.own_leases.over_for_s("run-1") == 0, "it never held it"
    ledger.arm(handle("h1"), armed(handle("h1")), lease_s=LONG_S)
    ledger.renew("run-1", lease_s=LONG_S)
    until = ledger.own_leases.until("run-1")
    assert until is not None
    assert began + LONG_S <= until <= ledger.own_leases.now() + LONG_S
    ledger.take_over("h1", lease_s=LONG_S)
    with pytest.raises(Fenced):
        ledger.renew("run-1", lease_s=2 * LONG_S)
    assert ledger.own_leases.until("run-1") == until, "a renewal that was refused is none"


def test_a_supervisor_acts_under_the_incarnation_of_its_engine(ledger: Ledger, other: Ledger) -> None:
    ledger.enter(an_actor("exercise"))
    other.act_as("run-1", ledger.acting("run-1"))
    other.renew("run-1", lease_s=LONG_S)
    other.act_as("run-1", 7)
    with pytest.raises(Fenced):
        other.renew("run-1", lease_s=LONG_S)


def test_nobody_is_refused_who_never_took_the_run(ledger: Ledger, other: Ledger) -> None:
    """The sweep and people act by epochs."""
    one = handle("h1")
    ledger.enter(an_actor("inject"))
    ledger.arm(one, armed(one), lease_s=0)
    assert other.take_over("h1", lease_s=LONG_S).handle.epoch == 2
