"""From the conformance suite's arrangement of a kind to a tiny project in which the engine runs that fault for real.

Nothing here names a kind: one that is registered and arranged is in the matrix by itself.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import pytest
from pydantic import JsonValue

from chaos_tasks.clients import NamedClients, from_credentials
from chaos_tasks.errors import SetupError
from chaos_tasks.model.experiment import Experiment
from chaos_tasks.model.handle import Reversibility
from chaos_tasks.model.place import (
    DvcPlace,
    InstancePlace,
    Place,
    ProcessPlace,
    S3Place,
    StreamPlace,
    TaskPlace,
)
from chaos_tasks.model.target import Ec2InstanceResource, RedisStreamResource, Resource, S3Resource, Target
from chaos_tasks.ports import Clients
from chaos_tasks.settings import Settings, TargetEntry
from chaos_tasks.testing.conformance import AnyFault, Arrangement
from tests.conformance.collected import arrangements
from tests.dvc_sources import PARQUET, Source, make_source
from tests.inventory import one_user
from tests.kill_matrix.lab import Lab

TARGET = "tiny"
RESOURCE = "place"
LEASE = "30s"

WORKLOAD = """\
#!/bin/sh
# Some steps, each with a checkpoint; then a number.  One that waits for a fault goes on once it was fired, so that a
# busy machine does not decide which comes first.
out=$1; checkpoints=$2; steps=$3; step=0; looks=0
case $out in *treatment*) waits=$4 ;; *) waits=no ;; esac
while [ $step -lt "$steps" ]; do
  step=$((step + 1))
  head -c $((step * 1000)) /dev/zero | tr '\\0' "$step" > "$checkpoints/$step.part"
  mv "$checkpoints/$step.part" "$checkpoints/$step.ckpt"
  echo "step $step"
  sleep 0.02
  while [ $step -eq 3 ] && [ "$waits" = yes ] && [ ! -e "$out/../fired" ] && [ $looks -lt 500 ]; do
    looks=$((looks + 1)); sleep 0.02
  done
done
echo '{"auc": 0.9}' > "$out/metrics.json"
"""


@dataclass(frozen=True)
class World:
    """A project for one kind: its target may be hurt by run after run."""

    kind: str
    fault: AnyFault
    settings: Settings
    experiment: Experiment
    clients: Clients
    source: Path
    standing: Place | None  # of a place that is there before the run
    needs_task: bool

    @property
    def restores(self) -> bool:
        """Whether equal fingerprints are promised."""
        return self.fault.reversibility is Reversibility.RESTORES

    @property
    def during(self) -> bool:
        """Whether the supervisor fires it."""
        return self.experiment.method[0].fires_during


def make_world(kind: str, lab: Lab, folder: Path) -> World:
    """Arrange the kind, and describe what was arranged as a target and an experiment."""
    (folder / "arranged").mkdir(parents=True)
    arranged = arrangements()[kind](folder / "arranged", cast(pytest.FixtureRequest, lab))
    lab.finalize()  # processes of the arrangement are not used: the run brings its own
    place = arranged.place
    target = _target(place, _source(place, folder), folder)
    step = _step(arranged)
    (folder / "tiny.yaml").write_text(json.dumps(target.model_dump(mode="json", exclude_none=True)))
    (folder / "workload.sh").write_text(WORKLOAD)
    context = arranged.make_context()
    clients: Clients = context.clients if isinstance(context.clients, NamedClients) else from_credentials({})
    return World(
        kind=kind,
        fault=arranged.fault,
        settings=_settings(folder, kind),
        experiment=_experiment(kind, step, arranged.fault),
        clients=clients,
        source=Path(target.source.repo),
        standing=place if isinstance(place, S3Place | InstancePlace | StreamPlace) else None,
        needs_task=isinstance(place, TaskPlace),
    )


def _source(place: Place, folder: Path) -> Source:
    """The repository of an arranged clone; for other places any small one will do."""
    if isinstance(place, DvcPlace):
        return Source(Path(place.source), Path(place.source).with_name("remote"))
    return make_source(folder / "source", rows=20, paths=(PARQUET,))


def _target(place: Place, source: Source, folder: Path) -> Target:
    steps = "2 no" if _stands(place) else "6 yes"
    data = {"data": list(place.data), "format": place.format} if isinstance(place, DvcPlace) else {"data": [PARQUET]}
    resource = _resource(place)
    return Target.model_validate(
        {
            "name": TARGET,
            "source": {"type": "dvc", "repo": str(source.repo), "rev": "main", **data},
            "workload": {
                "type": "command",
                "run": f"/bin/sh {folder}/workload.sh {{out}} {{checkpoints}} {steps}",
                "timeout": "40s",
                "restarts": 0 if _stands(place) else 1,
            },
            "reads": {"progress": {"log": "step (\\d+)"}, "checkpoints": "*.ckpt"},
            "resources": {} if resource is None else {RESOURCE: resource.model_dump(mode="json")},
        }
    )


def _stands(place: Place) -> bool:
    """Whether it is there before a workload runs."""
    return not isinstance(place, ProcessPlace | TaskPlace)


def _resource(place: Place) -> Resource | None:
    if isinstance(place, S3Place):
        return S3Resource(
            endpoint=place.endpoint,
            region=place.region,
            bucket=place.bucket,
            prefix=place.prefix,
            principal=place.principal,
            credentials=place.credentials,
        )
    if isinstance(place, InstancePlace):
        return Ec2InstanceResource(endpoint=place.endpoint, region=place.region, instance_id=place.instance_id)
    if isinstance(place, StreamPlace):
        return RedisStreamResource(url=place.url, key=place.key_prefix)
    return None


def _step(arranged: Arrangement) -> Mapping[str, JsonValue]:
    """The one step of the experiment: on what, and when."""
    place = arranged.place
    on = {"dvc": "data", "process": "workload", "task": "task"}.get(place.type, RESOURCE)
    step: dict[str, JsonValue] = {
        "name": "hurt",
        "fault": arranged.fault.kind,
        "target": on,
        "params": dict(arranged.params),
    }
    if not _stands(place):
        step |= {"trigger": {"at": "progress", "step": 2}, "hold": "100ms"}
    return step


def _experiment(kind: str, step: Mapping[str, JsonValue], fault: AnyFault) -> Experiment:
    heals = fault.reversibility is not Reversibility.RESTORES
    return Experiment.model_validate(
        {
            "name": kind.replace(".", "-").replace("_", "-"),
            "hypothesis": f"The tiny training completes under {kind}.",
            "owner": "tests",
            "nightly": False,
            "target": TARGET,
            "steady_state": [
                {"name": "completed", "probe": "workload.completed", "tolerance": {"type": "exactly", "value": True}}
            ],
            "method": [step],
            "guards": {"lease": LEASE, "blast_radius": 1.0},
            "analysis": {"seeds": 1, "min_seeds": 1, "base_seed": 1, "recovery_trials": int(heals)},
        }
    )


def _settings(folder: Path, kind: str) -> Settings:
    family = kind.partition(".")[0]
    if not family:
        raise SetupError(f"{kind!r} names no family", remedy="name faults family.noun_verb")
    return Settings(
        root=folder,
        home=folder / "home",
        experiments_dir=folder,
        lanes=1,
        max_parallel_experiments=1,
        ledger_url="",  # each cell has a ledger of its own
        mlflow_uri="",
        python=sys.executable,
        environments=("lab",),
        sweeper_max_age_s=3600.0,
        targets={
            TARGET: TargetEntry(
                file="tiny.yaml", environment="lab", disposable=True, families=(family,), identities=one_user(family)
            )
        },
    )
