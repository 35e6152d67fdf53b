"""Who may agree to what, and that nothing is put in without: the engine on a toy target in production."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chaos_tasks.approving.desk import Answer, ApprovalDesk
from chaos_tasks.approving.story import Story, waiting
from chaos_tasks.engine import Engine
from chaos_tasks.errors import GuardTripped, IdempotencyConflict, NotPermitted, SetupError
from chaos_tasks.model.consent import ApprovalDecided, Consent, Decision, OverrideUsed, PermitConsumed, Scope
from chaos_tasks.model.experiment import Risk
from chaos_tasks.model.plan import Overrides
from chaos_tasks.model.record import RecordKind
from chaos_tasks.model.verdict import Outcome
from chaos_tasks.settings import TargetEntry
from chaos_tasks.testing.clock import FakeClock
from chaos_tasks.testing.memory_ledger import MemoryLedger
from tests.permit_samples import answer, arm, inject, permit, register
from tests.unit import toy_project
from tests.unit.toy_project import ToyProject, ToyWorkspaces, request

PRODUCTION: dict[str, Any] = {
    "environments": ("production",),
    "targets": {
        "toy": TargetEntry(
            file="toy.yaml",
            environment="production",
            disposable=True,
            families=("toy",),
            identities=toy_project.one_user("toy"),
        )
    },
}
FOUR_EYES: dict[str, Any] = {
    **PRODUCTION,
    "approvals": {"environments": {"production": {"low": "four_eyes", "people": ["ana", "otto", "rita"]}}},
}
STANDING: dict[str, Any] = {**PRODUCTION, "approvals": {"environments": {"production": {"people": ["ana"]}}}}
HOUR = timedelta(hours=1)


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ToyProject:
    """A toy target that is in production."""
    project = ToyProject(tmp_path / "home")
    toy_project.register(monkeypatch, project.fault)
    return project


def asked(engine: Engine, run_id: str = "run-1", **changes: Any) -> None:
    """Rita asks for an experiment that Otto owns."""
    told = request(run_id, owner="otto", **changes).model_copy(update={"requested_by": "user:rita"})
    engine.propose(told)


def yes(toy: ToyProject, by: str = "ana", **more: Any) -> Answer:
    return Answer(**{"decision": Decision.APPROVE, "by": by, "via": "tests", "at": toy.ledger.now(), **more})


def proposed(**changes: Any) -> Any:
    return request(owner="otto", **changes).model_copy(update={"requested_by": "user:rita"})


def test_what_was_approved_by_a_second_person_runs_and_says_so(toy: ToyProject) -> None:
    engine = toy.engine(**FOUR_EYES)
    asked(engine)
    assert [story.run_id for story in waiting(toy.ledger)] == ["run-1"]
    engine.approvals.answer("run-1", yes(toy))
    assert waiting(toy.ledger) == []
    assert engine.run(proposed()).outcome is Outcome.HELD
    kinds = toy.kinds()
    order = [
        RecordKind.EXPERIMENT_REGISTERED,
        RecordKind.APPROVAL_REQUESTED,
        RecordKind.APPROVAL_DECIDED,
        RecordKind.PERMIT_ISSUED,
        RecordKind.FAULT_ARMED,
        RecordKind.PERMIT_CONSUMED,
        RecordKind.INJECT_INTENT,
    ]
    assert [kind for kind in kinds if kind in order] == order


def test_a_run_whose_first_try_was_refused_is_waited_for_once_a_later_one_has_asked(
    toy: ToyProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = toy.engine(**FOUR_EYES)

    def away(self: ToyWorkspaces, target: object) -> None:
        raise SetupError("the repository is away")

    with monkeypatch.context() as patch:
        patch.setattr(ToyWorkspaces, "resolve", away)
        with pytest.raises(SetupError):
            asked(engine)
    assert toy.kinds() == [RecordKind.RUN_REFUSED]
    asked(engine)
    assert [story.run_id for story in waiting(toy.ledger)] == ["run-1"]
    engine.approvals.answer("run-1", yes(toy))
    assert engine.run(proposed()).outcome is Outcome.HELD


def test_without_an_approval_controls_run_and_the_fault_does_not(toy: ToyProject) -> None:
    verdict = toy.engine(**FOUR_EYES).run(proposed())
    assert verdict.outcome is Outcome.ABORTED
    assert "has no permit" in verdict.sentence
    assert RecordKind.INJECT_INTENT not in toy.kinds()
    assert RecordKind.TRIAL_ENDED in toy.kinds()


@pytest.mark.parametrize(
    ("by", "why"),
    [("rita", "asked for run"), ("otto", "owns experiment"), ("mallory", "not assigned"), ("", "not assigned")],
)
def test_who_asked_owns_or_is_not_assigned_may_not_approve(toy: ToyProject, by: str, why: str) -> None:
    engine = toy.engine(**FOUR_EYES)
    asked(engine)
    with pytest.raises(NotPermitted, match=why):
        engine.approvals.answer("run-1", yes(toy, by))
    story = Story.of(toy.ledger, "run-1")
    assert [said.decision for _, said in story.decisions] == [Decision.INVALID]
    assert (story.permits, story.answer) == ((), None)
    engine.approvals.answer("run-1", yes(toy))  # an answer that does not count takes nothing from one that does
    assert engine.run(proposed()).outcome is Outcome.HELD


def test_a_further_name_of_who_asked_may_not_approve_either(toy: ToyProject) -> None:
    engine = toy.engine(**FOUR_EYES)
    asked(engine)
    with pytest.raises(NotPermitted, match="asked for run"):
        engine.approvals.answer("run-1", yes(toy, asked_by=("Ana",)))


@pytest.mark.parametrize(("age", "why"), [(timedelta(days=-2), "is dated"), (HOUR, "is dated")])
def test_an_approval_from_before_the_request_or_from_the_future_is_refused(
    toy: ToyProject, age: timedelta, why: str
) -> None:
    engine = toy.engine(**FOUR_EYES)
    asked(engine)
    with pytest.raises(NotPermitted, match=why):
        engine.approvals.answer("run-1", yes(toy, at=toy.ledger.now() + age))


@pytest.mark.parametrize("ahead", [HOUR, -HOUR], ids=str)
def test_when_a_request_was_made_is_told_by_the_ledgers_clock(toy: ToyProject, ahead: timedelta) -> None:
    engine = toy.engine(**FOUR_EYES)
    toy.ledger.clock = FakeClock(toy.clock.now() - ahead)
    toy.ledger.beat("sweeper")
    asked(engine)
    with pytest.raises(NotPermitted, match="is dated"):
        engine.approvals.answer("run-1", yes(toy, at=toy.ledger.now() - timedelta(minutes=2)))
    engine.approvals.answer("run-1", yes(toy))


def test_an_approval_that_nobody_acted_on_for_hours_is_refused(toy: ToyProject) -> None:
    engine = toy.engine(**FOUR_EYES)
    asked(engine)
    said = yes(toy)
    toy.clock.advance(4 * 3600)
    with pytest.raises(NotPermitted, match="older than 4h"):
        engine.approvals.answer("run-1", said)
    engine.approvals.answer("run-1", yes(toy))
    toy.clock.advance(4 * 3600)
    toy.ledger.beat("sweeper")
    assert engine.run(proposed()).outcome is Outcome.ABORTED
    assert RecordKind.INJECT_INTENT not in toy.kinds()


def test_an_answer_to_another_plan_is_refused(toy: ToyProject) -> None:
    engine = toy.engine(**FOUR_EYES)
    asked(engine)
    with pytest.raises(NotPermitted, match="not the plan"):
        engine.approvals.answer("run-1", yes(toy), plan_sha256="0" * 64)


def test_nobody_answers_for_who_was_too_late(toy: ToyProject) -> None:
    engine = toy.engine(**FOUR_EYES)
    asked(engine)
    toy.clock.advance(13 * 3600)
    with pytest.raises(NotPermitted, match="in time"):
        engine.approvals.answer("run-1", yes(toy))


@pytest.mark.parametrize("decision", [Decision.REJECT, Decision.EXPIRE])
def test_a_no_ends_the_run(toy: ToyProject, decision: Decision) -> None:
    engine = toy.engine(**FOUR_EYES)
    asked(engine)
    engine.approvals.answer("run-1", yes(toy, decision=decision))
    assert toy.kinds()[-1] is RecordKind.RUN_REFUSED
    with pytest.raises(GuardTripped, match="is over"):
        engine.approvals.answer("run-1", yes(toy))


def test_an_edited_experiment_is_not_what_was_approved(toy: ToyProject) -> None:
    engine = toy.engine(**FOUR_EYES)
    asked(engine)
    engine.approvals.answer("run-1", yes(toy))
    with pytest.raises(NotPermitted, match="was edited"):
        engine.arm(proposed(analysis={"seeds": 5, "base_seed": 1}))


def test_an_approval_that_is_withdrawn_under_way_stops_the_injection(toy: ToyProject) -> None:
    engine = toy.engine(**FOUR_EYES)
    asked(engine)
    engine.approvals.answer("run-1", yes(toy))
    engine.arm(proposed())
    engine.baseline("run-1")
    engine.approvals.withdraw("run-1", by="ana", via="tests", reason="not tonight")
    with pytest.raises(NotPermitted, match="revoke"):
        engine.inject("run-1")
    assert toy.word() == toy_project.HEALTHY
    engine.revert("run-1")
    assert engine.judge("run-1").outcome is Outcome.ABORTED


def test_who_is_no_longer_assigned_has_not_approved(toy: ToyProject) -> None:
    engine = toy.engine(**FOUR_EYES)
    asked(engine)
    engine.approvals.answer("run-1", yes(toy))
    engine.arm(proposed())
    later = {**FOUR_EYES, "approvals": {"environments": {"production": {"low": "four_eyes", "people": ["otto"]}}}}
    with pytest.raises(NotPermitted, match="not assigned"):
        toy.engine(**later).inject("run-1")


def test_a_policy_that_became_stricter_refuses_what_was_planned_before(toy: ToyProject) -> None:
    engine = toy.engine(**STANDING)
    engine.approvals.grant(scope(toy), by="ana", via="tests", reason="the nights")
    engine.arm(proposed())
    with pytest.raises(NotPermitted, match="by the policy of now it needs four_eyes"):
        toy.engine(**FOUR_EYES).inject("run-1")


def scope(toy: ToyProject, **changes: Any) -> Scope:
    told = {
        "environments": ("production",),
        "targets": ("toy",),
        "families": ("toy",),
        "expires_at": toy.ledger.now() + 24 * HOUR,
    }
    return Scope.model_validate({**told, **changes})


def test_a_standing_approval_lets_every_run_that_it_covers_through_until_it_is_revoked(toy: ToyProject) -> None:
    engine = toy.engine(**STANDING)
    granted = engine.approvals.grant(scope(toy), by="ana", via="tests", reason="the nights")
    for name in ("run-1", "run-2"):
        told = proposed().model_copy(update={"run_id": name})
        assert toy.engine(**STANDING).run(told).outcome is Outcome.HELD
        used = [one.record.payload for one in toy.ledger.records(run_id=name, kinds=[RecordKind.PERMIT_CONSUMED])]
        assert [one.approval_seq for one in used if isinstance(one, PermitConsumed)] == [granted.seq]
    engine.approvals.revoke(granted.seq, by="rita", via="tests", reason="enough")
    with pytest.raises(NotPermitted, match="no standing approval covers"):
        toy.engine(**STANDING).run(proposed().model_copy(update={"run_id": "run-3"}))
    assert RecordKind.TRIAL_STARTED not in toy.kinds("run-3")


@pytest.mark.parametrize(
    "changes", [{"targets": ("other",)}, {"families": ("data",)}, {"environments": ("staging",)}, {"max_risk": "low"}]
)
def test_a_standing_approval_covers_nothing_else(toy: ToyProject, changes: dict[str, Any]) -> None:
    people = {"low": "standing", "medium": "standing", "people": ["ana"]}
    engine = toy.engine(**PRODUCTION, approvals={"environments": {"production": people, "staging": people}})
    engine.approvals.grant(scope(toy, **changes), by="ana", via="tests", reason="the nights")
    if "max_risk" in changes:
        toy.fault.reversibility = toy_project.Reversibility.SELF_HEALS  # type: ignore[misc]
    with pytest.raises(NotPermitted, match="no standing approval covers"):
        engine.arm(proposed())


def test_a_standing_approval_is_given_by_the_assigned_and_has_an_end(toy: ToyProject) -> None:
    engine = toy.engine(**STANDING)
    with pytest.raises(NotPermitted, match="not assigned"):
        engine.approvals.grant(scope(toy), by="rita", via="tests", reason="")
    with pytest.raises(GuardTripped, match="ends in the future"):
        engine.approvals.grant(scope(toy, expires_at=toy.ledger.now()), by="ana", via="tests", reason="")
    engine.approvals.grant(scope(toy, expires_at=toy.ledger.now() + HOUR), by="ana", via="tests", reason="")
    toy.clock.advance(3600)
    toy.ledger.beat("sweeper")
    with pytest.raises(NotPermitted, match="no standing approval covers"):
        engine.arm(proposed())


def test_rehearsals_need_nobody_and_everything_else_the_default(toy: ToyProject) -> None:
    assert toy.engine().run(request("lab-run")).outcome is Outcome.HELD
    assert RecordKind.APPROVAL_REQUESTED not in toy.kinds("lab-run")
    need = toy.engine(**PRODUCTION).approvals.need(toy.engine(**PRODUCTION).plan(proposed()))
    assert (need.consent, need.risk, need.people) == (Consent.STANDING, Risk.LOW, ())


def test_passing_by_the_calendar_needs_a_second_person_and_is_on_record(toy: ToyProject) -> None:
    engine = toy.engine(**STANDING)
    told = proposed().model_copy(update={"overrides": Overrides(outside_window="drill with ops")})
    engine.propose(told)
    assert Story.of(toy.ledger, "run-1").consent is Consent.FOUR_EYES
    decided = engine.approvals.answer("run-1", yes(toy))
    assert engine.run(told).outcome is Outcome.HELD
    used = [one.record.payload for one in toy.ledger.records(kinds=[RecordKind.OVERRIDE_USED])]
    assert [
        (one.reason, one.requested_by, one.approved_by, one.approval_seq)
        for one in used
        if isinstance(one, OverrideUsed)
    ] == [("drill with ops", "user:rita", "ana", decided.seq)]


def test_no_name_of_a_person_is_in_a_header(toy: ToyProject) -> None:
    engine = toy.engine(**FOUR_EYES)
    asked(engine)
    engine.approvals.answer("run-1", yes(toy))
    engine.run(proposed())
    for stored in toy.ledger.records():
        header = stored.record.model_copy(update={"payload": None}).model_dump_json()
        assert not any(name in header for name in ("ana", "otto", "rita"))
    said = [one.record.payload for one in toy.ledger.records(kinds=[RecordKind.APPROVAL_DECIDED])]
    assert [one.by for one in said if isinstance(one, ApprovalDecided)] == ["ana"]


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("approve"), st.integers(0, 2), st.integers(0, 3)),
        st.tuples(st.just("no"), st.integers(0, 2), st.sampled_from([Decision.REJECT, Decision.REVOKE])),
        st.tuples(st.just("inject"), st.integers(0, 2), st.integers(0, 2)),
        st.tuples(st.just("wait"), st.integers(1, 200), st.just(0)),
    ),
    max_size=40,
)


@settings(max_examples=150, deadline=None)
@given(STEPS)
def test_in_any_order_no_nonce_is_used_twice_and_no_intent_comes_before_a_use(steps: list[Any]) -> None:
    ledger = MemoryLedger(FakeClock())
    plans = [register(ledger, f"r{n}") for n in range(3)]
    handles = {(n, m): arm(ledger, plans[n], f"h{m}") for n in range(3) for m in range(3)}
    for number, (what, first, second) in enumerate(steps):
        try:
            if what == "approve":
                permit(ledger, plans[first], answer(ledger, plans[first], key=str(number)), nonce=f"{second:032x}")
            elif what == "no":
                answer(ledger, plans[first], second, key=str(number))
            elif what == "wait":
                ledger.clock.sleep(first * 60)
            else:
                inject(ledger, plans[first], handles[first, second])
        except (NotPermitted, IdempotencyConflict):  # refused; or the same permit said with another approval
            continue
    uses = [one.record for one in ledger.records(kinds=[RecordKind.PERMIT_CONSUMED])]
    nonces = [use.payload.nonce for use in uses if isinstance(use.payload, PermitConsumed)]
    assert len(set(nonces)) == len(nonces)
    assert len({use.run_id for use in uses}) == len(uses)
    for stored in ledger.records(kinds=[RecordKind.INJECT_INTENT]):
        before = [one.record for one in ledger.records(run_id=stored.record.run_id) if one.seq < stored.seq]
        assert RecordKind.PERMIT_CONSUMED in [record.kind for record in before]


def test_the_desk_draws_another_nonce_each_time(toy: ToyProject) -> None:
    engine = toy.engine(**FOUR_EYES)
    for name in ("a", "b"):
        asked(engine, name)
        engine.approvals.answer(name, yes(toy))
    nonces = [one.nonce for name in ("a", "b") for _, one in Story.of(toy.ledger, name).permits]
    assert len(set(nonces)) == 2
    assert isinstance(engine.approvals, ApprovalDesk)
