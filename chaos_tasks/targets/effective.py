"""All policies that say what a user or role may do: its own, those attached to it, and those of its groups."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from chaos_tasks.errors import SetupError
from chaos_tasks.targets import aws
from chaos_tasks.targets.aws import Document
from chaos_tasks.targets.principals import Principal


def policies_of(iam: Any, principal: Principal) -> dict[str, Document]:
    """Documents by where they stand; raises SetupError where one cannot be read: a part of them proves nothing."""
    kind = principal.arn.rpartition(":")[2].partition("/")[0]
    read = {"user": _of_user, "role": _of_role}.get(kind)
    if read is None:
        raise SetupError(f"{principal.arn} is neither a user nor a role", remedy="use credentials of a user or a role")
    try:
        return dict(read(iam, principal.name))
    except aws.errors() as error:
        why = aws.error_code(error) or type(error).__name__
        raise SetupError(
            f"the policies of {principal.arn} cannot be read: {why}",
            remedy="name credentials that may read IAM as `auditor` of the target's identities in squall.toml",
        ) from error


def _of_user(iam: Any, name: str) -> Iterator[tuple[str, Document]]:
    yield from _inline(iam, "user", name)
    yield from _attached(iam, "user", name)
    for page in iam.get_paginator("list_groups_for_user").paginate(UserName=name):
        for group in page["Groups"]:
            yield from _inline(iam, "group", group["GroupName"])
            yield from _attached(iam, "group", group["GroupName"])


def _of_role(iam: Any, name: str) -> Iterator[tuple[str, Document]]:
    yield from _inline(iam, "role", name)
    yield from _attached(iam, "role", name)


def _inline(iam: Any, kind: str, name: str) -> Iterator[tuple[str, Document]]:
    whose = {f"{kind.title()}Name": name}
    get = getattr(iam, f"get_{kind}_policy")
    for page in iam.get_paginator(f"list_{kind}_policies").paginate(**whose):
        for policy in page["PolicyNames"]:
            yield f"{kind} {name}: {policy}", _document(get(**whose, PolicyName=policy)["PolicyDocument"])


def _attached(iam: Any, kind: str, name: str) -> Iterator[tuple[str, Document]]:
    for page in iam.get_paginator(f"list_attached_{kind}_policies").paginate(**{f"{kind.title()}Name": name}):
        for policy in page["AttachedPolicies"]:
            arn = policy["PolicyArn"]
            version = iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
            found = iam.get_policy_version(PolicyArn=arn, VersionId=version)["PolicyVersion"]["Document"]
            yield f"{kind} {name}: {arn}", _document(found)


def _document(raw: Any) -> Document:
    document: Document = json.loads(raw) if isinstance(raw, str) else dict(raw)
    return document
