"""What a document says about who allowed a run, and about incidents: from the records, through the engine."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from chaos_tasks.approving import incidents
from chaos_tasks.errors import GuardTripped, LedgerError
from chaos_tasks.evidence import controls
from chaos_tasks.evidence.answers import first_page
from chaos_tasks.evidence.body import Body, LogHead, Scope
from chaos_tasks.evidence.gathering import gather
from chaos_tasks.model.plan import Recorder
from chaos_tasks.model.record import RecordKind
from chaos_tasks.model.verdict import Outcome
from tests.unit import toy_project
from tests.unit.approving.test_desk import FOUR_EYES, STANDING, asked, proposed, scope, yes
from tests.unit.toy_project import ToyProject, request


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ToyProject:
    project = ToyProject(tmp_path / "home")
    toy_project.register(monkeypatch, project.fault)
    return project


def body(toy: ToyProject) -> Body:
    now = toy.ledger.now()
    return gather(
        toy.ledger.records(),
        Scope(since=now - timedelta(days=1), until=now + timedelta(days=1)),
        title="Today",
        issued_at=now,
        log=LogHead(origin="tests", size=1, root_sha256="0" * 64),
        table=controls.shipped(),
        squall_version="0",
        registered=("toy.word",),
    )


def who_allowed(found: Body) -> str:
    return " ".join(next(one for one in first_page(found) if one.question == "Who allowed it?").sentences)


def test_a_run_names_the_second_person_and_the_records_of_approval_and_permit(toy: ToyProject) -> None:
    engine = toy.engine(**FOUR_EYES)
    asked(engine)
    decided = engine.approvals.answer("run-1", yes(toy))
    engine.run(proposed())
    (one,) = body(toy).tested
    permit = next(stored.seq for stored in toy.ledger.records(kinds=[RecordKind.PERMIT_ISSUED]))
    assert (one.allowed.kind, one.allowed.by, one.allowed.seq) == ("person", "ana", decided.seq)
    assert one.allowed.permit_seq == permit
    assert "approved by a second person each: ana" in who_allowed(body(toy))


def test_a_run_names_the_standing_approval_that_it_rests_on(toy: ToyProject) -> None:
    engine = toy.engine(**STANDING)
    granted = engine.approvals.grant(scope(toy), by="ana", via="tests", reason="the nights")
    engine.run(proposed())
    (one,) = body(toy).tested
    assert (one.allowed.kind, one.allowed.by, one.allowed.seq) == ("standing", "ana", granted.seq)


def test_a_run_that_nobody_allowed_says_so_and_one_that_needed_nothing_too(toy: ToyProject) -> None:
    toy.engine(**FOUR_EYES).run(proposed())
    toy.engine().run(request("run-2"))
    assert [one.allowed.kind for one in body(toy).tested] == ["withheld", "none"]
    assert "did not have it, and so put nothing in" in who_allowed(body(toy))


def test_an_undo_that_fails_opens_an_incident_that_a_person_closes_once_it_is_out(toy: ToyProject) -> None:
    toy.fault.trouble["revert"] = OSError("the disk is gone")
    assert toy.engine().run(request()).outcome is Outcome.UNREVERTED
    (opened,) = incidents.known(toy.ledger)
    assert (opened.run_id, opened.closed) == ("run-1", None)
    assert "the disk is gone" in opened.opened.what
    with pytest.raises(GuardTripped, match="not contained"):
        incidents.close(opened.opened.incident_id, toy.ledger, toy.clock, Recorder(), by="ana@host", note="")
    assert body(toy).incidents[0].contained_at is None

    toy.fault.trouble.clear()
    toy.sweeper().run("run-1", by="person")
    note = "the disk was full; a quota is set now"
    incidents.close(opened.opened.incident_id, toy.ledger, toy.clock, Recorder(), by="ana@host", note=note)
    (told,) = body(toy).incidents
    assert (told.incident_id, told.closed_by, told.note) == (opened.opened.incident_id, "ana@host", note)
    assert told.contained_at is not None
    with pytest.raises(GuardTripped, match="closed already"):
        incidents.close(opened.opened.incident_id, toy.ledger, toy.clock, Recorder(), by="x", note="y")
    with pytest.raises(LedgerError, match="no incident"):
        incidents.close("INC-9999", toy.ledger, toy.clock, Recorder(), by="x", note="y")


def test_the_same_cause_opens_one_incident_however_often_it_is_looked_at(toy: ToyProject) -> None:
    toy.fault.trouble["revert"] = OSError("the disk is gone")
    toy.engine().run(request())
    for _ in range(3):
        incidents.open_those_of("run-1", toy.ledger, toy.clock, Recorder())
    assert len(incidents.known(toy.ledger)) == 1


def test_a_run_that_goes_well_opens_none(toy: ToyProject) -> None:
    toy.engine().run(request())
    assert incidents.known(toy.ledger) == []
