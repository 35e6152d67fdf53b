"""From a request to a plan: seeds, places, locks and workspace, decided before anything is touched."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from chaos_tasks import registry
from chaos_tasks.errors import GuardTripped
from chaos_tasks.faults.base import touched
from chaos_tasks.model.experiment import Experiment, Step
from chaos_tasks.model.identity import IdentityPolicy
from chaos_tasks.model.place import (
    DvcPlace,
    InstancePlace,
    Place,
    S3Place,
    StreamPlace,
    dag_key,
    instance_key,
    principal_key,
)
from chaos_tasks.model.plan import Lock, Overrides, Pin, Plan
from chaos_tasks.model.request import RunRequest
from chaos_tasks.model.target import AirflowDagWorkload, Ec2InstanceResource, RedisStreamResource, S3Resource, Target

CLONE = "clone"  # folder of a run's isolated clone, below its workspace


@dataclass(frozen=True)
class Source:
    """The version of the data and code that a run starts from."""

    commit: str
    data_digest: str


def make_plan(
    request: RunRequest,
    target: Target,
    source: Source,
    *,
    environment: str,
    home: Path,
    now: datetime,
    identities: IdentityPolicy | None = None,
) -> Plan:
    """Bind an experiment to its target; pure.  Raises GuardTripped for overrides that do not fit."""
    experiment = overridden(request.experiment, request.overrides)
    workspace = home / "runs" / request.run_id
    who = identities or IdentityPolicy()
    places = {
        step.name: place
        for step in experiment.method
        if (place := _place(step, target, source, workspace, request.run_id, who))
    }
    return Plan(
        run_id=request.run_id,
        campaign_id=request.campaign_id,
        experiment=experiment,
        experiment_digest=experiment.content_sha256,
        experiment_file_sha256=request.experiment_file_sha256,
        target=target,
        target_digest=target.content_sha256,
        environment=environment,
        source_commit=source.commit,
        data_digest=source.data_digest,
        seeds=request.pin.seeds if request.pin else seeds_of(experiment, now),
        workspace=str(workspace),
        places=places,
        locks=_locks(experiment, target, places),
        overrides=request.overrides,
        continues=request.pin.continues if request.pin else (),
        fresh_controls=request.fresh_controls,
        search_id=request.search_id,
        requested_by=request.requested_by,
        planned_at=now,
    )


def at_pin(target: Target, pin: Pin | None) -> Target:
    """The target as it is read at the pinned commit; without a pin, at the revision that its file names."""
    if pin is None:
        return target
    return target.model_copy(update={"source": target.source.model_copy(update={"rev": pin.source_commit})})


def check_pin(request: RunRequest, target: Target, source: Source) -> None:
    """Raise GuardTripped where the target or its data are not those that the pinned run had."""
    pin, name = request.pin, target.name
    if pin is None:
        return
    if pin.target_digest not in ("", target.content_sha256):
        raise GuardTripped(
            f"the file of target {name} is not the one that the pinned run used",
            remedy="restore it, or run on what is there now: that is another question",
        )
    if pin.data_digest != source.data_digest:
        raise GuardTripped(
            f"the data of {name} at {source.commit[:12]} are not those that the pinned run used",
            remedy="compare `source.data` and `source.sealed` in the target file with those of then",
        )


def overridden(experiment: Experiment, overrides: Overrides) -> Experiment:
    """The experiment with a person's overrides; raises GuardTripped when one does not fit."""
    changed = experiment.model_dump(mode="json")
    for step in changed["method"]:
        if overrides.intensity is not None:
            step["params"] = dict(registry.with_intensity(step["fault"], step["params"], overrides.intensity))
        if overrides.hold_s is not None:
            if step["trigger"]["at"] == "before":
                raise GuardTripped(
                    f"step {step['name']} stays in until its revert; it has no hold to override",
                    remedy="leave `hold` empty for this experiment",
                )
            step["hold"] = f"{round(overrides.hold_s * 1000)}ms"
    if overrides.seeds is not None:
        changed["analysis"]["seeds"] = overrides.seeds
    if overrides.base_seed is not None:
        changed["analysis"]["base_seed"] = overrides.base_seed
    return Experiment.model_validate(changed)


