"""Users of the lab's EC2: who may stop machines, who may start them, who looks; and from then on nobody else."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError

from chaos_tasks.lab import moto_server
from chaos_tasks.lab.credentials import Credentials
from chaos_tasks.lab.moto_server import MotoServer
from chaos_tasks.lab.private_files import write_private
from chaos_tasks.lab.seaweedfs import allow, aws_client_of

if TYPE_CHECKING:
    from mypy_boto3_iam import IAMClient

FILE = "people.json"
NAMES = {
    "injector": "squall-injector",
    "reverter": "squall-reverter",
    "binder": "lab-binder",
    "auditor": "squall-auditor",
}
AUDITS = (
    *("iam:GetUser", "iam:ListUserPolicies", "iam:GetUserPolicy", "iam:ListAttachedUserPolicies"),
    *("iam:ListGroupsForUser", "iam:ListGroupPolicies", "iam:GetGroupPolicy", "iam:ListAttachedGroupPolicies"),
    *("iam:GetPolicy", "iam:GetPolicyVersion"),
)
"""What reading somebody's effective policies takes."""


class MachinePeople(BaseModel):
    """Keys of the four."""

    model_config = ConfigDict(frozen=True)

    injector: Credentials
    reverter: Credentials
    binder: Credentials
    auditor: Credentials


def policies() -> dict[str, dict[str, JsonValue]]:
    """What each may do.

    On every machine, of which there is one: moto asks of an EC2 call whether it may be done on ``*``, so that a policy
    for one machine allows nothing there.
    """
    look = (("ec2:DescribeInstances",), ("*",))
    return {
        "injector": allow(look, (("ec2:CreateTags", "ec2:StopInstances"), ("*",))),
        "reverter": allow(look, (("ec2:DeleteTags", "ec2:StartInstances"), ("*",))),
        "binder": allow(look),
        "auditor": allow((AUDITS, ("*",))),
    }


def ensure(server: MotoServer, folder: Path) -> tuple[MachinePeople, bool]:
    """Users with keys that work, made anew where the server has forgotten them; whether that was so."""
    moto_server.enforce_iam(server, after=None)
    try:
        known = _known(server, folder)
        if known is not None:
            return known, False
        made = _make(server)
        write_private(folder / FILE, made.model_dump_json(indent=1))
        return made, True
    finally:
        moto_server.enforce_iam(server)


def _known(server: MotoServer, folder: Path) -> MachinePeople | None:
    with suppress(FileNotFoundError, ValidationError):
        known = MachinePeople.model_validate_json((folder / FILE).read_text(encoding="utf-8"))
        if all(_is(server, getattr(known, role), name) for role, name in NAMES.items()):
            return known
    return None


def _is(server: MotoServer, key: Credentials, name: str) -> bool:
    """moto calls whom it does not know by a name of its own."""
    seen = aws_client_of("sts", server.endpoint, key).get_caller_identity()
    return str(seen["Arn"]).endswith(f":user/{name}")


def _make(server: MotoServer) -> MachinePeople:
    iam: IAMClient = aws_client_of("iam", server.endpoint, Credentials.drawn())
    allowed = policies()
    return MachinePeople.model_validate({role: _user(iam, name, allowed[role]) for role, name in NAMES.items()})


def _user(iam: Any, name: str, policy: Mapping[str, JsonValue]) -> Credentials:
    with suppress(iam.exceptions.EntityAlreadyExistsException):
        iam.create_user(UserName=name)
    iam.put_user_policy(UserName=name, PolicyName=name, PolicyDocument=json.dumps(policy))
    key = iam.create_access_key(UserName=name)["AccessKey"]
    return Credentials(access_key=key["AccessKeyId"], secret_key=key["SecretAccessKey"])
