"""The AWS control plane in small steps: policy documents, access keys, instances, and what its errors mean."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import JsonValue

from chaos_tasks.model.base import canonical
from chaos_tasks.ports import Clock

if TYPE_CHECKING:
    from botocore.exceptions import ClientError
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_iam import IAMClient
    from mypy_boto3_s3 import S3Client

Document = Mapping[str, JsonValue]

DENIED = frozenset({"AccessDenied", "AccessDeniedException", "AllAccessDisabled", "UnauthorizedOperation", "403"})
BAD_KEY = frozenset(
    {"InvalidAccessKeyId", "InvalidClientTokenId", "SignatureDoesNotMatch", "AuthFailure", "ExpiredToken"}
)
MISSING = frozenset({"NoSuchBucket", "NoSuchEntity", "InvalidInstanceID.NotFound", "InvalidInstanceID.Malformed"})
PASSING = frozenset(
    {"Throttling", "ThrottlingException", "RequestLimitExceeded", "SlowDown", "ServiceUnavailable", "InternalError"}
)

T = TypeVar("T")


def errors() -> tuple[type[Exception], ...]:
    """What boto3 raises: an answer that is an error, or no answer."""
    from botocore.exceptions import BotoCoreError, ClientError

    return (BotoCoreError, ClientError)


def error_code(error: Exception) -> str:
    """AWS's code, or the status of an answer without one; an empty text when there was no answer at all."""
    from botocore.exceptions import ClientError

    if not isinstance(error, ClientError):
        return ""
    return str(error.response.get("Error", {}).get("Code", "")) or f"HTTP {_status(error)}"


def remedy(error: Exception) -> str:
    """What to do next about an error of boto3."""
    code = error_code(error)
    if not code:
        return "check that the endpoint is right and its server runs"
    if code in DENIED:
        return "give these credentials the fault's `policy`; `squall faults KIND` prints it"
    if code in BAD_KEY:
        return "check these credentials: the key is unknown, inactive or expired"
    if code in MISSING:
        return "check the resource in the target file: it does not exist there"
    return "try again; then look the code up in the service's documentation"


def passes_by_itself(error: Exception) -> bool:
    """Whether trying again may help: no answer, throttled, or the server's own trouble."""
    from botocore.exceptions import ClientError

    if not isinstance(error, ClientError):
        return True
    return error_code(error) in PASSING or _status(error) >= 500


def _status(error: ClientError) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def persist(clock: Clock, act: Callable[[], T], *, within_s: float, first_pause_s: float = 0.2) -> T:
    """Call until it succeeds, with growing pauses; raises the last error when it is lasting or time is up.

    A refusal after the server could not be reached is waited for too: one that is just back may not know its users.
    """
    deadline, pause_s, was_away = clock.monotonic() + within_s, first_pause_s, False
    while True:
        try:
            return act()
        except errors() as error:
            was_away = was_away or passes_by_itself(error)
            if not was_away or clock.monotonic() + pause_s > deadline:
                raise
        clock.sleep(pause_s)
        pause_s = min(2 * pause_s, 5.0)


def until(clock: Clock, check: Callable[[], bool], *, within_s: float, pause_s: float = 0.2) -> bool:
    """Whether the check held before the time was up: control planes take a moment to agree with themselves."""
    deadline = clock.monotonic() + within_s
    while not check():
        if clock.monotonic() > deadline:
            return False
        clock.sleep(pause_s)
    return True


def bucket_policy(s3: S3Client, bucket: str) -> Document | None:
    """The bucket's policy; None when it has none."""
    try:
        return _document(s3.get_bucket_policy(Bucket=bucket)["Policy"])
    except errors() as error:
        if error_code(error) == "NoSuchBucketPolicy":
            return None
        raise


def put_bucket_policy(s3: S3Client, bucket: str, policy: Document | None) -> None:
    """Set the bucket's policy; None deletes it."""
    if policy is None:
        s3.delete_bucket_policy(Bucket=bucket)
    else:
        s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps(policy))


def user_policies(iam: IAMClient, user: str) -> dict[str, Document]:
    """The user's inline policies by name."""
    # Only listed names are asked for: some servers answer for names that do not exist.
    pages = iam.get_paginator("list_user_policies").paginate(UserName=user)
    names = sorted(name for page in pages for name in page["PolicyNames"])
    return {name: _document(iam.get_user_policy(UserName=user, PolicyName=name)["PolicyDocument"]) for name in names}


def access_keys(iam: IAMClient, user: str) -> dict[str, str]:
    """The user's access keys: id -> Active or Inactive."""
    pages = iam.get_paginator("list_access_keys").paginate(UserName=user)
    found = (key for page in pages for key in page["AccessKeyMetadata"])
    return {key["AccessKeyId"]: key["Status"] for key in found}


def user_arn(iam: IAMClient, principal: str) -> str:
    """The ARN of a user; a principal that is an ARN already stays one."""
    return principal if principal.startswith("arn:") else str(iam.get_user(UserName=principal)["User"]["Arn"])


def instance_state(ec2: EC2Client, instance_id: str) -> str:
    """pending, running, stopping, stopped, shutting-down or terminated."""
    seen = ec2.describe_instances(InstanceIds=[instance_id])
    return str(seen["Reservations"][0]["Instances"][0]["State"]["Name"])


def statements(policy: Document | None) -> list[Document]:
    """The statements of a policy, also of one that writes a single one without a list."""
    found: Any = (policy or {}).get("Statement", [])
    return list(found) if isinstance(found, list) else [found]


def with_statements(policy: Document | None, added: Sequence[Document]) -> Document:
    """The policy with these statements in place of any of the same Sid.

    One that names no version keeps none: it would read its `${...}` otherwise, for good.
    """
    sids = {statement["Sid"] for statement in added}
    kept = [statement for statement in statements(policy) if statement.get("Sid") not in sids]
    return {**(policy or {"Version": "2012-10-17"}), "Statement": _json([*kept, *added])}


def without_statements(policy: Document, sids: Iterable[str]) -> Document | None:
    """The policy without the statements of these Sids; None when none is left, since AWS refuses an empty one."""
    gone = set(sids)
    kept = [statement for statement in statements(policy) if statement.get("Sid") not in gone]
    return {**policy, "Statement": _json(kept)} if kept else None


def policy_digest(policy: Document | None) -> str:
    """Equal for policies that say the same: one and a list of one are the same, and so are sets in any order."""
    plain = None if policy is None else {**policy, "Statement": [_plain(each) for each in statements(policy)]}
    return hashlib.sha256(canonical(plain)).hexdigest()


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return _plain(value[0]) if len(value) == 1 else sorted((_plain(item) for item in value), key=canonical)
    return value


def _document(raw: Any) -> Document:
    document: Document = json.loads(raw) if isinstance(raw, str) else dict(raw)
    return document


def _json(policies: Sequence[Document]) -> list[JsonValue]:
    return [dict(each) for each in policies]
