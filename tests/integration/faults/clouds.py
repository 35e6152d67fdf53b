"""A pipeline's bucket, user and three identities on SeaweedFS; a machine on moto.  Each test makes its own."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from chaos_tasks.clients import from_credentials
from chaos_tasks.faults.base import FaultContext
from chaos_tasks.lab.credentials import Credentials
from chaos_tasks.lab.moto_server import MotoServer
from chaos_tasks.lab.seaweedfs import REGION, S3Server, allow, create_bucket, create_user
from chaos_tasks.model.place import InstancePlace, S3Place
from chaos_tasks.ports import Clock
from tests.integration.faults.worlds import ANYBODY, context, named
from tests.servers import aws_client, unique

POLICY_ACTIONS = ("s3:GetBucketPolicy", "s3:PutBucketPolicy", "s3:DeleteBucketPolicy")
PIPELINE_ACTIONS = ("s3:GetObject", "s3:ListBucket", "s3:PutObject")


class PipelineWorld:
    """A pipeline that may use its bucket, and an injector and a reverter who may change policies and keys."""

    def __init__(self, server: S3Server, folder: Path, *, prefix: str = "dvc/") -> None:
        self.server, self.folder = server, folder
        self.bucket, self.user, self.reverter = unique("bucket"), unique("pipeline"), "reverter"
        create_bucket(server, self.bucket)
        arns = (f"arn:aws:s3:::{self.bucket}", f"arn:aws:s3:::{self.bucket}/*")
        self.clients = named(
            pipeline=create_user(server, self.user, allow((PIPELINE_ACTIONS, arns))),
            **_staff(server),
        )
        self.place = S3Place(
            endpoint=server.endpoint, region=REGION, bucket=self.bucket, prefix=prefix, principal=self.user
        )
        self.admin: Any = server.client()
        self.iam: Any = server.client("iam")

    def context(self, clock: Clock | None = None) -> FaultContext:
        """What a new process would have."""
        made = context(self.folder, self.clients)
        return made if clock is None else dataclasses.replace(made, clock=clock)

    def put(self, *keys: str) -> None:
        """Write objects; left out where none is needed, since each bucket with objects takes volumes of the server."""
        for key in keys:
            self.admin.put_object(Bucket=self.bucket, Key=key, Body=b"1")

    def read(self, key: str) -> str:
        """How reading a key ends for the pipeline: `ok` or AWS's code."""
        client = self.clients.s3("pipeline", endpoint=self.server.endpoint, region=REGION)
        try:
            client.get_object(Bucket=self.bucket, Key=key)
        except ClientError as error:
            return str(error.response["Error"]["Code"])
        return "ok"

    def set_policy(self, *statements: dict[str, Any]) -> None:
        """Give the bucket a policy of its owners."""
        document = {"Version": "2012-10-17", "Statement": list(statements)}
        self.admin.put_bucket_policy(Bucket=self.bucket, Policy=json.dumps(document))

    def sids(self) -> list[str]:
        """Sids of the bucket's policy."""
        return sorted(str(each["Sid"]) for each in self.policy()["Statement"])

    def policy(self) -> dict[str, Any]:
        """The bucket's policy as it is."""
        document: dict[str, Any] = json.loads(self.admin.get_bucket_policy(Bucket=self.bucket)["Policy"])
        return document

    def policy_plus(self, statement: dict[str, Any]) -> str:
        """The bucket's policy with one more statement."""
        policy = self.policy()
        return json.dumps({**policy, "Statement": [*policy["Statement"], statement]})

    def keep_statements(self, kept: Callable[[str], bool]) -> None:
        """Take the others out of the bucket's policy."""
        self.set_policy(*(each for each in self.policy()["Statement"] if kept(each["Sid"])))

    def owners_statement(self, sid: str) -> dict[str, Any]:
        """A harmless statement."""
        return {
            "Sid": sid,
            "Effect": "Deny",
            "Principal": {"AWS": ["arn:aws:iam::000000000000:user/somebody-else"]},
            "Action": ["s3:DeleteObject"],
            "Resource": [f"arn:aws:s3:::{self.bucket}/*"],
        }


_STAFF: dict[str, dict[str, Credentials]] = {}


def _staff(server: S3Server) -> dict[str, Credentials]:
    """Who is the same for all pipelines of a server; each user more makes its IAM slower."""
    if server.endpoint not in _STAFF:
        anywhere = ("arn:aws:s3:::*",)
        operator = allow((POLICY_ACTIONS, anywhere), (("iam:*",), ("*",)))
        _STAFF[server.endpoint] = {
            "bystander": create_user(server, "bystander", allow((PIPELINE_ACTIONS, anywhere))),
            "injector": create_user(server, "injector", operator),
            "reverter": create_user(server, "reverter", operator),
        }
    return _STAFF[server.endpoint]


class MachineWorld:
    """One running instance."""

    def __init__(self, server: MotoServer, folder: Path) -> None:
        self.folder, self.server = folder, server
        self.ec2 = aws_client(server, "ec2")
        made = self.ec2.run_instances(ImageId="ami-12345678", MinCount=1, MaxCount=1)["Instances"][0]
        self.place = InstancePlace(endpoint=server.endpoint, region="us-east-1", instance_id=made["InstanceId"])
        self.clients = from_credentials({"injector": ANYBODY, "reverter": ANYBODY})

    def context(self) -> FaultContext:
        """What a new process would have."""
        return context(self.folder, self.clients)

    def state(self) -> str:
        """Of the instance."""
        seen = self.ec2.describe_instances(InstanceIds=[self.place.instance_id])
        return str(seen["Reservations"][0]["Instances"][0]["State"]["Name"])
