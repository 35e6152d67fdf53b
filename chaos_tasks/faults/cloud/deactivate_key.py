"""The pipeline's access key stops working.

In real life: a key rotated without telling the pipeline, a leaked key that security switched off, an offboarded owner.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import ClassVar, cast

from pydantic import JsonValue

from chaos_tasks.errors import FaultError, GuardTripped, InjectError, RevertError
from chaos_tasks.faults.base import FaultContext, FaultParams
from chaos_tasks.faults.cloud import acting, holding
from chaos_tasks.faults.cloud.acting import Access, explaining
from chaos_tasks.model.base import Value, canonical
from chaos_tasks.model.handle import Finding, Fingerprint, Handle, Receipt, Reversibility
from chaos_tasks.model.place import Place, S3Place
from chaos_tasks.targets import aws

ACTIVE, INACTIVE = "Active", "Inactive"


class DeactivateKeyParams(FaultParams):
    """None: all active keys of the principal are switched off."""


class DeactivateKey:
    """Switches the principal's active keys off, and on again."""

    kind: ClassVar[str] = "cloud.deactivate_key"
    summary: ClassVar[str] = "The pipeline's access key is inactive: every call is refused."
    cause: ClassVar[str] = "A key rotated without telling the pipeline, or switched off after a leak."
    params_type: ClassVar[type[FaultParams]] = DeactivateKeyParams
    reversibility: ClassVar[Reversibility] = Reversibility.RESTORES
    place_types: ClassVar[tuple[type[Value], ...]] = (S3Place,)
    policy: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "inject": ("iam:ListAccessKeys", "iam:TagUser", "iam:UpdateAccessKey"),
        "revert": (*("iam:GetUser", "iam:ListAccessKeys", "iam:ListUserTags", "iam:UntagUser", "iam:UpdateAccessKey"),),
    }

    def snapshot(self, place: Place, params: DeactivateKeyParams, ctx: FaultContext) -> Mapping[str, JsonValue]:
        """Ids of the keys that are active (an id is no secret), and whether the pipeline gets in now."""
        where = acting.s3_place(place)
        with explaining(FaultError, f"reading the keys of {where.principal}"):
            acting.refuse_own_hand(where, ctx)
            holding.refuse_held(acting.user_tags(where, where.reverter, ctx), self.kind, where.principal)
            keys = _keys(where, where.reverter, ctx)
            before = acting.try_access(where, ctx)
        active: list[JsonValue] = [id for id, status in sorted(keys.items()) if status == ACTIVE]
        if not active:
            raise GuardTripped(f"{where.principal} has no active key", remedy="name the pipeline's own principal")
        return {"active": active, "access": before.value}

    def blast_radius(self, place: Place, params: DeactivateKeyParams) -> float:
        """Everything that the principal does."""
        return 1.0

    def inject(self, handle: Handle, params: DeactivateKeyParams, ctx: FaultContext) -> Receipt:
        """Switch the keys off, and wait until the pipeline's own credentials are refused."""
        where = acting.s3_place(handle.place)
        with explaining(InjectError, f"switching keys of {where.principal} off", handle):
            holding.hold(acting.user_tags(where, where.injector, ctx), handle)
            _switch(where, handle, where.injector, ctx, to=INACTIVE)
            met = acting.await_access(where, handle, ctx, Access.DENIED)
        if met in {Access.ALLOWED, Access.PARTLY}:
            raise InjectError(
                f"the keys of {where.principal} are inactive, and {where.credentials!r} still gets in",
                handle_id=handle.id,
                remedy=f"check that the credentials {where.credentials!r} belong to {where.principal}",
            )
        return Receipt(
            at=ctx.clock.now(),
            effective=self.inspect(handle, params, ctx) is Finding.INJECTED,
            summary=f"{len(_were_active(handle))} keys of {where.principal} are inactive",
            evidence={"keys": len(_were_active(handle)), "pipeline_meets": met.value},
        )

    def revert(self, handle: Handle, params: DeactivateKeyParams, ctx: FaultContext) -> Receipt:
        """Switch on again what was on, and wait until the pipeline gets in."""
        where = acting.s3_place(handle.place)
        with explaining(RevertError, f"switching keys of {where.principal} on", handle):
            tags = acting.user_tags(where, where.reverter, ctx)
            if held := aws.persist(ctx.clock, lambda: holding.let_go(tags, handle), within_s=acting.REVERT_WITHIN_S):
                return holding.left_to_its_holder(where.principal, held, ctx.clock)
            aws.persist(
                ctx.clock,
                lambda: _switch(where, handle, where.reverter, ctx, to=ACTIVE),
                within_s=acting.REVERT_WITHIN_S,
            )
            met = acting.await_access(where, handle, ctx, Access.ALLOWED)
        if met in {Access.DENIED, Access.PARTLY}:
            raise RevertError(
                f"the keys of {where.principal} are active, and {where.credentials!r} is still refused",
                handle_id=handle.id,
                remedy=f"look for a policy that denies {where.principal}",
            )
        return Receipt(
            at=ctx.clock.now(),
            effective=self.inspect(handle, params, ctx) is Finding.ARMED,
            summary=f"{len(_were_active(handle))} keys of {where.principal} are active again",
            evidence={"keys": len(_were_active(handle)), "pipeline_meets": met.value},
        )

    def inspect(self, handle: Handle, params: DeactivateKeyParams, ctx: FaultContext) -> Finding:
        """What IAM says of the keys that were active; once on again, nothing shows that they were off."""
        where = acting.s3_place(handle.place)
        try:
            keys = _keys(where, where.reverter, ctx)
        except aws.errors():
            return Finding.UNKNOWN
        states = {keys.get(id) for id in _were_active(handle)}
        if states == {ACTIVE}:
            return Finding.ARMED
        return Finding.INJECTED if states == {INACTIVE} else Finding.PARTIAL

    def fingerprint(self, place: Place, ctx: FaultContext) -> Fingerprint:
        """Which keys the principal has, and which of them are active."""
        where = acting.s3_place(place)
        with explaining(FaultError, f"reading the keys of {where.principal}"):
            keys = _keys(where, where.reverter, ctx)
        return Fingerprint(
            digest=hashlib.sha256(canonical(keys)).hexdigest(),
            covers=f"ids and states of the access keys of {where.principal}",
            leaves_out="secrets, policies, when a key was last used",
        )


def _keys(where: S3Place, credentials: str, ctx: FaultContext) -> dict[str, str]:
    return aws.access_keys(acting.iam(where, credentials, ctx), where.principal)


def _were_active(handle: Handle) -> list[str]:
    return cast("list[str]", handle.prior["active"])


def _switch(where: S3Place, handle: Handle, credentials: str, ctx: FaultContext, *, to: str) -> None:
    """Only keys that were active before and still exist: one deleted meanwhile is its owner's decision."""
    iam = acting.iam(where, credentials, ctx)
    states = aws.access_keys(iam, where.principal)
    for id in _were_active(handle):
        if states.get(id, to) != to:
            iam.update_access_key(UserName=where.principal, AccessKeyId=id, Status=to)
