"""`squall audit verify` decides a run's verdict again, and names it in a log that was rebuilt around an edit."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chaos_tasks.auditing.answers import Audit, Question, State
from chaos_tasks.auditing.reperformance import reperformance
from chaos_tasks.auditing.whole import Evidence, audit
from chaos_tasks.ledger import open_ledger
from chaos_tasks.model.record import Record, RecordKind, TrialEnd
from chaos_tasks.model.trial import Arm
from tests.tiny import LOG_ITSELF, Tiny, make_tiny

ASKED = ("--require", "re-performance", "--no-views")


@pytest.fixture
def tiny(tmp_path: Path) -> Iterator[Tiny]:
    (tmp_path / "project").mkdir()
    made = make_tiny(tmp_path / "project")
    yield made
    made.end_started()
    made.clean_up()


def rebuilt(tiny: Tiny, path: Path, edit: Any) -> Audit:
    """The whole log again, every hash right, with ``edit`` done to its records, and what an audit of it says."""
    with tiny.ledger() as ledger:
        records = [stored.record for stored in ledger.records()]
    forged = open_ledger(f"sqlite:///{path}")
    try:
        for record in records:
            forged.append(edit(record))
        return audit(forged, Evidence(again=reperformance))
    finally:
        forged.close()


def as_it_is(record: Record) -> Record:
    return record


def better(record: Record) -> Record:
    """Each treatment trial read as well as its control did."""
    end = record.payload
    if not isinstance(end, TrialEnd) or end.trial.arm is not Arm.TREATMENT:
        return record
    read = tuple(one.model_copy(update={"value": 0.9}) for one in end.observations)
    return record.model_copy(update={"payload": end.model_copy(update={"observations": read})})


def test_a_verdict_is_decided_again_and_an_edit_in_a_rebuilt_log_is_named(tiny: Tiny, tmp_path: Path) -> None:
    told = tiny.squall("audit", "verify", *ASKED)
    assert (told.code, "no verdict to decide again" in told.out) == (3, True)
    for run_id, behaviour in (("good", "well"), ("bad", "worse")):
        tiny.behave(behaviour)
        tiny.squall("run", tiny.experiment(), "--run-id", run_id, "--quiet")
    told = tiny.squall("audit", "verify", *ASKED, *LOG_ITSELF)
    assert told.code == 0, told.text
    assert "2 verdicts, decided again by an independent judge, come out the same" in told.out
    with tiny.ledger() as ledger:
        verdicts = ledger.records(kinds=[RecordKind.EVALUATE_VERDICT])
        assert [one.record.outcome for one in verdicts] == ["held", "deviated"]

    whole = rebuilt(tiny, tmp_path / "same.db", as_it_is)
    assert (whole.integrity.state, whole.reperformance.state) == (State.SHOWN, State.SHOWN)
    forged = rebuilt(tiny, tmp_path / "forged.db", better)
    assert (forged.integrity.state, forged.order.state) == (State.SHOWN, State.SHOWN)
    assert forged.reperformance.state is State.FAILED
    assert forged.reperformance.first[0].what == "bad: the log says deviated, its records say held"
    assert not forged.passes([Question.INTEGRITY])
