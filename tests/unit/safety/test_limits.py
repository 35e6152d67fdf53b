"""How much may be hurt is counted from the ledger, exactly, and what cannot be counted is refused."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from chaos_tasks.abandoning import Abandoning
from chaos_tasks.errors import GuardTripped, LedgerError, RevertError
from chaos_tasks.model.consent import ApprovalPolicy
from chaos_tasks.model.experiment import Risk
from chaos_tasks.model.handle import Reversibility
from chaos_tasks.model.limits import BlastLimits
from chaos_tasks.model.plan import Lock, Recorder
from chaos_tasks.model.record import RecordKind
from chaos_tasks.model.verdict import Outcome
from chaos_tasks.safety import limits
from chaos_tasks.safety.calendar import Span, merged
from chaos_tasks.safety.limits import Night, check, count, minutes_in, slots
from chaos_tasks.testing.memory_ledger import MemoryLedger
from tests.unit.toy_project import ToyProject, request


def told(**changes: Any) -> BlastLimits:
    return BlastLimits.model_validate(changes)


def night(toy: ToyProject) -> Night:
    return Night.of(BlastLimits(), toy.ledger.now())


# --- the night ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("now", "begins"),
    [
        ("2026-11-24T02:00", "2026-11-23T11:00"),  # noon in Zurich
        ("2026-11-24T10:59", "2026-11-23T11:00"),
        ("2026-11-24T11:00", "2026-11-24T11:00"),
        ("2026-03-29T20:00", "2026-03-29T10:00"),  # summer time since this morning
    ],
)
def test_a_night_begins_at_its_wall_time(now: str, begins: str) -> None:
    found = Night.of(told(zone="Europe/Zurich"), datetime.fromisoformat(now).replace(tzinfo=UTC))
    assert found.begins == datetime.fromisoformat(begins).replace(tzinfo=UTC)


# --- experiments --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "scope",
    [{}, {"environments": {"lab": {"experiments_per_night": 2}}}, {"targets": {"toy": {"experiments_per_night": 2}}}],
)
def test_so_many_runs_inject_in_a_night_and_the_next_is_refused(toy: ToyProject, scope: dict[str, Any]) -> None:
    limit = told(**(scope or {"experiments_per_night": 2}))
    for number in ("one", "two"):
        assert toy.engine(limits=limit).run(request(number)).outcome is Outcome.HELD
    with pytest.raises(GuardTripped, match="2 runs have injected since") as caught:
        toy.engine(limits=limit).run(request("three"))
    assert "experiments_per_night" in caught.value.remedy
    assert toy.word("three") == "healthy"
    assert not list(toy.ledger.records(run_id="three", kinds=[RecordKind.INJECT_INTENT]))
    toy.clock.advance(86_400)
    toy.ledger.beat("sweeper")
    assert toy.engine(limits=limit).run(request("four")).outcome is Outcome.HELD


def test_a_retried_injection_counts_once(toy: ToyProject) -> None:
    limit = told(experiments_per_night=1)
    engine = toy.engine(limits=limit)
    engine.arm(request())
    engine.inject("run-1")
    toy.engine(limits=limit).inject("run-1")
    taken = list(toy.ledger.records(kinds=[RecordKind.NIGHT_COUNTED]))
    assert len(taken) == 1


def test_two_runs_that_take_the_last_number_at_once_do_not_both_get_it(toy: ToyProject) -> None:
    limit = told(experiments_per_night=1)
    plans = [toy.engine(limits=limit).plan(request(name)) for name in ("one", "two")]

    class Slow(MemoryLedger):
        """Another run takes the number between the look and the writing."""

        raced = False

        def append(self, record: Any) -> Any:
            if not self.raced:
                self.raced = True
                count(plans[1], limit, toy.ledger, toy.clock, Recorder())
            return toy.ledger.append(record)

        def records(self, **asked: Any) -> Any:
            return toy.ledger.records(**asked)

    with pytest.raises(GuardTripped, match="1 runs have injected"):
        count(plans[0], limit, Slow(toy.clock), toy.clock, Recorder())
    assert len(list(toy.ledger.records(kinds=[RecordKind.NIGHT_COUNTED]))) == 1


# --- minutes ------------------------------------------------------------------------------------------------------


def injected_for(toy: ToyProject, seconds: float, run: str) -> None:
    engine = toy.engine()
    engine.arm(request(run))
    engine.inject(run)
    toy.clock.advance(seconds)
    engine.revert(run)
    toy.ledger.release(run)


def test_minutes_are_those_in_which_anything_was_in(toy: ToyProject) -> None:
    injected_for(toy, 120, "one")
    toy.clock.advance(600)
    toy.ledger.beat("sweeper")
    injected_for(toy, 60, "two")
    assert minutes_in(toy.ledger, night(toy)) == pytest.approx(3)
    assert minutes_in(toy.ledger, night(toy), environment="lab", target="toy") == pytest.approx(3)
    assert minutes_in(toy.ledger, night(toy), environment="staging") == 0
    assert minutes_in(toy.ledger, night(toy), target="other") == 0


def test_what_is_still_in_counts_until_now_and_what_never_was_does_not(toy: ToyProject) -> None:
    toy.engine().arm(request("armed-only"))
    toy.engine().revert("armed-only")
    toy.ledger.release("armed-only")
    assert minutes_in(toy.ledger, night(toy)) == 0
    engine = toy.engine()
    engine.arm(request("open"))
    engine.inject("open")
    toy.clock.advance(90)
    assert minutes_in(toy.ledger, night(toy)) == pytest.approx(1.5)


def test_what_has_been_in_for_days_is_in_tonight_too(toy: ToyProject) -> None:
    """A fault that nobody could take out for three days uses up the minutes of each night."""
    engine = toy.engine()
    engine.arm(request("stuck"))
    engine.inject("stuck")
    toy.clock.advance(3 * 24 * 3600)
    tonight = night(toy)
    since = (tonight.now - tonight.begins).total_seconds() / 60
    assert since > 0
    assert minutes_in(toy.ledger, tonight, environment="lab", target="toy") == pytest.approx(since)


def test_what_was_abandoned_is_in_no_more(toy: ToyProject) -> None:
    engine = toy.engine()
    engine.arm(request("lost"))
    engine.inject("lost")
    toy.clock.advance(60)
    toy.fault.trouble["revert"] = RevertError("its place is gone")
    with pytest.raises(RevertError):
        engine.revert("lost")
    toy.clock.advance(60)
    Abandoning(toy.ledger, toy.clock, toy.sweeper(), Recorder(), ApprovalPolicy()).abandon(
        "lost/write", by="kim", reason="the bucket was deleted"
    )
    toy.clock.advance(600)
    assert minutes_in(toy.ledger, night(toy), environment="lab") == pytest.approx(2)


def test_minutes_at_once_count_once_and_those_before_the_night_not_at_all() -> None:
    begins = datetime(2026, 11, 23, 12, tzinfo=UTC)
    spans = [Span(begins + timedelta(minutes=a), begins + timedelta(minutes=b)) for a, b in ((0, 5), (3, 8), (9, 10))]
    assert [one.end - one.start for one in merged(spans)] == [timedelta(minutes=8), timedelta(minutes=1)]
    cut = list(
        limits._cut(
            begins - timedelta(hours=1), begins + timedelta(minutes=2), Night(begins, begins + timedelta(hours=1))
        )
    )
    assert cut == [Span(begins, begins + timedelta(minutes=2))]


def test_a_night_whose_minutes_are_used_up_injects_no_more_and_stops_what_is_in(toy: ToyProject) -> None:
    limit = told(environments={"lab": {"injected_minutes_per_night": 2}})
    injected_for(toy, 121, "one")
    toy.ledger.beat("sweeper")
    with pytest.raises(GuardTripped, match=r"faults were in for 2\.0 min .* limit of environment lab is 2 min"):
        toy.engine(limits=limit).run(request("two"))
    plan = toy.engine().plan(request("three"))
    with pytest.raises(GuardTripped, match="2 min"):
        limits.check_running(plan, limit, toy.ledger)


# --- shares, risk, slots ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"share": 0.4}, "may touch 50% of data; everything allows 40%"),
        ({"targets": {"toy": {"share": 0.4}}}, "target toy allows 40%"),
        ({"share": 0.4, "targets": {"toy": {"share": 1.0}}}, "everything allows 40%"),
        ({"experiments_per_night": 0}, "0 runs have injected"),
        ({"injected_minutes_per_night": 0}, "limit of everything is 0 min"),
    ],
)
def test_the_narrowest_limit_counts(toy: ToyProject, changes: dict[str, Any], why: str) -> None:
    with pytest.raises(GuardTripped, match=why) as caught:
        toy.engine(limits=told(**changes)).run(request())
    assert caught.value.remedy


def test_a_class_of_risk_that_is_too_high_is_refused(toy: ToyProject) -> None:
    toy.fault.reversibility = Reversibility.IRREVERSIBLE  # type: ignore[misc]
    plan = toy.engine().plan(request())
    with pytest.raises(GuardTripped, match=r"is of risk high \(it cannot be undone.*everything allows medium"):
        check(plan, told(max_risk=Risk.MEDIUM), toy.ledger)
    check(plan, told(max_risk=Risk.HIGH), toy.ledger)


INVENTORY = {"a": "lab", "b": "lab", "c": "lab", "d": "staging"}


def test_targets_share_the_slots_evenly() -> None:
    limit = told(hurt_at_once=2, environments={"lab": {"hurt_at_once": 1}})
    keys = {name: [lock.key for lock in slots(limit, INVENTORY, name)] for name in INVENTORY}
    assert keys["a"] == ["slot:everything/0", "slot:environment lab/0"]
    assert keys["b"] == ["slot:everything/1", "slot:environment lab/0"]
    assert keys["d"] == ["slot:everything/1"]
    assert all(isinstance(lock, Lock) and lock.exclusive for lock in slots(limit, INVENTORY, "a"))


def test_a_slot_that_is_taken_is_waited_for_like_any_lock(toy: ToyProject) -> None:
    limit = told(hurt_at_once=1)
    toy.engine(limits=limit).arm(request("one"))
    with pytest.raises(GuardTripped, match=r"slot:everything/0|experiment:toy"):
        toy.engine(limits=limit).arm(request("two"))


def test_hurt_at_once_counts_targets() -> None:
    with pytest.raises(ValueError, match="counts targets"):
        told(targets={"toy": {"hurt_at_once": 1}})


class Deaf(MemoryLedger):
    """A ledger that cannot be read."""

    def records(self, **asked: Any) -> Any:
        """It fails."""
        raise LedgerError("down", remedy="bring it up")


@pytest.mark.parametrize("act", [lambda p, m, d, c: check(p, m, d), lambda p, m, d, c: count(p, m, d, c, Recorder())])
def test_what_cannot_be_counted_is_refused(toy: ToyProject, act: Callable[..., None]) -> None:
    plan = toy.engine().plan(request())
    with pytest.raises(GuardTripped, match="limits cannot be counted: down"):
        act(plan, told(experiments_per_night=5), Deaf(toy.clock), toy.clock)
