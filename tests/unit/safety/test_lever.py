"""While the lever lies there nothing is injected, and a lever that cannot be read counts as pulled."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from chaos_tasks.errors import GuardTripped, LedgerError, SetupError
from chaos_tasks.model.plan import Recorder
from chaos_tasks.model.record import Record, RecordKind, Stored
from chaos_tasks.safety import lever
from chaos_tasks.safety.lever import Lever
from chaos_tasks.testing.clock import FakeClock
from chaos_tasks.testing.memory_ledger import MemoryLedger

NOW = datetime(2026, 11, 23, tzinfo=UTC)


def test_a_pulled_lever_stops_with_its_reason_until_it_is_released(tmp_path: Path) -> None:
    home = tmp_path / "not" / "there" / "yet"
    lever.check(home)
    lever.pull(home, "audit", NOW)
    with pytest.raises(GuardTripped, match="audit") as caught:
        lever.check(home)
    assert "squall resume" in caught.value.remedy
    assert lever.release(home)
    lever.check(home)
    assert not lever.release(home)


def test_an_empty_lever_is_pulled(tmp_path: Path) -> None:
    (tmp_path / lever.NAME).touch()
    assert lever.pulled(tmp_path) == "no reason given"


@pytest.mark.parametrize("content", [b"\xff\xfe", None], ids=["no text", "a folder"])
def test_a_lever_that_cannot_be_read_counts_as_pulled(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / lever.NAME
    path.mkdir() if content is None else path.write_bytes(content)
    with pytest.raises(GuardTripped):
        lever.check(tmp_path)


def test_pulling_twice_keeps_it_pulled(tmp_path: Path) -> None:
    lever.pull(tmp_path, "one", NOW)
    lever.pull(tmp_path, "two", NOW)
    assert "two" in (lever.pulled(tmp_path) or "")


# --- handles that reach further than this host --------------------------------------------------------------------


@dataclass
class Variable:
    """A handle like Airflow's."""

    value: str | None = None
    down: bool = False
    name: str = "Airflow Variable squall_halt"

    def pulled(self) -> str | None:
        """What it is set to."""
        if self.down:
            raise SetupError("no answer")
        return self.value


@dataclass
class Hosts:
    """Two hosts that share a ledger, and nothing else; the first sees the Variable."""

    folder: Path
    clock: FakeClock = field(default_factory=FakeClock)
    variable: Variable = field(default_factory=Variable)

    def __post_init__(self) -> None:
        self.ledger = MemoryLedger(self.clock)

    def lever(self, host: str) -> Lever:
        """As a process on that host sees it."""
        handles = (self.variable,) if host == "a" else ()
        return Lever(self.folder / host, self.ledger, self.clock, Recorder(host=host), handles)


@pytest.fixture
def hosts(tmp_path: Path) -> Hosts:
    return Hosts(tmp_path)


def test_a_pull_reaches_every_host_and_says_who_and_when(hosts: Hosts) -> None:
    hosts.lever("a").pull("a bad feeling", by="kim@a")
    for host in ("a", "b"):
        with pytest.raises(GuardTripped, match="a bad feeling"):
            hosts.lever(host).check()
    with pytest.raises(GuardTripped, match=rf"pulled by kim@a, {hosts.clock.now():%Y-%m-%d %H:%M:%S} UTC"):
        hosts.lever("b").check()
    (record,) = [stored.record for stored in hosts.ledger.records(kinds=[RecordKind.LEVER_PULLED])]
    assert (record.occurred_at, record.recorder.host) == (hosts.clock.now(), "a")


def test_released_on_another_host_it_stays_pulled_where_its_file_lies(hosts: Hosts) -> None:
    hosts.lever("a").pull("a bad feeling", by="kim@a")
    assert hosts.lever("b").release(by="kim@b") == ()
    hosts.lever("b").check()
    with pytest.raises(GuardTripped):
        hosts.lever("a").check()
    hosts.lever("a").release(by="kim@a")
    hosts.lever("a").check()


def test_it_can_be_pulled_and_released_again_and_again(hosts: Hosts) -> None:
    for number in range(3):
        hosts.lever("b").pull(f"reason {number}", by="kim")
        assert f"reason {number}" in (hosts.lever("a").look().reason or "")
        hosts.lever("b").release(by="kim")
        assert hosts.lever("a").look().reason is None


