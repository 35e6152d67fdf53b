"""A fault whose place is gone: a person answers for it, on record, and only then its target is free."""

from __future__ import annotations

from pathlib import Path

import pytest

from chaos_tasks.abandoning import Abandoning
from chaos_tasks.errors import GuardTripped, LedgerError, NotPermitted
from chaos_tasks.model.consent import ApprovalPolicy
from chaos_tasks.model.handle import Phase
from chaos_tasks.model.plan import Recorder
from chaos_tasks.model.record import Note, RecordKind
from chaos_tasks.model.verdict import Outcome
from chaos_tasks.runs import Run
from tests.unit.toy_project import ToyProject, register, request

RUN, HANDLE = "run-1", "run-1/write"
GONE = ValueError("the place is gone")


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ToyProject:
    """A run whose fault cannot be put back."""
    project = ToyProject(tmp_path / "home")
    register(monkeypatch, project.fault)
    project.fault.trouble["revert"] = GONE
    assert project.engine().run(request()).outcome is Outcome.UNREVERTED
    return project


def abandoning(toy: ToyProject, policy: ApprovalPolicy | None = None) -> Abandoning:
    return Abandoning(toy.ledger, toy.clock, toy.sweeper(), Recorder(), policy or ApprovalPolicy())


def phase(toy: ToyProject) -> Phase:
    (state,) = toy.ledger.handles(run_id=RUN)
    return state.phase


def test_a_handle_that_was_given_up_blocks_nobody_and_is_on_record(toy: ToyProject) -> None:
    said = abandoning(toy).abandon(HANDLE, by="ana@host", reason="the lab was made anew")
    assert said.closed
    assert phase(toy) is Phase.ABANDONED
    (stored,) = Run(toy.ledger, RUN).stored(RecordKind.HANDLE_ABANDONED)
    assert isinstance(stored.record.payload, Note)
    assert stored.record.payload.text == "the lab was made anew"
    assert stored.record.payload.facts["by"] == "ana@host"
    assert stored.record.payload.facts["found"] == "not as before the fault"
    toy.clock.advance(10_000)
    assert toy.sweeper().sweep() == ()
    assert toy.sweeper().everything(by="person") == ()
    toy.fault.trouble.clear()
    toy.ledger.beat("sweeper")
    assert toy.engine(require_sweeper=False).run(request("run-2")).outcome is Outcome.HELD
    assert toy.engine().judge(RUN).outcome is Outcome.UNREVERTED  # the first verdict stands
    with pytest.raises(GuardTripped, match="abandoned already"):
        abandoning(toy).abandon(HANDLE, by="ana@host", reason="again")


def test_what_can_be_put_back_after_all_is(toy: ToyProject) -> None:
    toy.fault.trouble.clear()
    assert phase(toy) is Phase.UNREVERTED
    said = abandoning(toy).abandon(HANDLE, by="ana@host", reason="gone")
    assert said.summary.startswith("put back after all")
    assert phase(toy) is Phase.REVERTED
    assert Run(toy.ledger, RUN).stored(RecordKind.HANDLE_ABANDONED) == []


def test_where_two_have_to_agree_the_second_is_assigned_and_another(toy: ToyProject) -> None:
    policy = ApprovalPolicy.model_validate({"environments": {"lab": {"people": ["ana@host", "bob@host"]}}})
    first = abandoning(toy, policy).abandon(HANDLE, by="ana@host", reason="the lab was made anew")
    assert (first.closed, phase(toy)) == (False, Phase.UNREVERTED)
    for who in ("ana@host", "ana@elsewhere", "eve@host"):
        with pytest.raises(NotPermitted):
            abandoning(toy, policy).abandon(HANDLE, by=who, reason="me too")
    assert phase(toy) is Phase.UNREVERTED
    assert abandoning(toy, policy).abandon(HANDLE, by="bob@host", reason="I looked too").closed
    (stored,) = Run(toy.ledger, RUN).stored(RecordKind.HANDLE_ABANDONED)
    assert isinstance(stored.record.payload, Note)
    assert (stored.record.payload.facts["by"], stored.record.payload.facts["asked_by"]) == ("bob@host", "ana@host")


def test_nobody_gives_up_what_nobody_has_failed_to_revert(toy: ToyProject) -> None:
    toy.fault.trouble.clear()
    abandoning(toy).abandon(HANDLE, by="ana@host", reason="gone")
    engine = toy.engine(require_sweeper=False)
    engine.arm(request("run-2"))
    engine.inject("run-2")
    with pytest.raises(GuardTripped, match="nobody has failed to revert it"):
        abandoning(toy).abandon("run-2/write", by="ana@host", reason="impatience")
    with pytest.raises(LedgerError, match="no handle"):
        abandoning(toy).abandon("run-3/write", by="ana@host", reason="a slip")


def test_what_is_tried_again_and_again_is_one_incident(toy: ToyProject) -> None:
    """A person has to close each of them: a night with a stuck handle must not leave hundreds."""
    for _ in range(5):
        toy.clock.advance(1000)
        toy.sweeper().sweep()
    assert len(Run(toy.ledger, RUN).stored(RecordKind.REVERT_FAILED)) > 3
    assert len(Run(toy.ledger, RUN).stored(RecordKind.INCIDENT_OPENED)) == 1
