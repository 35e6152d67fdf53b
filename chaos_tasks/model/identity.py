"""Three identities of an experiment: who injects, who reverts, who works; and what the inventory says of them."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Literal

from pydantic import Field

from chaos_tasks.model.base import Value


class Role(StrEnum):
    """What an identity is there for."""

    INJECTOR = "injector"
    REVERTER = "reverter"
    WORKLOAD = "workload"


class IdentityCheck(StrEnum):
    """What is to be proved before anything is touched."""

    PRINCIPALS = "principals"
    """Injector, reverter and workload are three principals."""

    REACH = "reach"
    """What the reverter stands on (key, policy, disk, network, machine) is not what the fault takes away."""


class NotApplicable(Value):
    """A check that does not apply to some families of faults on a target, and why; its owner's word, on record."""

    check: IdentityCheck
    families: tuple[str, ...] = Field(min_length=1)
    reason: str = Field(min_length=10, description="Why it does not apply; goes into the record of each run.")


class IdentityPolicy(Value):
    """A target's line on identities in the inventory."""

    injector: str = Field("injector", min_length=1, description="Name of the credentials that inject.")
    reverter: str = Field("reverter", min_length=1, description="Name of the credentials that revert.")
    principals: Mapping[Role, str] = Field(
        default_factory=dict, description="Who the credentials must turn out to be: an ARN, or the last part of one."
    )
    auditor: str = Field(
        "", description="Name of credentials that may read IAM, for `squall doctor --iam`; empty: each reads its own."
    )
    iam_resources: Literal["principal", "any"] = Field(
        "principal", description="any: the IAM of this place checks calls, and not whom they are about."
    )
    not_applicable: tuple[NotApplicable, ...] = ()

    def waived(self, check: IdentityCheck, family: str) -> str:
        """The reason why a check does not apply to a family; empty where it does."""
        return next((one.reason for one in self.not_applicable if one.check is check and family in one.families), "")


class Reach(Value):
    """What a fault may take away beside its own effect, by what a reverter could stand on."""

    principals: tuple[str, ...] = Field((), description="Users or ARNs that lose access, with all their keys.")
    folders: tuple[str, ...] = Field((), description="Folders in which any file may change or vanish.")
    disks: tuple[str, ...] = Field((), description="Paths on file systems that may be filled or go away.")
    endpoints: tuple[str, ...] = Field((), description="URLs or host:port that may not answer, or answer slowly.")
    instances: tuple[str, ...] = Field((), description="Machines that are stopped, by instance id.")


class Proof(Value):
    """One check of one step: proved, or waived by the inventory."""

    step: str
    check: IdentityCheck
    how: str = Field(description="What was compared, or the inventory's reason.")
    waived: bool = False
