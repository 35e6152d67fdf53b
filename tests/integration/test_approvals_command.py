"""`squall approvals` and `squall run` where a second person has to agree, from outside and without Airflow."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator

import pytest

from chaos_tasks.model.record import RecordKind
from tests.system import guarded_target
from tests.tiny import LOG_ITSELF, Said, Tiny, make_tiny

ANA = f"ana@{socket.gethostname()}"
WHY = ("--reason", "looked at it")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tiny]:
    tiny = make_tiny(tmp_path_factory.mktemp("tiny") / "project")
    guarded_target.prepare(tiny.project, person=ANA)
    yield tiny
    tiny.clean_up()


@pytest.fixture
def tiny(built: Tiny) -> Iterator[Tiny]:
    with built.lent():
        yield built


def as_ana(tiny: Tiny, *arguments: str) -> Said:
    return tiny.squall(*arguments, LOGNAME="ana")


def run(tiny: Tiny, run_id: str, *more: str) -> Said:
    """Rita asks."""
    file = tiny.experiment("guarded-by-hand", target="tiny-live")
    return tiny.squall("run", file, "--run-id", run_id, "--quiet", *more, LOGNAME="rita")


def digest(tiny: Tiny, run_id: str) -> str:
    shown = tiny.squall("approvals", "show", run_id)
    assert shown.code == 0, shown.text
    found = re.search(r"plan `([0-9a-f]{64})`", shown.out)
    assert found is not None, shown.out
    return found[1]


def kinds(tiny: Tiny, run_id: str) -> list[RecordKind]:
    with tiny.ledger() as ledger:
        return [stored.record.kind for stored in ledger.records(run_id=run_id)]


def test_a_run_waits_is_looked_at_and_goes_on_once_it_is_approved(tiny: Tiny) -> None:
    waits = run(tiny, "asks")
    assert waits.code == 4
    assert "run asks waits for an approval" in waits.err
    assert "asks" in tiny.squall("approvals", "list").out
    shown = tiny.squall("approvals", "show", "asks").out
    assert "tiny.mark" in shown
    assert "asked for by user:rita@" in shown
    plan = digest(tiny, "asks")

    refused = tiny.squall("approvals", "approve", "asks", "--plan", plan, *WHY, LOGNAME="rita")
    assert refused.code == 4
    assert "is not assigned" in refused.err
    wrong = as_ana(tiny, "approvals", "approve", "asks", "--plan", "0" * 64, *WHY)
    assert wrong.code == 4
    assert "not the plan" in wrong.err
    assert RecordKind.PERMIT_ISSUED not in kinds(tiny, "asks")

    approved = as_ana(tiny, "approvals", "approve", "asks", "--plan", plan, *WHY)
    assert approved.code == 0, approved.text
    done = run(tiny, "asks")
    assert done.code == 0, done.text
    assert RecordKind.PERMIT_CONSUMED in kinds(tiny, "asks")
    assert "its permit is used up" in tiny.squall("approvals", "show", "asks").out
    late = as_ana(tiny, "approvals", "revoke", "asks", *WHY)
    assert late.code == 4
    assert "used up" in late.err
    verified = tiny.squall("audit", "verify", *LOG_ITSELF)
    assert verified.code == 0, verified.text


def test_a_rejected_run_does_not_go_on(tiny: Tiny) -> None:
    assert run(tiny, "unwanted").code == 4
    assert as_ana(tiny, "approvals", "reject", "unwanted", *WHY).code == 0
    again = run(tiny, "unwanted")
    assert again.code == 4
    assert "was not approved" in again.err
    assert RecordKind.TRIAL_STARTED not in kinds(tiny, "unwanted")


def test_who_asked_may_not_agree_even_when_assigned(tiny: Tiny) -> None:
    file = tiny.experiment("guarded-by-hand", target="tiny-live")
    assert tiny.squall("run", file, "--run-id", "own", "--quiet", LOGNAME="ana").code == 4
    said = as_ana(tiny, "approvals", "approve", "own", "--plan", digest(tiny, "own"), *WHY)
    assert said.code == 4
    assert "may not approve it too" in said.err


def test_a_standing_approval_is_granted_shown_and_revoked(tiny: Tiny) -> None:
    scope = ("--environment", "production", "--target", "tiny-live", "--family", "tiny", "--until", "2027-06-30")
    refused = tiny.squall("approvals", "grant", *scope, *WHY, LOGNAME="rita")
    assert refused.code == 4
    granted = as_ana(tiny, "approvals", "grant", *scope, *WHY)
    assert granted.code == 0, granted.text
    number = re.search(r"record (\d+)", granted.out)
    assert number is not None
    assert f"tiny on tiny-live in production, risk low at most, by {ANA}" in tiny.squall("approvals", "list").out
    assert as_ana(tiny, "approvals", "revoke", number[1], *WHY).code == 0
    assert "standing" not in tiny.squall("approvals", "list").out


def test_no_incident_is_said_and_an_unknown_one_refused(tiny: Tiny) -> None:
    assert tiny.squall("incidents", "list").out.strip() == "no open incident"
    assert "there is no incident INC-1" in tiny.squall("incidents", "close", "INC-1", "--note", "x").err