def seeds_of(experiment: Experiment, now: datetime) -> tuple[int, ...]:
    """Seeds of a run: from the file, or from the night's date, so that a night adds evidence and a re-run does not."""
    analysis = experiment.analysis
    days = (now.astimezone(UTC).date() - datetime(2020, 1, 1, tzinfo=UTC).date()).days
    first = days * 1000 if analysis.base_seed is None else analysis.base_seed
    return tuple(range(first, first + analysis.seeds))


def controls_ahead(plan: Plan) -> bool:
    """Whether all controls must run before the fault is in: it stands on something that a control would meet too.

    A data fault lies in the run's own clone, a stream fault below the prefix of its treatment trials, and one fired
    during the workload meets treatment trials only.
    """
    standing = [plan.places.get(step.name) for step in plan.experiment.method if not step.fires_during]
    return any(place is None or place.type not in ("dvc", "stream") for place in standing)


def fault_seed(run_seed: int, step: str, n: int = 0) -> int:
    """Seed of a fault's own draws: apart from the training's, and reproducible from the plan."""
    return int.from_bytes(hashlib.sha256(f"{run_seed}/{step}/{n}".encode()).digest()[:6], "big")


def stream_prefix(key: str, run_id: str) -> str:
    """Keys of one run's streams: runs never share a stream, so they need not wait for each other."""
    return f"{key}:{run_id}"


def _place(
    step: Step, target: Target, source: Source, workspace: Path, run_id: str, who: IdentityPolicy
) -> Place | None:
    if step.target == "data":
        return DvcPlace(
            clone=str(workspace / CLONE),
            source=target.source.repo,
            commit=source.commit,
            data=target.source.data,
            format=target.source.format,
            csv=target.source.csv,
        )
    resource = target.resources.get(step.target)
    if isinstance(resource, S3Resource):
        return S3Place(
            endpoint=resource.endpoint,
            region=resource.region,
            bucket=resource.bucket,
            prefix=resource.prefix,
            principal=resource.principal,
            credentials=resource.credentials,
            injector=who.injector,
            reverter=who.reverter,
        )
    if isinstance(resource, RedisStreamResource):
        return StreamPlace(url=resource.url, key_prefix=stream_prefix(resource.key, run_id))
    if isinstance(resource, Ec2InstanceResource):
        return InstancePlace(
            endpoint=resource.endpoint,
            region=resource.region,
            instance_id=resource.instance_id,
            pid_file=resource.pid_file,
            injector=who.injector,
            reverter=who.reverter,
        )
    return None


def _locks(experiment: Experiment, target: Target, places: Mapping[str, Place]) -> tuple[Lock, ...]:
    """Fault targets exclusive, everything that the workload reads shared."""
    keys = {f"experiment:{experiment.name}": True, f"source:{target.source.repo}": False}
    for resource in target.resources.values():
        for key in _resource_keys(resource):
            keys[key] = False
    for step in experiment.method:
        if step.name in places:
            keys.update(dict.fromkeys(touched(registry.fault(step.fault), places[step.name]), True))
    workload = target.workload
    if isinstance(workload, AirflowDagWorkload) and workload.attach is not None:  # all would hit the same next run
        keys[dag_key(workload.connection.url, workload.dag_id)] = True
    return tuple(Lock(key=key, exclusive=exclusive) for key, exclusive in sorted(keys.items()))


def _resource_keys(resource: S3Resource | RedisStreamResource | Ec2InstanceResource) -> tuple[str, ...]:
    if isinstance(resource, S3Resource):
        return (principal_key(resource.endpoint, resource.principal),)
    if isinstance(resource, RedisStreamResource):
        return ()  # each run has streams of its own
    return (instance_key(resource.endpoint, resource.region, resource.instance_id),)
