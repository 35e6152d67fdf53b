"""What a policy allows beyond a need is found whatever wildcards it is written with."""

from __future__ import annotations

import pytest

from chaos_tasks.lab.seaweedfs import allow
from chaos_tasks.targets.permissions import Grant, document_of, excess, grants_of, missing

BUCKET = "arn:aws:s3:::flights"
NEEDS = (
    Grant(action="s3:GetBucketPolicy", resource=BUCKET),
    Grant(action="s3:GetObject", resource=f"{BUCKET}/*"),
    Grant(action="ec2:StopInstances", resource="arn:aws:ec2:us-east-1:*:instance/i-1"),
)


def beyond(action: str, resource: str) -> list[str]:
    granted = grants_of(allow(((action,), (resource,))))
    return [str(one) for one in excess(granted, NEEDS)]


@pytest.mark.parametrize(
    ("action", "resource"),
    [
        ("s3:GetObject", f"{BUCKET}/*"),
        ("s3:getobject", f"{BUCKET}/models/*"),
        ("ec2:StopInstances", "arn:aws:ec2:us-east-1:123456789012:instance/i-1"),
    ],
)
def test_what_is_needed_or_less_is_no_excess(action: str, resource: str) -> None:
    assert beyond(action, resource) == []


@pytest.mark.parametrize(
    ("action", "resource"),
    [
        ("s3:PutObject", f"{BUCKET}/*"),
        ("s3:Get*", f"{BUCKET}/*"),
        ("*", "*"),
        ("s3:GetObject", "arn:aws:s3:::*"),
        ("s3:GetObject", "arn:aws:s3:::other/*"),
        ("ec2:StopInstances", "arn:aws:ec2:us-east-1:1:instance/*"),
        ("ec2:StopInstances", "*"),
        ("s3:GetObjec?", f"{BUCKET}/*"),
    ],
)
def test_another_call_a_wildcard_and_a_wider_resource_are_excess(action: str, resource: str) -> None:
    assert beyond(action, resource) == [f"{action} on {resource}"]


def test_everything_but_something_is_excess_whatever_is_needed() -> None:
    every = (Grant(action="*", resource="*"),)
    for unbounded in ({"NotAction": "iam:*", "Resource": "*"}, {"Action": "s3:*", "NotResource": BUCKET}):
        document = {"Statement": {"Effect": "Allow", **unbounded}}
        assert excess(grants_of(document), every)
    assert not list(grants_of({"Statement": [{"Effect": "Deny", "Action": "*", "Resource": "*"}]}))


def test_a_need_that_nothing_grants_is_missing() -> None:
    granted = tuple(grants_of(allow((("s3:Get*",), (BUCKET, f"{BUCKET}/models/*")))))
    assert [one.action for one in missing(granted, NEEDS)] == ["ec2:StopInstances"]


def test_the_least_document_grants_the_needs_and_nothing_more() -> None:
    granted = tuple(grants_of(document_of(NEEDS)))
    assert not excess(granted, NEEDS)
    assert not missing(granted, NEEDS)