def test_the_variable_reaches_hosts_that_cannot_read_it_through_those_that_can(hosts: Hosts) -> None:
    hosts.variable.value = "set in the UI"
    hosts.lever("b").check()
    with pytest.raises(GuardTripped, match="set in the UI"):
        hosts.lever("a").check()
    with pytest.raises(GuardTripped, match="set in the UI"):
        hosts.lever("b").check()
    still = hosts.lever("b").release(by="kim")
    assert [one.handle for one in still] == [hosts.variable.name]
    hosts.variable.value = None
    hosts.lever("a").check()
    hosts.lever("b").check()


def test_a_look_at_an_unchanged_variable_writes_nothing(hosts: Hosts) -> None:
    hosts.variable.value = "set in the UI"
    for _ in range(3):
        hosts.lever("a").look()
    assert len(list(hosts.ledger.records(run_id=lever.LOG))) == 1


def test_all_handles_can_be_released_where_airflow_is_gone(hosts: Hosts) -> None:
    hosts.variable.value = "set in the UI"
    hosts.lever("a").look()
    assert hosts.lever("b").release(by="kim", everywhere=True) == ()
    hosts.lever("b").check()


def test_what_cannot_be_read_counts_as_pulled_and_hides_no_other_handle(hosts: Hosts) -> None:
    hosts.variable.down = True
    with pytest.raises(GuardTripped, match="squall_halt cannot be read: no answer"):
        hosts.lever("a").check()
    hosts.lever("b").pull("a bad feeling", by="kim")
    seen = hosts.lever("a").look()
    assert "a bad feeling" in (seen.reason or "")
    assert seen.unreadable == ("Airflow Variable squall_halt cannot be read: no answer",)


def test_a_ledger_that_cannot_be_read_counts_as_pulled_but_the_file_needs_none(hosts: Hosts) -> None:
    class Deaf(MemoryLedger):
        def records(self, **asked: object) -> list[Stored]:
            raise LedgerError("down", remedy="bring it up")

    hosts.ledger = Deaf(hosts.clock)
    with pytest.raises(GuardTripped, match="the ledger cannot be read: down"):
        hosts.lever("b").check()
    lever.pull(hosts.folder / "b", "by hand", hosts.clock.now())
    assert "by hand" in (hosts.lever("b").look().reason or "")


def test_two_hosts_that_pull_at_once_are_both_on_record(hosts: Hosts) -> None:
    raced: list[str] = []

    class Slow(MemoryLedger):
        """The other host is faster, once."""

        def append(self, record: Record) -> Stored:
            if not raced:
                raced.append("b")
                hosts.lever("b").pull("reason b", by="kim@b")
            return hosts.ledger.append(record)

        def records(self, **asked: object) -> list[Stored]:
            return list(hosts.ledger.records(**asked))  # type: ignore[arg-type]

    Lever(hosts.folder / "a", Slow(hosts.clock), hosts.clock).pull("reason a", by="kim@a")
    texts = [stored.record.payload.text for stored in hosts.ledger.records(run_id=lever.LOG)]  # type: ignore[union-attr]
    assert texts == ["reason b", "reason a"]


@pytest.mark.parametrize("ahead", [timedelta(hours=1), timedelta(hours=-1)], ids=str)
def test_that_moment_is_by_the_ledgers_clock_whatever_the_host_that_pulled_says(hosts: Hosts, ahead: timedelta) -> None:
    Lever(hosts.folder / "a", hosts.ledger, FakeClock(hosts.clock.now() + ahead)).pull("a bad feeling", by="kim")
    assert not lever.overdue(hosts.ledger)
    hosts.clock.advance(lever.ITS_OWN_WAY_S + 1)
    assert lever.overdue(hosts.ledger)


@pytest.mark.parametrize(("ago_s", "over"), [(0, False), (10, False), (16, True), (-5, True)])
def test_runs_have_a_moment_to_revert_themselves(hosts: Hosts, ago_s: float, over: bool) -> None:
    assert not lever.overdue(hosts.ledger)
    hosts.clock.advance(100)
    at = hosts.clock.now()
    hosts.lever("a").pull("a bad feeling", by="kim")
    hosts.ledger.clock = FakeClock(at + timedelta(seconds=ago_s))  # below 0: it was set back
    assert lever.overdue(hosts.ledger) is over
