"""The pipeline's principal may not reach its objects any more.

In real life: a tightened bucket policy, a permission boundary, an infrastructure change that drops a grant, a prefix
renamed on one side only.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, cast

from pydantic import Field, JsonValue

from chaos_tasks.errors import FaultError, GuardTripped, InjectError, RevertError
from chaos_tasks.faults.base import FaultContext, FaultParams
from chaos_tasks.faults.cloud import acting, holding
from chaos_tasks.faults.cloud.acting import Access, explaining
from chaos_tasks.model.base import Value, canonical
from chaos_tasks.model.handle import Finding, Fingerprint, Handle, Receipt, Reversibility
from chaos_tasks.model.place import Place, S3Place
from chaos_tasks.targets import aws
from chaos_tasks.targets.aws import Document

BUCKET_ACTIONS = re.compile(r"s3:(\*|ListBucket.*|GetBucket.*)")
Action = Annotated[str, Field(pattern=r"^s3:(\*|[A-Z][A-Za-z]*)$")]


class DenyAccessParams(FaultParams):
    """How, and to what, access is taken away."""

    via: Literal["bucket_policy", "user_policy"] = Field(
        default="bucket_policy",
        description="bucket_policy: adds a Deny to it.  user_policy: takes the user's inline policies away, whole.",
    )
    actions: tuple[Action, ...] = Field(
        default=("s3:GetObject", "s3:ListBucket", "s3:PutObject"),
        min_length=1,
        description="What is denied; `user_policy` takes all that the policies grant, and tries these.",
    )
    prefix: str = Field(default="", description="Narrower than the place: appended to its prefix.")


class DenyAccess:
    """Denies the principal by policy, and takes the denial back."""

    kind: ClassVar[str] = "cloud.deny_access"
    summary: ClassVar[str] = "The pipeline's own credentials get AccessDenied on its objects."
    cause: ClassVar[str] = "A tightened bucket policy, or an infrastructure change that drops a grant."
    params_type: ClassVar[type[FaultParams]] = DenyAccessParams
    reversibility: ClassVar[Reversibility] = Reversibility.RESTORES
    place_types: ClassVar[tuple[type[Value], ...]] = (S3Place,)
    policy: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "inject": (
            *("s3:GetBucketPolicy", "s3:PutBucketPolicy"),
            *("iam:ListUserPolicies", "iam:GetUserPolicy", "iam:DeleteUserPolicy", "iam:TagUser"),
        ),
        "revert": (
            *("s3:GetBucketPolicy", "s3:PutBucketPolicy", "s3:DeleteBucketPolicy", "iam:GetUser"),
            *("iam:ListAccessKeys", "iam:ListUserPolicies", "iam:GetUserPolicy", "iam:PutUserPolicy"),
            *("iam:ListUserTags", "iam:UntagUser"),
        ),
    }

    def snapshot(self, place: Place, params: DenyAccessParams, ctx: FaultContext) -> Mapping[str, JsonValue]:
        """The principal's ARN, whether there was a bucket policy, or the inline policies that will be taken away."""
        where = acting.s3_place(place)
        with explaining(FaultError, f"reading the policies of {where.principal}"):
            acting.refuse_own_hand(where, ctx)
            before = acting.try_access(where, ctx, prefix=params.prefix, actions=params.actions)
            iam = acting.iam(where, where.reverter, ctx)
            if params.via == "bucket_policy":
                policy = aws.bucket_policy(acting.s3(where, where.reverter, ctx), where.bucket)
                arn = aws.user_arn(iam, where.principal)
                return {"arn": arn, "had_policy": policy is not None, "access": before.value}
            holding.refuse_held(acting.user_tags(where, where.reverter, ctx), self.kind, where.principal)
            policies = aws.user_policies(iam, where.principal)
        if not policies:
            raise GuardTripped(
                f"{where.principal} has no inline policy that could be taken away", remedy="use `via: bucket_policy`"
            )
        return {"policies": {name: dict(each) for name, each in policies.items()}, "access": before.value}

    def blast_radius(self, place: Place, params: DenyAccessParams) -> float:
        """All keys of the place; how many lie below a narrower prefix cannot be known without asking."""
        return 1.0

    def inject(self, handle: Handle, params: DenyAccessParams, ctx: FaultContext) -> Receipt:
        """Put the denial in, and wait until the pipeline's own credentials meet it."""
        where = acting.s3_place(handle.place)
        with explaining(InjectError, f"taking access from {where.principal}", handle):
            if params.via == "bucket_policy":
                _deny(where, handle, params, ctx)
            else:
                iam = acting.iam(where, where.injector, ctx)
                holding.hold(acting.user_tags(where, where.injector, ctx), handle)
                for name in aws.user_policies(iam, where.principal).keys() & _taken(handle).keys():
                    iam.delete_user_policy(UserName=where.principal, PolicyName=name)
            met = acting.await_access(where, handle, ctx, Access.DENIED, prefix=params.prefix, actions=params.actions)
        if met in {Access.ALLOWED, Access.PARTLY}:
            raise InjectError(
                f"the {params.via} denies {where.principal}, and {where.credentials!r} still gets in",
                handle_id=handle.id,
                remedy=f"check that the credentials {where.credentials!r} belong to {where.principal}",
            )
        return Receipt(
            at=ctx.clock.now(),
            effective=self.inspect(handle, params, ctx) is Finding.INJECTED,
            summary=f"{where.principal} is denied {len(params.actions)} actions by {params.via}",
            evidence={"via": params.via, "actions": list(params.actions), "pipeline_meets": met.value},
        )

    def revert(self, handle: Handle, params: DenyAccessParams, ctx: FaultContext) -> Receipt:
        """Take the denial out, leaving what others changed meanwhile, and wait until the pipeline gets in again."""
        where = acting.s3_place(handle.place)
        with explaining(RevertError, f"giving access back to {where.principal}", handle):
            if params.via == "user_policy":
                tags = acting.user_tags(where, where.reverter, ctx)
                if held := aws.persist(
                    ctx.clock, lambda: holding.let_go(tags, handle), within_s=acting.REVERT_WITHIN_S
                ):
                    return holding.left_to_its_holder(where.principal, held, ctx.clock)
            undo = _allow_again if params.via == "bucket_policy" else _grant_again
            aws.persist(ctx.clock, lambda: undo(where, handle, ctx), within_s=acting.REVERT_WITHIN_S)
            met = acting.await_access(where, handle, ctx, Access.ALLOWED, prefix=params.prefix, actions=params.actions)
        if met in {Access.DENIED, Access.PARTLY}:
            raise RevertError(
                f"the {params.via} is as before, and {where.credentials!r} is still denied",
                handle_id=handle.id,
                remedy=f"look for another policy or an inactive key of {where.principal}",
            )
        return Receipt(
            at=ctx.clock.now(),
            effective=self.inspect(handle, params, ctx) is Finding.ARMED,
            summary=f"{where.principal} has its access back",
            evidence={"via": params.via, "pipeline_meets": met.value},
        )

    def inspect(self, handle: Handle, params: DenyAccessParams, ctx: FaultContext) -> Finding:
        """What the policies say; once reverted nothing shows that the denial was ever there."""
        where = acting.s3_place(handle.place)
        try:
            if params.via == "bucket_policy":
                policy = aws.bucket_policy(acting.s3(where, where.reverter, ctx), where.bucket)
                wanted = {str(each["Sid"]) for each in _denials(where, handle, params)}
                gone = wanted & {str(each.get("Sid")) for each in aws.statements(policy)}
            else:
                wanted = set(_taken(handle))
                gone = wanted - aws.user_policies(acting.iam(where, where.reverter, ctx), where.principal).keys()
        except aws.errors():
            return Finding.UNKNOWN
        if not gone:
            return Finding.ARMED
        return Finding.INJECTED if gone == wanted else Finding.PARTIAL

    def fingerprint(self, place: Place, ctx: FaultContext) -> Fingerprint:
        """What the bucket's policy and the user's inline policies say."""
        where = acting.s3_place(place)
        with explaining(FaultError, f"reading the policies of {where.principal}"):
            bucket = aws.bucket_policy(acting.s3(where, where.reverter, ctx), where.bucket)
            inline = aws.user_policies(acting.iam(where, where.reverter, ctx), where.principal)
        said = [aws.policy_digest(bucket), {name: aws.policy_digest(each) for name, each in inline.items()}]
        return Fingerprint(
            digest=hashlib.sha256(canonical(said)).hexdigest(),
            covers=f"policy of bucket {where.bucket}, inline policies of {where.principal}",
            leaves_out="managed and group policies, boundaries, keys, objects",
        )


