"""Pipeline, injector and reverter are three principals, each with what it needs and, where S3 can tell, no more."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from chaos_tasks.lab import identities
from chaos_tasks.lab.identities import BUCKET, PIPELINE_USER, USER_ARN
from chaos_tasks.lab.seaweedfs import S3Server
from chaos_tasks.lab.state import Identities


@pytest.fixture
def people(s3_lab: S3Server, short_folder: Path) -> Identities:
    made = identities.ensure(s3_lab, short_folder)
    s3_lab.client().put_object(Bucket=BUCKET, Key="models/champion.npz", Body=b"weights")
    return made


def reader(s3_lab: S3Server, people: Identities) -> Callable[[], bytes]:
    s3 = s3_lab.client("s3", people.pipeline)
    return lambda: s3.get_object(Bucket=BUCKET, Key="models/champion.npz")["Body"].read()


def test_the_pipeline_reads_its_bucket_and_writes_only_below_out(s3_lab: S3Server, people: Identities) -> None:
    assert reader(s3_lab, people)() == b"weights"
    s3 = s3_lab.client("s3", people.pipeline)
    s3.put_object(Bucket=BUCKET, Key="out/a", Body=b"1")
    for refused in (
        lambda: s3.put_object(Bucket=BUCKET, Key="models/champion.npz", Body=b"1"),
        lambda: s3.delete_object(Bucket=BUCKET, Key="models/champion.npz"),
        lambda: s3.delete_bucket_policy(Bucket=BUCKET),
    ):
        with pytest.raises(ClientError, match="AccessDenied"):
            refused()


def test_a_key_that_the_injector_deactivates_works_again_once_reverted(s3_lab: S3Server, people: Identities) -> None:
    read, key = reader(s3_lab, people), people.pipeline.access_key
    s3_lab.client("iam", people.injector).update_access_key(UserName=PIPELINE_USER, AccessKeyId=key, Status="Inactive")
    with pytest.raises(ClientError, match="InvalidAccessKeyId"):
        read()
    s3_lab.client("iam", people.reverter).update_access_key(UserName=PIPELINE_USER, AccessKeyId=key, Status="Active")
    assert read() == b"weights"


def test_a_bucket_policy_denies_the_pipeline_until_it_is_removed(s3_lab: S3Server, people: Identities) -> None:
    read = reader(s3_lab, people)
    deny = {
        "Effect": "Deny",
        "Principal": {"AWS": [USER_ARN.format(name=PIPELINE_USER)]},
        "Action": ["s3:GetObject"],
        "Resource": [f"arn:aws:s3:::{BUCKET}/*"],
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [deny]})
    s3_lab.client("s3", people.injector).put_bucket_policy(Bucket=BUCKET, Policy=policy)
    with pytest.raises(ClientError, match="AccessDenied"):
        read()
    assert s3_lab.client().get_object(Bucket=BUCKET, Key="models/champion.npz")  # the administrator is above policies
    s3_lab.client("s3", people.reverter).delete_bucket_policy(Bucket=BUCKET)
    assert read() == b"weights"


@pytest.mark.parametrize("name", ["pipeline", "injector", "reverter"])
def test_nobody_but_the_administrator_makes_users(s3_lab: S3Server, people: Identities, name: str) -> None:
    iam = s3_lab.client("iam", getattr(people, name))
    with pytest.raises(ClientError):
        iam.create_user(UserName="intruder")
    with pytest.raises(ClientError):
        iam.create_access_key(UserName="squall-reverter" if name != "reverter" else "squall-injector")


def test_keys_are_kept_while_they_work_also_while_a_fault_holds_one(
    s3_lab: S3Server, people: Identities, short_folder: Path
) -> None:
    iam, key = s3_lab.client("iam"), people.pipeline.access_key
    iam.update_access_key(UserName=PIPELINE_USER, AccessKeyId=key, Status="Inactive")
    assert identities.ensure(s3_lab, short_folder) == people
    iam.delete_access_key(UserName=PIPELINE_USER, AccessKeyId=key)
    assert identities.ensure(s3_lab, short_folder).pipeline != people.pipeline
