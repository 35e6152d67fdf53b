"""What a reader of our OSCAL documents may rely on, beyond what validators look at."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest

from chaos_tasks.evidence import controls
from chaos_tasks.evidence.body import Body, Scope
from chaos_tasks.evidence.oscal.checking import problems
from chaos_tasks.evidence.oscal.plan import assessment_plan
from chaos_tasks.evidence.oscal.poam import plan_of_action
from chaos_tasks.evidence.oscal.results import assessment_results
from tests.unit.evidence.bodies import TONIGHT, body

KNOWN = controls.shipped().frameworks["nist-800-53"].controls
EMPTY = TONIGHT.model_copy(update={"targets": ("nobody",)})


def documents(found: Body) -> dict[str, Any]:
    return {
        "plan": assessment_plan(found, results_name="assessment-results.json"),
        "results": assessment_results(found, plan_name="assessment-plan.json", files={"report.csv": "0" * 64}),
        "poam": plan_of_action(found, plan_name="assessment-plan.json"),
    }


@pytest.mark.parametrize("name", ["plan", "results", "poam"])
@pytest.mark.parametrize("scope", [TONIGHT, EMPTY], ids=["night", "empty"])
def test_nothing_in_them_leads_nowhere(name: str, scope: Scope) -> None:
    assert problems(documents(body(scope))[name], KNOWN) == []


def test_the_same_night_gives_the_same_bytes() -> None:
    first, second = (json.dumps(documents(body()), sort_keys=True) for _ in range(2))
    assert first == second


def test_numbers_of_a_check_come_back_exactly() -> None:
    found = body()
    result = documents(found)["results"]["assessment-results"]["results"][0]
    run = next(one for one in found.tested if one.experiment == "label-flip")
    observation = next(one for one in result["observations"] if one["title"] == "label-flip")
    said = {(one.get("class", ""), one["name"]): one["value"] for one in observation["props"]}
    check = run.checks[0]
    assert float(said[f"check-{check.check}", "estimate"]) == check.estimate
    assert float(said[f"check-{check.check}", "high"]) == check.high


def test_a_run_that_deviated_leaves_no_resilience_objective_satisfied() -> None:
    result = documents(body())["results"]["assessment-results"]["results"][0]
    by_target = {one["target"]["target-id"]: one["target"]["status"] for one in result["findings"]}
    assert by_target["si-7_obj"]["state"] == "not-satisfied"
    assert by_target["si-7_obj"]["reason"] == "fail"


def test_a_test_that_was_done_and_put_back_is_evidence_of_practice_though_it_deviated() -> None:
    ours = body(TONIGHT.model_copy(update={"owners": ("credit-risk",)}))
    result = documents(ours)["results"]["assessment-results"]["results"][0]
    by_target = {one["target"]["target-id"]: one["target"]["status"]["state"] for one in result["findings"]}
    assert by_target["cp-4.5_obj"] == "satisfied"
    assert by_target["si-7_obj"] == "not-satisfied"


def test_every_open_finding_is_an_item_with_owner_and_date() -> None:
    found = body()
    items = documents(found)["poam"]["plan-of-action-and-milestones"]["poam-items"]
    told = {one["title"].split(":")[0]: {each["name"]: each["value"] for each in one["props"]} for one in items}
    assert set(told) == {one.risk_id for one in found.findings}
    for one in found.findings:
        assert told[one.risk_id]["owner"] == one.owner
        assert told[one.risk_id]["due"] == one.due.isoformat()


def test_a_night_without_findings_says_so() -> None:
    items = documents(body(EMPTY))["poam"]["plan-of-action-and-milestones"]["poam-items"]
    assert [one["title"] for one in items] == ["Nothing open"]


def test_what_was_refused_is_in_the_log_of_the_assessment() -> None:
    result = documents(body())["results"]["assessment-results"]["results"][0]
    titles = [one["title"] for one in result["assessment-log"]["entries"]]
    assert "drop-records: refused" in titles


def _break(path: str, value: object) -> Callable[[dict[str, Any]], None]:
    def change(document: dict[str, Any]) -> None:
        node: Any = document["assessment-results"]["results"][0]
        *parts, last = path.split(".")
        for part in parts:
            node = node[int(part)] if part.isdigit() else node[part]
        node[int(last) if last.isdigit() else last] = value

    return change


STRANGE = "11111111-1111-4111-8111-111111111111"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_break("findings.0.related-observations.0.observation-uuid", STRANGE), "is not defined"),
        (_break("observations.0.relevant-evidence.0.href", f"#{STRANGE}"), "leads nowhere"),
        (_break("observations.0.methods", ["CHAOS"]), "no methods"),
        (_break("observations.0.uuid", "not-a-uuid"), "no UUID"),
        (_break("findings.0.target.target-id", "zz-9_obj"), "not in the catalogue"),
        (_break("findings.0.target.status.state", "fine"), "no state"),
        (_break("findings.0.related-observations", []), "without an observation"),
        (_break("start", "2026-11-23T00:00:00"), "no offset"),
        (_break("props.0.value", "two\nlines"), "line break"),
        (_break("props.0.name", "two words"), "no name"),
        (_break("risks", []), "empty"),
    ],
    ids=lambda one: one if isinstance(one, str) else "",
)
def test_what_validators_let_through_is_found(change: Callable[[dict[str, Any]], None], said: str) -> None:
    document = copy.deepcopy(documents(body())["results"])
    change(document)
    assert any(said in one for one in problems(document, KNOWN))


def test_an_id_that_is_defined_twice_is_found() -> None:
    document = copy.deepcopy(documents(body())["results"])
    observations = document["assessment-results"]["results"][0]["observations"]
    observations[1]["uuid"] = observations[0]["uuid"]
    assert any("defined twice" in one for one in problems(document, KNOWN))
