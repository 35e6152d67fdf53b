"""What the cloud faults share: boto3's errors in our words, a try with the pipeline's own key, a guard for our own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import Any

from chaos_tasks.errors import FaultError, GuardTripped, SetupError
from chaos_tasks.faults.base import FaultContext
from chaos_tasks.faults.cloud.holding import UserTags
from chaos_tasks.model.handle import Handle
from chaos_tasks.model.place import Place, S3Place
from chaos_tasks.targets import aws

SETTLE_WITHIN_S = 30.0  # IAM says "eventually": seconds on AWS, milliseconds in the lab
REVERT_WITHIN_S = 30.0

READS = ("s3:ListBucket", "s3:GetObject")
NOT_THERE = "squall-probe-nobody-writes-this"


class Access(StrEnum):
    """What the pipeline's own credentials meet."""

    ALLOWED = "allowed"
    DENIED = "denied"
    PARTLY = "partly"  # some calls are allowed, some denied
    UNTRIED = "untried"  # we do not have them here, or there is no harmless call to try


@contextmanager
def explaining(kind: type[FaultError], doing: str, handle: Handle | None = None) -> Iterator[None]:
    """Errors of boto3 come out as ``kind``, with what to do next."""
    try:
        yield
    except aws.errors() as error:
        why = aws.error_code(error) or type(error).__name__
        handle_id = "" if handle is None else handle.id
        raise kind(f"{doing} failed: {why}", handle_id=handle_id, remedy=aws.remedy(error)) from error


def s3_place(place: Place) -> S3Place:
    """The place, if it is one of S3."""
    if not isinstance(place, S3Place):
        raise FaultError(f"{place.key} is no S3 prefix", remedy="give the step an s3 resource as its target")
    return place


def s3(place: S3Place, credentials: str, ctx: FaultContext) -> Any:
    """An S3 client for the place."""
    return ctx.clients.s3(credentials, endpoint=place.endpoint, region=place.region)


def iam(place: S3Place, credentials: str, ctx: FaultContext) -> Any:
    """An IAM client for the place."""
    return ctx.clients.iam(credentials, endpoint=place.endpoint, region=place.region)


def user_tags(place: S3Place, credentials: str, ctx: FaultContext) -> UserTags:
    """The tags of the place's principal."""
    return UserTags(iam(place, credentials, ctx), place.principal)


def try_access(place: S3Place, ctx: FaultContext, *, prefix: str = "", actions: tuple[str, ...] = READS) -> Access:
    """What the pipeline meets with its own key, in the calls that can be tried without harm."""
    try:
        client = s3(place, place.credentials, ctx)
    except SetupError:
        return Access.UNTRIED
    below = place.prefix + prefix
    calls = {
        "s3:ListBucket": lambda: client.list_objects_v2(Bucket=place.bucket, Prefix=below, MaxKeys=1),
        # Asking for what is not there reads nobody's data: allowed is "no such key", denied is "denied".
        "s3:GetObject": lambda: client.get_object(Bucket=place.bucket, Key=below + NOT_THERE),
    }
    met = {_meets(call) for action, call in calls.items() if action in actions or "s3:*" in actions}
    if not met:
        return Access.UNTRIED
    return met.pop() if len(met) == 1 else Access.PARTLY


def await_access(
    place: S3Place,
    handle: Handle,
    ctx: FaultContext,
    wanted: Access,
    *,
    prefix: str = "",
    actions: tuple[str, ...] = READS,
) -> Access:
    """What the pipeline meets in the end; untried when it did not get in before either: then it proves nothing."""
    if handle.prior.get("access") != Access.ALLOWED:
        return Access.UNTRIED
    met: list[Access] = []

    def settled() -> bool:
        met.append(try_access(place, ctx, prefix=prefix, actions=actions))
        return met[-1] in (wanted, Access.UNTRIED)

    aws.until(ctx.clock, settled, within_s=SETTLE_WITHIN_S)
    return met[-1]


def _meets(call: Any) -> Access:
    try:
        call()
    except aws.errors() as error:
        code = aws.error_code(error)
        if code in aws.DENIED | aws.BAD_KEY:
            return Access.DENIED
        if code != "NoSuchKey":
            raise
    return Access.ALLOWED


def refuse_own_hand(place: S3Place, ctx: FaultContext) -> None:
    """Raise GuardTripped when the reverting identity is the principal that is to lose its access."""
    user = place.principal.rpartition("/")[2]
    own = ctx.clients.environment(place.reverter).get("AWS_ACCESS_KEY_ID", "")
    within = own in aws.access_keys(iam(place, place.reverter, ctx), user) if own else _caller(place, ctx) == user
    if within:
        raise GuardTripped(
            f"{place.reverter!r} acts as {user}, whose access would be taken away: the fault could not be undone",
            remedy=f"give the credentials {place.reverter!r} an identity of their own",
        )


def _caller(place: S3Place, ctx: FaultContext) -> str:
    """The user behind a profile or default chain; empty for a role, which IAM answers with a validation error."""
    try:
        return str(iam(place, place.reverter, ctx).get_user()["User"]["UserName"])
    except aws.errors() as error:
        if aws.error_code(error) == "ValidationError":
            return ""
        raise
