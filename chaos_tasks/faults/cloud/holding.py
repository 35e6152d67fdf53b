"""Who holds an effect that bears no name of its own: a tag on the user or the instance, one per handle.

A stopped key or machine does not say who stopped it.  Each injection tags the place before it acts; each revert takes
its own tag away before it undoes, and undoes nothing while another run's tag is there.  So an undo that comes late
leaves alone what the run did that has the place by now; that run's own revert, which is yet to come, takes both out.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from chaos_tasks.errors import GuardTripped
from chaos_tasks.model.handle import Handle, Receipt
from chaos_tasks.ports import Clock

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_iam import IAMClient

PREFIX = "squall:"


class Tags(Protocol):
    """The tags of one place."""

    def read(self) -> dict[str, str]:
        """All of them."""

    def add(self, key: str, value: str) -> None:
        """Set one."""

    def remove(self, key: str) -> None:
        """Remove one, if it is there."""


@dataclass(frozen=True)
class UserTags:
    """Of an IAM user."""

    iam: IAMClient
    user: str

    def read(self) -> dict[str, str]:
        """All of them; users have at most 50, so that one page may not hold them all."""
        pages = self.iam.get_paginator("list_user_tags").paginate(UserName=self.user)
        return {tag["Key"]: tag["Value"] for page in pages for tag in page["Tags"]}

    def add(self, key: str, value: str) -> None:
        """Set one."""
        self.iam.tag_user(UserName=self.user, Tags=[{"Key": key, "Value": value}])

    def remove(self, key: str) -> None:
        """Remove one, if it is there."""
        self.iam.untag_user(UserName=self.user, TagKeys=[key])


@dataclass(frozen=True)
class InstanceTags:
    """Of an EC2 instance."""

    ec2: EC2Client
    instance_id: str

    def read(self) -> dict[str, str]:
        """All of them."""
        seen = self.ec2.describe_instances(InstanceIds=[self.instance_id])
        return {tag["Key"]: tag["Value"] for tag in seen["Reservations"][0]["Instances"][0].get("Tags", [])}

    def add(self, key: str, value: str) -> None:
        """Set one."""
        self.ec2.create_tags(Resources=[self.instance_id], Tags=[{"Key": key, "Value": value}])

    def remove(self, key: str) -> None:
        """Remove one, if it is there."""
        self.ec2.delete_tags(Resources=[self.instance_id], Tags=[{"Key": key}])


def hold(tags: Tags, handle: Handle) -> None:
    """Say that the handle's fault is about to be in."""
    tags.add(_key(handle), _run(handle))


def let_go(tags: Tags, handle: Handle) -> str:
    """Take the handle's own tag away; the tag of another run that holds the same effect, or an empty text.

    In this order: a holder that undoes has let go before, so whoever was late and acts after that undo sees no holder,
    and undoes what it did.  Tags of the same run do not count: its steps put the place back one after the other.
    """
    tags.remove(_key(handle))
    held = (key for key, run in tags.read().items() if key.startswith(_kind(handle.kind)) and run != _run(handle))
    return next(held, "")


def refuse_held(tags: Tags, kind: str, place: str) -> None:
    """Raise GuardTripped where a tag is left, of a run that was killed while it was late: its effect may be in."""
    left = next((key for key in tags.read() if key.startswith(_kind(kind))), "")
    if left:
        raise GuardTripped(
            f"{place} bears the tag {left}: a run holds it, or was killed while it did",
            remedy="`squall status` lists open handles; where none is of this place, put it right and remove the tag",
        )


def left_to_its_holder(place: str, held: str, clock: Clock) -> Receipt:
    """What a revert says that left the effect in."""
    summary = f"left as it is: another run holds {place} by the tag {held}, and puts it back"
    return Receipt(at=clock.now(), effective=False, summary=summary, evidence={"held_by": held})


def _kind(kind: str) -> str:
    return f"{PREFIX}{kind}:"


def _key(handle: Handle) -> str:
    return _kind(handle.kind) + _digest(handle.id)


def _run(handle: Handle) -> str:
    return _digest(handle.run_id)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:24]
