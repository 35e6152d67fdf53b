"""Who somebody is in the eyes of the cloud that will check the calls: asked of that cloud, never of a file."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from chaos_tasks.errors import SetupError
from chaos_tasks.model.base import Value
from chaos_tasks.ports import Clients
from chaos_tasks.targets import aws

if TYPE_CHECKING:
    from mypy_boto3_iam import IAMClient

NO_STS = frozenset({"NotImplemented", "InvalidAction", "UnknownOperationException", "MethodNotAllowed", "404", "405"})
_SESSION = re.compile(r"arn:(?P<part>[^:]+):sts::(?P<account>\d*):assumed-role/(?P<role>[^/]+)/.+")


class Principal(Value):
    """A user or a role."""

    arn: str

    @property
    def name(self) -> str:
        """The last part of the ARN, as people call it."""
        return self.arn.rpartition("/")[2]

    def is_called(self, name: str) -> bool:
        """Whether a name, or an ARN, means this principal."""
        return name == self.arn if name.startswith("arn:") else name.rpartition("/")[2] == self.name


def caller(clients: Clients, credentials: str, *, endpoint: str, region: str) -> Principal:
    """Whoever these credentials act as; raises SetupError saying why that cannot be told."""
    try:
        return Principal(arn=_role_of(_asked(clients, credentials, endpoint, region)))
    except aws.errors() as error:
        why = aws.error_code(error) or type(error).__name__
        raise SetupError(
            f"who {credentials!r} is could not be asked of {endpoint or 'AWS'}: {why}", remedy=aws.remedy(error)
        ) from error


def named(clients: Clients, credentials: str, name: str, *, endpoint: str, region: str) -> str:
    """The ARN of a user, asked with these credentials; a name that is an ARN stays one.  Raises SetupError."""
    try:
        return aws.user_arn(clients.iam(credentials, endpoint=endpoint, region=region), name)
    except aws.errors() as error:
        why = aws.error_code(error) or type(error).__name__
        raise SetupError(f"{credentials!r} could not look {name} up: {why}", remedy=aws.remedy(error)) from error


def _asked(clients: Clients, credentials: str, endpoint: str, region: str) -> str:
    sts = clients.sts(credentials, endpoint=_of_sts(endpoint), region=region)
    try:
        return str(sts.get_caller_identity()["Arn"])
    except aws.errors() as error:
        if aws.error_code(error) not in NO_STS:
            raise
    iam: IAMClient = clients.iam(credentials, endpoint=endpoint, region=region)
    return str(iam.get_user()["User"]["Arn"])


def _of_sts(endpoint: str) -> str:
    """AWS has STS elsewhere than S3 and EC2; servers that are not AWS have it on the one endpoint."""
    host = urlsplit(endpoint).hostname or ""
    return "" if host.endswith((".amazonaws.com", ".amazonaws.com.cn")) else endpoint


def _role_of(arn: str) -> str:
    """Two sessions of one role are one principal: what is taken from the role is taken from both."""
    found = _SESSION.fullmatch(arn)
    return f"arn:{found['part']}:iam::{found['account']}:role/{found['role']}" if found else arn
