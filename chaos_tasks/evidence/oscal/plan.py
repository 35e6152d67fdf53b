"""The Assessment Plan: which experiments there are, what each asks, how often, and under which rules."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import JsonValue

from chaos_tasks.evidence.body import Body, Tested
from chaos_tasks.evidence.oscal.words import (
    CONTROLS,
    Json,
    control_ids,
    identifier,
    metadata,
    moment,
    one_line,
    props,
    reviewed,
    target_component,
    tool_component,
    without_empty,
)

RULES = (
    ("Record before harm", "The plan, with its thresholds and seeds, and each intent are in the log before the act."),
    ("Every fault has a lease", "A sweeper apart from the orchestrator reverts what outlives it."),
    ("The undo is proved", "By fingerprints before and after, or the run is unreverted and blocks its target."),
    ("When in doubt, nothing is injected", "A guard that cannot be evaluated counts as tripped."),
    ("Not measured is never held", "A probe that cannot measure makes the outcome inconclusive."),
)


def plan_id(body: Body) -> str:
    """Id of the plan; results refer to it."""
    return identifier("plan", body.title, body.scope.content_sha256)


def assessment_plan(body: Body, *, results_name: str) -> Json:
    """OSCAL assessment-plan; ``results_name`` is the file that the results will be in, for readers."""
    experiments = _experiments(body.tested)
    document: Json = {
        "uuid": plan_id(body),
        "metadata": metadata(f"Chaos experiments: {body.title}", body),
        "import-ssp": {"href": f"#{_system(body)}", "remarks": "No system security plan was named to Squall."},
        "local-definitions": {
            "components": [tool_component(body), *[target_component(name) for name in _targets(body)]],
            "activities": [_activity(runs) for runs in experiments],
        },
        "terms-and-conditions": {"parts": [_rules()]},
        "reviewed-controls": reviewed(control_ids(body)),
        "assessment-subjects": [_subjects(body)],
        "assessment-assets": {"assessment-platforms": [_platform(body)]},
        "tasks": [_task(runs) for runs in experiments],
        "back-matter": {"resources": [_system_resource(body, results_name)]},
    }
    return {"assessment-plan": without_empty(document)}


def activity_id(experiment: str) -> str:
    """Id of an experiment as an activity."""
    return identifier("activity", experiment)


def _experiments(tested: Sequence[Tested]) -> list[list[Tested]]:
    """Runs of each experiment, by name."""
    found: dict[str, list[Tested]] = {}
    for run in sorted(tested, key=lambda one: (one.experiment, one.first_seq)):
        found.setdefault(run.experiment, []).append(run)
    return list(found.values())


def _targets(body: Body) -> list[str]:
    return sorted({one.target for one in body.tested})


def _activity(runs: Sequence[Tested]) -> Json:
    run = runs[-1]
    steps: list[JsonValue] = [
        {
            "uuid": identifier("step", run.experiment, check.check),
            "title": check.check,
            "description": one_line(check.estimand or f"{check.check}, {check.when.value}"),
            "props": props(
                {"margin": check.margin, "unit": check.unit, "method": check.method, "when": check.when.value}
            ),
        }
        for check in run.checks
    ]
    return {
        "uuid": activity_id(run.experiment),
        "title": run.experiment,
        "description": one_line(run.hypothesis),
        "props": [
            {"name": "method", "value": "TEST"},
            *props({"owner": run.owner, "target": run.target, "environment": run.environment}),
            *[one for kind in run.fault_kinds for one in props({"fault-kind": kind})],
        ],
        "steps": steps,
        "related-controls": reviewed([one.control_id for one in run.controls if one.framework == CONTROLS]),
    }


def _task(runs: Sequence[Tested]) -> Json:
    """When an experiment was run in the period."""
    first, last = runs[0], runs[-1]
    return {
        "uuid": identifier("task", first.experiment, first.run_id),
        "type": "action",
        "title": first.experiment,
        "timing": {"within-date-range": {"start": moment(first.started_at), "end": moment(last.ended_at)}},
        "props": props({"runs": len(runs), "requested-by": last.requested_by}),
        "associated-activities": [
            {
                "activity-uuid": activity_id(first.experiment),
                "subjects": [{"type": "component", "include-subjects": [_reference(first.target)]}],
            }
        ],
    }


def _reference(target: str) -> Json:
    return {"subject-uuid": identifier("target", target), "type": "component"}


def _subjects(body: Body) -> Json:
    names = _targets(body)
    if not names:
        return {"type": "component", "include-all": {}}
    return {"type": "component", "include-subjects": [_reference(name) for name in names]}


def _rules() -> Json:
    parts: list[JsonValue] = [
        {"uuid": identifier("rule", title), "name": "rule", "title": title, "prose": prose} for title, prose in RULES
    ]
    return {"uuid": identifier("rules"), "name": "rules-of-engagement", "title": "Rules of engagement", "parts": parts}


def _platform(body: Body) -> Json:
    used: Json = {"component-uuid": identifier("tool", body.squall_version)}
    return {"uuid": identifier("platform", body.squall_version), "title": "Squall", "uses-components": [used]}


def _system(body: Body) -> str:
    return identifier("system", *_targets(body))


def _system_resource(body: Body, results_name: str) -> Json:
    return {
        "uuid": _system(body),
        "title": "The systems under test",
        "description": one_line(", ".join(_targets(body)), "No target was tested in this period."),
        "remarks": f"Results are in {results_name}.",
    }
