"""Plan of Action and Milestones: what is open, whose it is, and until when."""

from __future__ import annotations

from chaos_tasks.evidence.body import Body, Finding, FindingState
from chaos_tasks.evidence.oscal.results import observation_id, risk, risk_id
from chaos_tasks.evidence.oscal.words import (
    Json,
    identifier,
    metadata,
    moment,
    one_line,
    props,
    subject,
    target_component,
    tool,
    tool_component,
    without_empty,
)

NOTHING_OPEN = "Nothing was open when this was issued."


def plan_of_action(body: Body, *, plan_name: str) -> Json:
    """OSCAL plan-of-action-and-milestones with every finding that is not closed; OSCAL asks for at least one item."""
    going_on = [one for one in body.findings if one.state is not FindingState.CLOSED]
    # Here all runs in which it was seen are observations, also those before the period.
    seen = {run: one for one in reversed(going_on) for run in one.run_ids}
    targets = sorted({one.target for one in going_on})
    document: Json = {
        "uuid": identifier("poam", body.title, body.scope.content_sha256),
        "metadata": metadata(f"Plan of action: {body.title}", body),
        "system-id": {"identifier-type": "https://ietf.org/rfc/rfc4122", "id": identifier("system-id", *targets)},
        "local-definitions": {"components": [tool_component(body), *[target_component(name) for name in targets]]},
        "observations": [_observation(run, seen[run], body) for run in sorted(seen)],
        "risks": [risk(one, body, seen.keys()) for one in going_on],
        "poam-items": [_item(one) for one in going_on] or [_nothing(body)],
        "back-matter": {"resources": [_plan(plan_name, body)]},
    }
    return {"plan-of-action-and-milestones": without_empty(document)}


def _observation(run_id: str, of: Finding, body: Body) -> Json:
    return {
        "uuid": observation_id(run_id),
        "title": of.experiment,
        "description": one_line(of.sentence, "deviated"),
        "props": props({"run-id": run_id}),
        "methods": ["TEST"],
        "origins": [{"actors": [{"type": "tool", "actor-uuid": tool(body)}]}],
        "subjects": [subject(of.target)],
        "collected": moment(of.last_seen),
    }


def _item(finding: Finding) -> Json:
    return {
        "uuid": identifier("poam-item", risk_id(finding)),
        "title": f"{finding.risk_id}: {finding.experiment}",
        "description": one_line(f"{finding.sentence} {finding.effect}"),
        "props": props(
            {
                "risk-register-id": finding.risk_id,
                "owner": finding.owner,
                "due": finding.due,
                "severity": finding.severity.value,
                "state": finding.state.value,
                "reason": finding.reason,
            }
        ),
        "related-observations": [{"observation-uuid": observation_id(run)} for run in finding.run_ids],
        "related-risks": [{"risk-uuid": risk_id(finding)}],
    }


def _nothing(body: Body) -> Json:
    return {
        "uuid": identifier("poam-item", "nothing", body.title),
        "title": "Nothing open",
        "description": NOTHING_OPEN,
    }


def _plan(plan_name: str, body: Body) -> Json:
    return {"uuid": identifier("plan-file", body.title), "title": "Assessment plan", "rlinks": [{"href": plan_name}]}
