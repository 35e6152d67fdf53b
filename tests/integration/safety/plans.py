"""Plans for tests of identities: one step on a resource of a target, with whatever credentials the inventory names."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from chaos_tasks.model.experiment import Experiment
from chaos_tasks.model.identity import IdentityPolicy
from chaos_tasks.model.plan import Plan
from chaos_tasks.model.request import RunRequest
from chaos_tasks.model.target import Target
from chaos_tasks.planning import Source, make_plan


def plan_of(fault: str, resource: dict[str, Any], policy: IdentityPolicy, home: Path, **step: Any) -> Plan:
    """A plan of one step on one resource."""
    experiment = Experiment.model_validate(
        {
            "name": "one",
            "hypothesis": "It is refused in time.",
            "owner": "tests",
            "target": "toy",
            "steady_state": [
                {
                    "name": "done",
                    "probe": "workload.completed",
                    "tolerance": {"type": "exactly", "value": True},
                }
            ],
            "method": [{"name": "hurt", "fault": fault, "target": "place", **step}],
        }
    )
    target = Target.model_validate(
        {
            "name": "toy",
            "source": {"type": "dvc", "repo": "r", "data": ["a.csv"]},
            "workload": {"type": "command", "run": "true"},
            "resources": {"place": resource},
        }
    )
    return make_plan(
        RunRequest(run_id="run", experiment=experiment),
        target,
        Source("c" * 40, "d" * 64),
        environment="lab",
        home=home,
        now=datetime(2026, 1, 1, tzinfo=UTC),
        identities=policy,
    )
