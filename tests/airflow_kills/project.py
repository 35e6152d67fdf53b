"""In the tiny project: a run that has two faults in at once: a bad data version, and a training that stands still."""

from __future__ import annotations

from tests.system.tiny_target import TARGET, TinyProject

LEASE_S = 10.0
HOLD_S = 8.0
STRUCK, AFTER = "struck", "after"
PAUSE, FLIP = "pause", "flip"
EXPERIMENTS = frozenset({STRUCK, AFTER})

INVENTORY = """
[targets.steps]
file = "targets/steps.yaml"
environment = "lab"
disposable = true
families = ["data", "process"]

[[targets.steps.identities.not_applicable]]
check = "principals"
families = ["data", "process"]
reason = "One user runs everything of this project on one machine."
"""

TRAIN = '''\
"""Makes a few short steps and writes a number."""
import argparse, json, pathlib, threading
parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int); parser.add_argument("--data"); parser.add_argument("--out")
options = parser.parse_args()
rows = pathlib.Path(options.data).read_text().splitlines()
for step in range(1, 6):
    print(f"step {step}", flush=True)
    threading.Event().wait(0.3)
out = pathlib.Path(options.out)
out.mkdir(parents=True, exist_ok=True)
(out / "metrics.json").write_text(json.dumps({"rows": len(rows) - 1}))
'''

EXPERIMENT = """\
version: 1
name: {name}
hypothesis: The training completes on a bad data version, also when it stands still for a while.
owner: tests
nightly: false
target: steps
steady_state:
  - {{name: completed, probe: workload.completed, tolerance: {{type: exactly, value: true}}}}
method:
  - {{name: flip, fault: data.label_flip, target: data, params: {{column: label, fraction: 0.2}}}}
{more}guards: {{lease: {lease:g}s}}
analysis: {{seeds: {seeds}, base_seed: 1}}
"""

STANDS_STILL = (
    "  - {{name: pause, fault: process.pause, target: workload, trigger: {{at: progress, step: 2}}, hold: {hold:g}s,"
    " draw: per_trial}}\n"
)


def prepare(project: TinyProject) -> frozenset[str]:
    """Write a target and its experiments: one that is struck, and a short one that shows that the target is free."""
    project.config.write_text(project.config.read_text() + INVENTORY)
    code, root = project.root / "code" / "steps.py", project.root
    code.write_text(TRAIN)
    target = TARGET.format(source=root / "source", train=code).replace("name: tiny", "name: steps")
    (root / "targets" / "steps.yaml").write_text(target)
    pause = STANDS_STILL.format(hold=HOLD_S)
    for name, more, seeds in ((STRUCK, pause, 2), (AFTER, "", 1)):
        text = EXPERIMENT.format(name=name, more=more, lease=LEASE_S, seeds=seeds)
        (project.dags / "experiments" / f"{name}.yaml").write_text(text)
    return EXPERIMENTS
