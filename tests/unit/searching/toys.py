"""The toy project with a response to intensity, and its searches."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from chaos_tasks.model.plan import Plan
from chaos_tasks.model.request import RunRequest
from chaos_tasks.model.spec import TrialSpec
from chaos_tasks.model.trial import Arm
from chaos_tasks.runs import Run
from chaos_tasks.safety.guards import SWEEPER
from tests.unit.toy_project import ToyProject, experiment

LEVELS = (0.05, 0.1, 0.15, 0.2, 0.25, 0.3)
MARGIN = 0.01
CHECK = {
    "name": "auc",
    "probe": "model.metric",
    "params": {"metric": "auc"},
    "tolerance": {"type": "non_inferiority", "margin": MARGIN},
}

Harm = Callable[[float], float]


@dataclass
class Response:
    """How much the toy's AUC falls under an intensity, and how often it was trained."""

    project: ToyProject
    harm: Harm
    noise: float = 1e-4
    trainings: list[tuple[str, Arm, int]] = field(default_factory=list)

    def __call__(self, spec: TrialSpec) -> Mapping[str, float]:
        self.trainings.append((spec.run_id, spec.arm, spec.seed))
        self.project.ledger.beat(SWEEPER)
        auc = 0.9 + spec.seed % 7 / 1000
        if spec.arm is not Arm.TREATMENT:
            return {"auc": auc}
        wobble = self.noise * (spec.seed % 3 - 1)
        return {"auc": auc - self.harm(share_of(self.plan(spec.run_id))) + wobble}

    def plan(self, run_id: str) -> Plan:
        return Run(self.project.ledger, run_id).plan()


def share_of(plan: Plan) -> float:
    share = plan.experiment.method[0].params.get("share", 0.5)
    assert isinstance(share, float)
    return share


def ramp_request(run_id: str = "ramp-1", **changes: object) -> RunRequest:
    told = {
        "steady_state": [CHECK],
        "ramp": {"levels": LEVELS, "runs": 5},
        "analysis": {"seeds": 8, "base_seed": 1},
        **changes,
    }
    return RunRequest(run_id=run_id, experiment=experiment(**told))


def breaking_at(share: float) -> Harm:
    """Harmless below, three margins from there on."""
    return lambda intensity: 3 * MARGIN if intensity >= share else 0.0
