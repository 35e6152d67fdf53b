"""In the tiny project: a target whose data and environment hold canaries, and whose workload prints and quotes them."""

from __future__ import annotations

from pathlib import Path

from tests.canaries import ROWS, TRAIN, WORKLOAD_ENVIRONMENT
from tests.system.tiny_target import EXPERIMENT, METHODS, TARGET, TinyProject, make_source

NAME = "spilling"
FAULT = "tiny.mark"

INVENTORY = """
[targets.spilling]
file = "targets/spilling.yaml"
environment = "lab"
disposable = true
families = ["tiny"]

[[targets.spilling.identities.not_applicable]]
check = "principals"
families = ["tiny"]
reason = "One user runs everything of this project on one machine."
"""

CHAMPION = f'''\
"""A model's alias that waits for evidence."""

from airflow.sdk import DAG, Param

from squall_operators.promotion import PromoteModelOperator

FORM = {{"model": Param("", type="string")}}

with DAG("champion", schedule=None, params=FORM, is_paused_upon_creation=False) as dag:
    PromoteModelOperator(
        task_id="promote", model="{{{{ params.model }}}}", alias="champion", target="{NAME}", require=["{FAULT}"]
    )
'''


def prepare(project: TinyProject) -> frozenset[str]:
    """Add it, and a DAG that promotes a model by its runs; the names of its experiments."""
    project.config.write_text(project.config.read_text() + INVENTORY)
    source, train = project.root / "spilling-source", _code(project) / "train.py"
    source.mkdir()
    make_source(source, ROWS)
    train.parent.mkdir()
    train.write_text(TRAIN)
    behave(project, "well")
    target = TARGET.format(source=source, train=train).replace("name: tiny\n", f"name: {NAME}\n")
    (project.root / "targets" / f"{NAME}.yaml").write_text(target.replace("  timeout: 60s\n", WORKLOAD_ENVIRONMENT))
    text = EXPERIMENT.format(name=NAME, method=METHODS["healthy"], nightly="false", seeds=1)
    text = text.replace("lease: 10s", "lease: 120s")  # on a busy machine the sweeper would come before the revert
    (project.dags / "experiments" / f"{NAME}.yaml").write_text(text.replace("target: tiny\n", f"target: {NAME}\n"))
    (project.dags / "champion.py").write_text(CHAMPION)
    return frozenset({NAME})


def behave(project: TinyProject, how: str) -> None:
    """What the workload does while the fault is in: `well`, or `crash`."""
    (_code(project) / "behaviour").write_text(how)


def _code(project: TinyProject) -> Path:
    return project.root / "code" / NAME
