"""What a document says about a period, whatever it is rendered as."""

from __future__ import annotations

from datetime import timedelta

import pytest

from chaos_tasks import registry
from chaos_tasks.errors import InvalidFile
from chaos_tasks.evidence import controls
from chaos_tasks.evidence.body import FindingState, Scope, Severity
from chaos_tasks.evidence.controls import SpeaksTo
from tests.unit.evidence.bodies import TONIGHT, body
from tests.unit.judging.cases import T0


def test_every_run_of_the_period_is_there_with_what_it_is_about() -> None:
    found = body()
    assert {one.experiment for one in found.tested} == {
        "label-flip",
        "stale-version",
        "unit-change",
        "missing-values",
        "late-data",
        "deny-access",
        "scaling",
    }
    flip = next(one for one in found.tested if one.experiment == "label-flip")
    assert flip.owner == "credit-risk"
    assert flip.registered_seq < flip.verdict_seq <= flip.last_seq
    assert flip.checks[0].margin is not None


def test_what_did_not_run_is_said() -> None:
    missing = {one.experiment: one.state for one in body().unfinished}
    assert missing == {"drop-records": "refused"}


def test_findings_carry_severity_owner_due_date_and_a_stable_id() -> None:
    found = {one.experiment: one for one in body().findings}
    assert found["deny-access"].severity is Severity.CRITICAL
    assert (found["label-flip"].severity, found["label-flip"].owner) == (Severity.HIGH, "credit-risk")
    assert found["label-flip"].due == (found["label-flip"].first_seen + timedelta(days=14)).date()
    assert found["unit-change"].severity is Severity.MODERATE
    assert found["scaling"].risk_id == "ML-7"
    assert found["scaling"].state is FindingState.ACCEPTED
    again = {one.experiment: one.risk_id for one in body().findings}
    assert again == {name: one.risk_id for name, one in found.items()}
    assert [one.severity for one in body().findings] == sorted(
        (one.severity for one in body().findings), key=list(Severity).index
    )


def test_a_finding_is_as_old_as_the_first_run_that_showed_it() -> None:
    stale = next(one for one in body().findings if one.experiment == "stale-version")
    assert len(stale.run_ids) == 2
    assert stale.first_seen < TONIGHT.since <= stale.last_seen


def test_a_finding_that_was_not_dealt_with_in_time_is_overdue() -> None:
    later = Scope(since=T0, until=T0 + timedelta(days=40))
    states = {one.experiment: one.state for one in body(later).findings}
    assert states["label-flip"] is FindingState.OVERDUE
    assert states["scaling"] is FindingState.OVERDUE  # accepted until the first of January only


def test_owners_and_targets_narrow_a_document() -> None:
    ours = body(TONIGHT.model_copy(update={"owners": ("credit-risk",)}))
    assert {one.experiment for one in ours.tested} == {"label-flip"}
    assert {one.owner for one in ours.findings} == {"credit-risk"}
    assert body(TONIGHT.model_copy(update={"targets": ("nobody",)})).tested == ()


def test_a_framework_narrows_the_controls_and_nothing_else() -> None:
    dora = body(TONIGHT.model_copy(update={"framework": "dora"}))
    assert len(dora.tested) == len(body().tested)
    assert {one.framework for run in dora.tested for one in run.controls} == {"dora"}


def test_an_undo_that_is_not_in_the_log_is_not_proved() -> None:
    faults = {run.experiment: run.faults for run in body().tested}
    assert all(fault.proved for fault in faults["label-flip"])
    assert not any(fault.proved for fault in faults["deny-access"])


def test_every_registered_fault_speaks_to_a_practice_in_every_framework() -> None:
    table = controls.shipped()
    for kind in registry.fault_kinds():
        spoken = {one.framework for one in table.of_run([kind], []) if one.control.speaks_to is SpeaksTo.PRACTICE}
        assert spoken == set(table.frameworks), kind


def test_a_check_of_fairness_speaks_to_more_than_its_fault_does() -> None:
    table = controls.shipped()
    with_gap = {one.control_id for one in table.of_run(["data.label_flip"], ["rows.fairness_gap"])}
    without = {one.control_id for one in table.of_run(["data.label_flip"], ["model.metric"])}
    assert "measure-2.11" in with_gap - without


@pytest.mark.parametrize(
    ("text", "said"),
    [("a: [", "no YAML"), ("version: 1", "Field required")],
)
def test_a_table_that_cannot_be_read_says_why(text: str, said: str) -> None:
    with pytest.raises(InvalidFile, match=said):
        controls.read(text, "table.yaml")


def test_a_row_that_names_an_unknown_control_is_refused() -> None:
    text = controls.shipped().model_copy(
        update={"every_run": controls.shipped().every_run.model_copy(update={"controls": {"dora": ("art-99",)}})}
    )
    with pytest.raises(InvalidFile, match="art-99"):
        controls.read(text.model_dump_json(), "table.yaml")
