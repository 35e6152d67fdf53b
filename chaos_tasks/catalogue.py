"""Which kinds of fault a target can suffer at all: by the places that it has."""

from __future__ import annotations

from collections.abc import Mapping

from chaos_tasks import registry
from chaos_tasks.errors import SquallError
from chaos_tasks.model.base import Value
from chaos_tasks.model.handle import Reversibility
from chaos_tasks.model.place import DvcPlace, InstancePlace, ProcessPlace, S3Place, StreamPlace, TaskPlace
from chaos_tasks.model.target import AirflowDagWorkload, Ec2InstanceResource, RedisStreamResource, S3Resource, Target

_OF_RESOURCES: Mapping[type[Value], type[Value]] = {
    S3Resource: S3Place,
    RedisStreamResource: StreamPlace,
    Ec2InstanceResource: InstancePlace,
}


def places_of(target: Target) -> frozenset[type[Value]]:
    """Sorts of place that a target has: its data, its processes, its task, and one per declared resource."""
    data: set[type[Value]] = {DvcPlace} if target.source.data else set()
    processes = {TaskPlace} if isinstance(target.workload, AirflowDagWorkload) else {ProcessPlace, TaskPlace}
    return frozenset({*data, *processes, *(_OF_RESOURCES[type(one)] for one in target.resources.values())})


def ruled_out(kind: str, target: Target, *, disposable: bool = True) -> str:
    """Why a kind of fault cannot be run on a target; empty where it can."""
    try:
        fault = registry.fault(kind)
    except (SquallError, ImportError) as error:
        return f"cannot be loaded: {type(error).__name__}"
    if not places_of(target).intersection(fault.place_types):
        no_data = DvcPlace in fault.place_types
        return "the target names no data (`source.data`)" if no_data else "the target declares no such resource"
    formats = getattr(fault, "formats", None)
    if formats is not None and target.source.format not in formats:
        return f"its data are {target.source.format}, which it does not act on"
    if fault.reversibility is Reversibility.IRREVERSIBLE and not disposable:
        return "it cannot be undone, and the target is not disposable"
    return ""


def applicable_kinds(target: Target, *, disposable: bool = True) -> tuple[str, ...]:
    """Registered kinds of fault that can be run on a target, sorted.

    Families that the inventory does not allow are among them: who forbids a test does not become more resilient by it.
    """
    return tuple(kind for kind in registry.fault_kinds() if not ruled_out(kind, target, disposable=disposable))
