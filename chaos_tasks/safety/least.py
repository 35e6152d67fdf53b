"""The least that injector and reverter need for some faults on some targets: the union of the faults' own policies."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from chaos_tasks import registry
from chaos_tasks.model.identity import IdentityPolicy, Role
from chaos_tasks.model.target import Ec2InstanceResource, RedisStreamResource, S3Resource, Target
from chaos_tasks.targets.permissions import Grant

OF_BUCKETS = re.compile(r"s3:(ListBucket|GetBucket|PutBucket|DeleteBucket)\w*")
PARTS = {Role.INJECTOR: "inject", Role.REVERTER: "revert"}


@dataclass(frozen=True)
class Spot:
    """Where somebody can be asked who an identity is, and who may read its policies."""

    endpoint: str
    region: str
    auditor: str = ""


@dataclass
class Need:
    """What one identity needs, for what, and where it acts."""

    role: Role
    credentials: str
    grants: set[Grant] = field(default_factory=set)
    faults: set[str] = field(default_factory=set)
    targets: set[str] = field(default_factory=set)
    spots: set[Spot] = field(default_factory=set)


@dataclass(frozen=True)
class Asked:
    """Faults that are to run on a target."""

    target: Target
    policy: IdentityPolicy
    kinds: tuple[str, ...]


def needs_of(asked: Iterable[Asked]) -> list[Need]:
    """One per role and name of credentials that any of the faults gives something to do in a cloud."""
    found: dict[tuple[Role, str], Need] = {}
    for one in asked:
        for role, name in ((Role.INJECTOR, one.policy.injector), (Role.REVERTER, one.policy.reverter)):
            for kind in one.kinds:
                actions = registry.fault(kind).policy.get(PARTS[role], ())
                if actions:
                    need = found.setdefault((role, name), Need(role, name))
                    need.grants.update(grant for action in actions for grant in _on(action, one))
                    need.faults.add(kind)
                    need.targets.add(one.target.name)
                    need.spots.update(_spots(one))
    return [found[key] for key in sorted(found)]


def _on(action: str, asked: Asked) -> Iterator[Grant]:
    """The action on each resource of the target that it can be about; on any where the target does not tell."""
    service = action.partition(":")[0]
    found = [
        where
        for resource in asked.target.resources.values()
        if (where := _resource(action, service, resource, asked.policy))
    ]
    for where in found or ["arn:aws:s3:::*" if service == "s3" else "*"]:
        yield Grant(action=action, resource=where)


def _resource(
    action: str,
    service: str,
    resource: S3Resource | RedisStreamResource | Ec2InstanceResource,
    policy: IdentityPolicy,
) -> str:
    if isinstance(resource, S3Resource) and service == "s3":
        bucket = f"arn:aws:s3:::{resource.bucket}"
        return bucket if OF_BUCKETS.fullmatch(action) else f"{bucket}/*"
    if isinstance(resource, S3Resource) and service == "iam":
        user = resource.principal if resource.principal.startswith("arn:") else f"arn:aws:iam::*:user/{_name(resource)}"
        return user if policy.iam_resources == "principal" else "*"
    if isinstance(resource, Ec2InstanceResource) and service == "ec2":
        machine = _machine(resource)
        return "*" if action.startswith("ec2:Describe") else machine
    return ""


def _name(resource: S3Resource) -> str:
    return resource.principal.rpartition("/")[2]


def _spots(asked: Asked) -> set[Spot]:
    return {
        Spot(resource.endpoint, resource.region, asked.policy.auditor)
        for resource in asked.target.resources.values()
        if isinstance(resource, S3Resource | Ec2InstanceResource)
    }


def _machine(resource: Ec2InstanceResource) -> str:
    """AWS knows rights on one machine; what merely speaks its protocol, such as moto, knows them on all or on none."""
    on_aws = not resource.endpoint or ".amazonaws.com" in resource.endpoint
    return f"arn:aws:ec2:{resource.region}:*:instance/{resource.instance_id}" if on_aws else "*"
