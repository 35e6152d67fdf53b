"""What a promotion may rest on: the last answer of an experiment as it is written, and no other."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from chaos_tasks.answers import answer_of, latest, require_good
from chaos_tasks.errors import GuardTripped, LedgerError
from chaos_tasks.model.plan import Overrides, Plan
from chaos_tasks.model.record import Judged, Record, RecordKind, Registered
from chaos_tasks.model.verdict import Outcome, Response, Verdict
from chaos_tasks.ports import Ledger
from chaos_tasks.testing.clock import FakeClock
from chaos_tasks.testing.memory_ledger import MemoryLedger
from squall_operators.assets import tell, verdict_alias, verdict_asset
from tests import permit_samples

WEEK = timedelta(days=7)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def ledger(clock: FakeClock) -> MemoryLedger:
    return MemoryLedger(clock)


def judged(ledger: Ledger, run_id: str, outcome: Outcome, **plan_fields: Any) -> Plan:
    """A run with its plan and its verdict on record."""
    plan = permit_samples.plan_of(run_id).model_copy(update=plan_fields)
    digest, name = plan.content_sha256, plan.experiment.name
    permit_samples.say(
        ledger,
        run_id,
        RecordKind.EXPERIMENT_REGISTERED,
        Registered(plan=plan, plan_sha256=digest),
        digest=digest,
    )
    verdict = Verdict(
        run_id=run_id, experiment=name, outcome=outcome, response=Response.MASKED, checks=(), decided_at=ledger.now()
    )
    ledger.append(
        Record(
            kind=RecordKind.EVALUATE_VERDICT,
            idem_key=f"{run_id}/verdict",
            occurred_at=ledger.now(),
            run_id=run_id,
            experiment=name,
            plan_sha256=digest,
            outcome=outcome,
            payload=Judged(verdict=verdict),
        )
    )
    return plan


def test_the_answer_names_the_record_that_holds_the_verdict(ledger: MemoryLedger) -> None:
    plan = judged(ledger, "one", Outcome.HELD)
    answer = answer_of(ledger, "one")
    (stored,) = ledger.records(run_id="one", kinds=[RecordKind.EVALUATE_VERDICT])
    assert (answer.record_seq, answer.record_sha256) == (stored.seq, stored.leaf_sha256)
    assert (answer.target, answer.experiment, answer.plan_sha256) == ("toy", "tidy", plan.content_sha256)
    assert answer.good
    assert answer.as_written
    with pytest.raises(LedgerError, match="has no verdict"):
        answer_of(ledger, "two")


def test_a_deviation_after_a_run_that_held_takes_the_promotion_back(ledger: MemoryLedger) -> None:
    judged(ledger, "one", Outcome.HELD)
    since = ledger.now() - WEEK
    assert require_good(ledger, "toy", "tidy", since=since).run_id == "one"
    judged(ledger, "two", Outcome.DEVIATED)
    with pytest.raises(GuardTripped, match=r"tidy on toy is deviated \(masked\) by run two"):
        require_good(ledger, "toy", "tidy", since=since)


@pytest.mark.parametrize("changed", [{"overrides": Overrides(intensity=0.01)}, {"search_id": "ramp-1"}])
def test_a_run_of_something_else_is_no_answer_to_what_the_file_asks(
    ledger: MemoryLedger, changed: dict[str, Any]
) -> None:
    judged(ledger, "one", Outcome.DEVIATED)
    judged(ledger, "two", Outcome.HELD, **changed)
    last = latest(ledger, "toy", "tidy", since=ledger.now() - WEEK)
    assert last is not None
    assert last.run_id == "one"
    told: dict[str, Any] = {"outlet_events": {}}
    assert not tell(answer_of(ledger, "two"), [verdict_alias("toy", "tidy")], told)


def test_an_answer_that_is_too_old_is_none(ledger: MemoryLedger, clock: FakeClock) -> None:
    judged(ledger, "one", Outcome.HELD)
    clock.sleep(8 * 86_400)
    with pytest.raises(GuardTripped, match="tidy on toy has no verdict since"):
        require_good(ledger, "toy", "tidy", since=ledger.now() - WEEK)
    with pytest.raises(GuardTripped, match="tidy on other has no verdict"):
        require_good(ledger, "other", "tidy", since=ledger.now() - 2 * WEEK)


def test_name_and_uri_of_the_asset_are_the_same_text() -> None:
    asset = verdict_asset("flights", "label-flip")
    assert asset.name == asset.uri == "squall://verdict/flights/label-flip"
