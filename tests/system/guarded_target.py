"""In the tiny project: a target in production, on which an assigned person has to agree to every run."""

from __future__ import annotations

from tests.system.tiny_target import EXPERIMENT, METHODS, TARGET, TinyProject

NAME = "guarded"
APPROVER = "operator"
"""One of the lab's Airflow users; the administrator triggers."""

INVENTORY = """
[targets.tiny-live]
file = "targets/tiny-live.yaml"
environment = "production"
disposable = true
families = ["tiny"]

[[targets.tiny-live.identities.not_applicable]]
check = "principals"
families = ["tiny"]
reason = "One user runs everything of this project on one machine."

[approvals.environments.production]
low = "four_eyes"
people = ["{person}"]
"""


def prepare(project: TinyProject, person: str = APPROVER) -> frozenset[str]:
    """Add it; the names of its experiments."""
    told = project.config.read_text().replace('environments = ["lab"', 'environments = ["lab", "production"')
    project.config.write_text(told + INVENTORY.format(person=person))
    target = TARGET.format(source=project.root / "source", train=project.root / "code" / "train.py")
    (project.root / "targets" / "tiny-live.yaml").write_text(target.replace("name: tiny\n", "name: tiny-live\n"))
    text = EXPERIMENT.format(name=NAME, method=METHODS["healthy"], nightly="false", seeds=2)
    (project.dags / "experiments" / f"{NAME}.yaml").write_text(text.replace("target: tiny\n", "target: tiny-live\n"))
    return frozenset({NAME})
