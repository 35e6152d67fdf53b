"""A campaign begins with a sweep that is on record, and not at all where nobody watches."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from chaos_tasks.beginning import Beginning
from chaos_tasks.campaign import Campaigns
from chaos_tasks.errors import GuardTripped, LedgerError, RevertError
from chaos_tasks.model.handle import Phase
from chaos_tasks.model.plan import Recorder
from chaos_tasks.model.record import Note, RecordKind
from chaos_tasks.safety.guards import SWEEPER, check_sweeper, last_watch, own_beat
from chaos_tasks.sweeping import Sweeper, Swept
from chaos_tasks.targets.process import host
from chaos_tasks.watching import Watcher
from tests.unit.toy_project import HEALTHY, HURT, ToyProject, request

NIGHT = date(2026, 3, 1)


def beginning(toy: ToyProject) -> Beginning:
    (toy.home / "experiments").mkdir(exist_ok=True)
    settings = toy.settings(experiments_dir=toy.home / "experiments")
    return Beginning(Campaigns(settings, toy.ledger, toy.clock, Recorder()), toy.sweeper())


def swept(toy: ToyProject, campaign_id: str) -> Note:
    (stored,) = toy.ledger.records(run_id=campaign_id, kinds=[RecordKind.CAMPAIGN_SWEPT])
    assert isinstance(stored.record.payload, Note)
    return stored.record.payload


def left_in(toy: ToyProject) -> None:
    """A run that was killed under its fault, and whose lease is over."""
    toy.engine().arm(request())
    toy.engine().inject("run-1")
    assert toy.word() == HURT
    toy.clock.advance(4000)
    toy.ledger.beat(SWEEPER)


def test_what_was_left_in_is_put_back_before_anything_is_planned_and_on_record(toy: ToyProject) -> None:
    left_in(toy)
    plan = beginning(toy).begin(NIGHT)
    assert toy.word() == HEALTHY
    note = swept(toy, plan.campaign_id)
    assert note.facts == {"reverted": ["run-1/write"], "not_reverted": []}
    reverted = next(one for one in toy.ledger.records(kinds=[RecordKind.REVERT_VERIFIED]))
    planned = next(one for one in toy.ledger.records(kinds=[RecordKind.CAMPAIGN_PLANNED]))
    assert reverted.seq < planned.seq


def test_nothing_left_is_on_record_too(toy: ToyProject) -> None:
    plan = beginning(toy).begin(NIGHT)
    assert swept(toy, plan.campaign_id).text == "nothing was left in"


def test_what_cannot_be_put_back_is_named_and_keeps_its_target_blocked(toy: ToyProject) -> None:
    left_in(toy)
    toy.fault.trouble["revert"] = RevertError("stuck", handle_id="run-1/write", remedy="mend it")
    plan = beginning(toy).begin(NIGHT)
    assert swept(toy, plan.campaign_id).facts["not_reverted"] == ["run-1/write"]
    (state,) = toy.ledger.handles(phases=[Phase.UNREVERTED])
    assert state.handle.id == "run-1/write"


def test_a_campaign_without_a_watching_sweeper_is_refused_before_it_is_planned(toy: ToyProject) -> None:
    toy.clock.advance(31)
    with pytest.raises(GuardTripped, match="no sweeper is watching"):
        beginning(toy).begin(NIGHT)
    assert not list(toy.ledger.records(kinds=[RecordKind.CAMPAIGN_PLANNED]))


def test_who_sweeps_once_is_no_watcher(toy: ToyProject) -> None:
    toy.clock.advance(31)
    toy.sweeper().sweep(by="sweeper DAG")
    with pytest.raises(GuardTripped, match="last heartbeat: 31 s ago"):
        check_sweeper(30, toy.ledger)
    toy.sweeper().sweep(watching=True)
    check_sweeper(30, toy.ledger)


def test_a_beat_from_before_the_databases_clock_was_put_back_is_not_believed(
    toy: ToyProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    toy.ledger.beat(SWEEPER)
    now = toy.ledger.now()
    monkeypatch.setattr(toy.ledger, "now", lambda: now - timedelta(hours=1))
    with pytest.raises(GuardTripped, match="no sweeper is watching"):
        check_sweeper(30, toy.ledger)


class Quiet:
    """Tells nobody."""

    def tell(self, notice: object) -> None:
        """Nothing."""


def watcher(toy: ToyProject) -> Watcher:
    return Watcher(toy.sweeper(), toy.clock, Quiet(), "here", lambda one: None)


def test_a_watcher_that_ends_takes_its_heartbeat_with_it(toy: ToyProject) -> None:
    turns = iter([False, False, True])
    watcher(toy).watch(every_s=2, stop=lambda: next(turns))
    with pytest.raises(GuardTripped, match="last heartbeat: never"):
        check_sweeper(30, toy.ledger)
    toy.clock.advance(1)
    toy.sweeper().sweep(watching=True)
    check_sweeper(30, toy.ledger)


def test_the_last_watcher_of_a_host_takes_that_hosts_heartbeat_though_others_watch_elsewhere(toy: ToyProject) -> None:
    def stop() -> bool:
        if turns.pop(0):
            return False
        toy.clock.advance(1)
        toy.ledger.beat(SWEEPER)  # of another host
        return True

    turns = [True, False]
    watcher(toy).watch(every_s=2, stop=stop)
    check_sweeper(30, toy.ledger)
    assert last_watch(toy.ledger, host()) is None


def on_a_full_disk(one: object) -> None:
    raise OSError(28, "No space left on device")


def test_a_watcher_that_cannot_say_that_it_cannot_sweep_sweeps_once_it_can(
    toy: ToyProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    left_in(toy)
    one, sweep, turns = replace(watcher(toy), report=on_a_full_disk), Sweeper.sweep, iter([True, False])

    def full_at_first(self: Sweeper, **how: Any) -> tuple[Swept, ...]:
        if next(turns, False):
            raise LedgerError("the disk is full")
        return sweep(self, **how)

    monkeypatch.setattr(Sweeper, "sweep", full_at_first)
    looks = iter([False, False, True])
    one.watch(every_s=2, stop=lambda: next(looks))
    assert toy.word() == HEALTHY


def test_a_watcher_that_cannot_say_what_it_undid_undoes_the_next_too_and_does_not_count_as_failing(
    toy: ToyProject,
) -> None:
    left_in(toy)
    notices: list[object] = []
    looks = iter([False] * 20 + [True])
    one = replace(watcher(toy), report=on_a_full_disk, notifier=SimpleNamespace(tell=notices.append))
    one.watch(every_s=2, stop=lambda: next(looks))
    assert toy.word() == HEALTHY
    assert notices == []


def test_a_watcher_signs_at_once_and_then_every_hour_even_after_a_signing_that_failed(toy: ToyProject) -> None:
    began, one = toy.clock.monotonic(), watcher(toy)
    signed: list[float] = []

    def seal() -> None:
        signed.append(toy.clock.monotonic() - began)
        if len(signed) == 2:
            raise OSError("no place of heads answers")

    one.seal = seal
    one.watch(every_s=600, stop=lambda: toy.clock.monotonic() - began >= 3 * 3600)
    assert signed == [0, 3600, 7200]


@pytest.mark.parametrize("machine", ["elsewhere", host()])
def test_a_watcher_that_ends_beside_another_one_leaves_that_ones_heartbeat_alone(toy: ToyProject, machine: str) -> None:
    def stop() -> bool:
        if not turns.pop(0):
            return False
        toy.clock.advance(1)
        for name in (SWEEPER, own_beat(machine)):  # the other one
            toy.ledger.beat(name)
        return True

    turns = [False, True]
    watcher(toy).watch(every_s=2, stop=stop)
    check_sweeper(30, toy.ledger)


def test_a_ledger_that_is_away_keeps_no_watcher_from_ending(toy: ToyProject) -> None:
    toy.ledger.broken = "away"
    watcher(toy).watch(every_s=2, stop=lambda: True)
