"""The AWS control plane (EC2, Auto Scaling, KMS, SageMaker) of moto: a server process of its own on loopback."""

from __future__ import annotations

import importlib.util
import sys
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from chaos_tasks.errors import SetupError
from chaos_tasks.lab import processes
from chaos_tasks.lab.credentials import Credentials
from chaos_tasks.lab.ports import LOOPBACK
from chaos_tasks.lab.processes import Daemon, DaemonSpec
from chaos_tasks.lab.seaweedfs import ec2_client

NAME = "aws"
REGION = "us-east-1"
TAG = ("squall", "training")


@dataclass(frozen=True)
class MotoServer:
    """A running server; it forgets everything when it stops."""

    daemon: Daemon
    port: int

    @property
    def endpoint(self) -> str:
        """The `endpoint_url` for boto3 clients."""
        return f"http://{LOOPBACK}:{self.port}"


def start(folder: Path, port: int, *, owner: Path | None = None) -> MotoServer:
    """Start the server with IAM not yet enforced; a no-op if it already runs."""
    daemon = processes.load_alive(folder, NAME) or processes.start(_spec(folder, port, owner))
    server = MotoServer(daemon, port)
    processes.await_ready(daemon, lambda: _answers(server))
    return server


def enforce_iam(server: MotoServer, *, after: int | None = 0) -> None:
    """From so many calls on, each is checked against the policies of the key that signed it; None: never."""
    number = b"inf" if after is None else str(after).encode()
    plain = {"Content-Type": "text/plain"}  # as a form, which is urllib's default, moto reads an empty body
    request = urllib.request.Request(
        f"{server.endpoint}/moto-api/reset-auth", data=number, headers=plain, method="POST"
    )
    with urllib.request.urlopen(request, timeout=10):  # a loopback address
        pass


def ensure_instance(server: MotoServer) -> str:
    """The id of the lab's training instance, made when there is none; one that a fault has stopped stays stopped."""
    ec2 = ec2_client(server.endpoint, Credentials.drawn())
    mine = ec2.describe_instances(Filters=[{"Name": f"tag:{TAG[0]}", "Values": [TAG[1]]}])
    for reservation in mine["Reservations"]:
        for instance in reservation["Instances"]:
            if instance["State"]["Name"] != "terminated":
                return str(instance["InstanceId"])
    made = ec2.run_instances(
        ImageId="ami-12c6146b",
        InstanceType="g5.xlarge",
        MinCount=1,
        MaxCount=1,
        TagSpecifications=[{"ResourceType": "instance", "Tags": [{"Key": TAG[0], "Value": TAG[1]}]}],
    )
    return str(made["Instances"][0]["InstanceId"])


def _spec(folder: Path, port: int, owner: Path | None) -> DaemonSpec:
    if importlib.util.find_spec("moto") is None:
        raise SetupError("the AWS server is missing: no package moto", remedy="run `make setup`")
    return DaemonSpec(
        name=NAME,
        argv=(sys.executable, "-m", "moto.server", "-H", LOOPBACK, "-p", str(port)),
        folder=folder,
        cwd=folder,
        env={"MOTO_EC2_LOAD_DEFAULT_AMIS": "false"},  # hundreds of images that nobody here boots
        ports={"aws": port},
        stop_grace_s=3.0,
        owner=owner,
    )


def _answers(server: MotoServer) -> bool:
    try:
        with urllib.request.urlopen(f"{server.endpoint}/moto-api/data.json", timeout=5):
            return True
    except (urllib.error.URLError, TimeoutError, ConnectionError):
        return False
