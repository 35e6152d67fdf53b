"""The protocol of a fault: one way to hurt one place, and the way back.

Stateless: everything that revert needs is in the JSON handle, so that another worker on another day can revert.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeVar, runtime_checkable

from pydantic import JsonValue

from chaos_tasks.model.base import Value
from chaos_tasks.model.handle import Finding, Fingerprint, Handle, Receipt, Reversibility
from chaos_tasks.model.identity import Reach
from chaos_tasks.model.place import Place, S3Place
from chaos_tasks.ports import Clients, Clock


class FaultParams(Value):
    """Parameters of a fault: documented fields with units; at most one is named as the ordered intensity."""

    intensity_field: ClassVar[str | None] = None


P_contra = TypeVar("P_contra", bound=FaultParams, contravariant=True)


@dataclass(frozen=True)
class FaultContext:
    """All of the world that a fault may reach."""

    clock: Clock
    clients: Clients
    scratch: Path
    injector: str = "injector"  # name of the credentials that read a data source; a cloud's are in the place
    lease_s: float = 60.0  # a fault that can expire by itself must do so after this long


class Fault(Protocol[P_contra]):
    """One way to hurt one place, and the way back."""

    kind: ClassVar[str]
    summary: ClassVar[str]
    cause: ClassVar[str]
    params_type: ClassVar[type[FaultParams]]
    reversibility: ClassVar[Reversibility]
    place_types: ClassVar[tuple[type[Value], ...]]
    policy: ClassVar[Mapping[str, tuple[str, ...]]]

    def snapshot(self, place: Place, params: P_contra, ctx: FaultContext) -> Mapping[str, JsonValue]:
        """Read what revert will need.  No side effects."""

    def blast_radius(self, place: Place, params: P_contra) -> float:
        """Largest share (0..1) of rows, records or keys that these parameters can touch."""

    def inject(self, handle: Handle, params: P_contra, ctx: FaultContext) -> Receipt:
        """Hurt the place.  May be called again after a crash; twice within one firing is once."""

    def revert(self, handle: Handle, params: P_contra, ctx: FaultContext) -> Receipt:
        """Restore the prior state.  Safe from any phase, any number of times."""

    def inspect(self, handle: Handle, params: P_contra, ctx: FaultContext) -> Finding:
        """Say what is really there."""

    def fingerprint(self, place: Place, ctx: FaultContext) -> Fingerprint:
        """State of the place; equal before and after for a fault that restores."""


@runtime_checkable
class Reaching(Protocol):
    """A fault that reaches beyond its place: a disk, a machine, a way of the network.  Others reach their place."""

    def reach(self, place: Place | None, params: FaultParams) -> Reach:
        """What it may take away; ``place`` is None for a process that does not run yet."""


@runtime_checkable
class Renewable(Protocol):
    """A fault that ends by itself unless it is renewed: whoever renews the lease of its handle calls this too."""

    def renew(self, handle: Handle, params: FaultParams, ctx: FaultContext) -> bool:
        """Keep the fault in for another three leases; False, and nothing done, when it is not in any more."""


def touched(fault: Fault[Any], place: Place) -> frozenset[str]:
    """Names of the locks on what a fault writes to: its place, and a bucket's policy where it changes that."""
    if isinstance(place, S3Place) and "s3:PutBucketPolicy" in fault.policy.get("inject", ()):
        return frozenset({place.key, place.policy_key})
    return frozenset({place.key})