def _deny(where: S3Place, handle: Handle, params: DenyAccessParams, ctx: FaultContext) -> None:
    """Add our statements to whatever the policy says now.  S3 has no compare-and-set: inspection reads them back."""
    s3 = acting.s3(where, where.injector, ctx)
    live = aws.bucket_policy(s3, where.bucket)
    wanted = aws.with_statements(live, _denials(where, handle, params))
    if aws.policy_digest(live) != aws.policy_digest(wanted):
        aws.put_bucket_policy(s3, where.bucket, wanted)


def _allow_again(where: S3Place, handle: Handle, ctx: FaultContext) -> None:
    s3 = acting.s3(where, where.reverter, ctx)
    policy = aws.bucket_policy(s3, where.bucket)
    ours = {str(each["Sid"]) for each in aws.statements(policy) if str(each.get("Sid", "")).startswith(_sid(handle))}
    if policy is not None and ours:
        aws.put_bucket_policy(s3, where.bucket, aws.without_statements(policy, ours))


def _grant_again(where: S3Place, handle: Handle, ctx: FaultContext) -> None:
    iam = acting.iam(where, where.reverter, ctx)
    live = aws.user_policies(iam, where.principal)
    for name, policy in _taken(handle).items():
        # One that somebody has put back, or changed, meanwhile is theirs.
        if name not in live:
            iam.put_user_policy(UserName=where.principal, PolicyName=name, PolicyDocument=json.dumps(policy))


