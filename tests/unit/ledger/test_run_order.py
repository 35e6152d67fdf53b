"""Of which runs the log says that their records came in order."""

from __future__ import annotations

import pytest

from chaos_tasks.errors import SetupError
from chaos_tasks.judging.dossier import read_dossiers
from chaos_tasks.ledger.run_order import Story
from chaos_tasks.model.record import RecordKind
from tests.unit.toy_project import ToyProject, request


def refused_once(toy: ToyProject) -> None:
    """Its first try met a server that was away; Airflow tries such a task again."""
    toy.fault.trouble["snapshot"] = SetupError("the server is away")
    with pytest.raises(SetupError):
        toy.engine().arm(request())
    toy.fault.trouble.clear()
    assert RecordKind.RUN_REFUSED in toy.kinds()


def offences(toy: ToyProject, *, without: frozenset[RecordKind] = frozenset()) -> list[str]:
    story = Story()
    for stored in toy.ledger.records():
        if stored.record.kind not in without:
            story.add(stored)
    return [text for _, text in story.offences]


def test_a_run_that_was_refused_and_armed_by_a_later_try_is_in_order(toy: ToyProject) -> None:
    refused_once(toy)
    toy.engine().run(request())
    assert offences(toy) == []


def test_what_is_armed_after_a_refusal_without_locks_is_not(toy: ToyProject) -> None:
    refused_once(toy)
    toy.engine().run(request())
    found = offences(toy, without=frozenset({RecordKind.LOCKS_TAKEN}))
    assert found
    assert all("comes after the run ended" in text for text in found)


def test_locks_that_are_taken_after_a_verdict_are_out_of_order(toy: ToyProject) -> None:
    toy.engine().run(request())
    story = Story()
    records = list(toy.ledger.records())
    for stored in records:
        story.add(stored)
    story.add(next(one for one in records if one.record.kind is RecordKind.LOCKS_TAKEN))
    assert ["comes after the run ended" in text for _, text in story.offences] == [True]


def test_a_run_that_goes_on_after_a_refusal_is_not_taken_for_a_refused_one(toy: ToyProject) -> None:
    refused_once(toy)
    (first,) = read_dossiers(toy.ledger.records())
    toy.engine().arm(request())
    (second,) = read_dossiers(toy.ledger.records())
    assert (first.refused, second.refused) == ("the server is away", "")