def _denials(where: S3Place, handle: Handle, params: DenyAccessParams) -> list[Document]:
    """One statement for objects and one for the bucket's listing, both below the prefix only."""
    below, bucket = where.prefix + params.prefix, f"arn:aws:s3:::{where.bucket}"
    on_bucket = [action for action in params.actions if BUCKET_ACTIONS.fullmatch(action)]
    on_objects = [action for action in params.actions if action == "s3:*" or action not in on_bucket]
    common: dict[str, Any] = {"Effect": "Deny", "Principal": {"AWS": str(handle.prior["arn"])}}
    found: list[Document] = []
    if on_objects:
        objects: dict[str, Any] = {"Action": on_objects, "Resource": f"{bucket}/{below}*"}
        found.append({"Sid": _sid(handle) + "objects", **common, **objects})
    if on_bucket:
        listing: dict[str, Any] = {"Action": on_bucket, "Resource": bucket}
        if below:
            listing["Condition"] = {"StringLike": {"s3:prefix": f"{below}*"}}
        found.append({"Sid": _sid(handle) + "listing", **common, **listing})
    return found


def _sid(handle: Handle) -> str:
    """AWS takes letters and digits only; the digest keeps apart ids that differ in the rest."""
    readable = re.sub(r"[^A-Za-z0-9]", "", handle.id)
    return f"squall{readable}x{hashlib.sha256(handle.id.encode()).hexdigest()[:8]}"


def _taken(handle: Handle) -> Mapping[str, Document]:
    return cast("Mapping[str, Document]", handle.prior["policies"])
