"""Real servers for tests: on free ports of loopback, in a folder of their own, stopped and removed at the end.

Nothing starts until a test asks for it; each server starts once per session and takes about a second.

How to use them (tests/conftest.py has `pytest_plugins = ["tests.servers"]`, so every test may name them):

    def test_reads_the_stream(redis_server):                 # a RedisServer: .url, .port, .daemon.pid
        client = redis.Redis.from_url(redis_server.url)
        stream = unique("stream")                            # the session shares the server: use names of your own

    def test_denied_key_stops_the_read(s3_lab, s3_bucket):   # an S3Server and the name of a bucket of this test only
        admin = s3_lab.client()                              # boto3 s3 as the administrator (bypasses bucket policies!)
        iam = s3_lab.client("iam")                           # boto3 iam, on the same endpoint
        key = create_user(s3_lab, unique("user"), allow((("s3:GetObject",), (f"arn:aws:s3:::{s3_bucket}/*",))))
        user = s3_lab.client("s3", key)                      # boto3 s3 as that user, to whom policies apply
        s3_lab.endpoint, s3_lab.admin.access_key, s3_lab.admin.secret     # for `dvc remote modify`, s3fs and the like

    def test_stopped_instance(moto_ec2):                     # a MotoServer: .endpoint; IAM is not enforced
        ec2 = aws_client(moto_ec2, "ec2")                    # any service moto knows: "ec2", "autoscaling", "kms", ...

    def test_ledger(pg_dsn):                                 # "postgresql://postgres@/test_1f..?host=..." for psycopg
        ...                                                  # a new, empty database for this test only (about 50 ms)

    def test_own_server(pg_server):                          # the Postgres behind pg_dsn: .dsn("name"), .daemon
    def test_own_folder(short_folder):                       # an empty folder with a short path that any user may pass

Fault tests that kill or stop a *server* must start one of their own, as in tests/integration/lab, not hurt these.
"""

from __future__ import annotations

import secrets
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chaos_tasks.lab import moto_server, postgres, processes, seaweedfs
from chaos_tasks.lab import redis_server as redis_part
from chaos_tasks.lab.moto_server import MotoServer
from chaos_tasks.lab.ports import LabPorts
from chaos_tasks.lab.postgres import Postgres
from chaos_tasks.lab.redis_server import RedisServer
from chaos_tasks.lab.seaweedfs import S3Ports, S3Server, allow, create_bucket, create_user

__all__ = ["allow", "aws_client", "create_bucket", "create_user", "unique"]


def unique(prefix: str) -> str:
    """A name that no other test uses."""
    return f"{prefix}-{secrets.token_hex(4)}"


def aws_client(server: MotoServer, service: str) -> Any:
    """A boto3 client of moto's server."""
    import boto3

    return boto3.client(
        service,
        endpoint_url=server.endpoint,
        region_name=moto_server.REGION,
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )


def make_short_folder() -> Path:
    """pytest's own folders have long names, which unix sockets do not take, and shut out other users."""
    folder = Path(tempfile.mkdtemp(prefix="squall-"))
    folder.chmod(0o711)
    return folder


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """An empty folder with a short path; whatever daemon a test leaves in it is ended."""
    folder = make_short_folder()
    yield folder
    processes.end_strays(folder)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def servers_folder() -> Iterator[Path]:
    """Where the servers of this session keep their data and logs."""
    folder = make_short_folder()
    yield folder
    processes.end_strays(folder)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def lab_ports() -> LabPorts:
    """Free ports for the servers of this session."""
    return LabPorts.free()


@pytest.fixture(scope="session")
def redis_server(servers_folder: Path, lab_ports: LabPorts) -> Iterator[RedisServer]:
    """A real Redis 6.2."""
    server = redis_part.start(servers_folder / "redis", lab_ports.redis, owner=servers_folder)
    yield server
    processes.stop(server.daemon)


@pytest.fixture(scope="session")
def moto_ec2(servers_folder: Path, lab_ports: LabPorts) -> Iterator[MotoServer]:
    """A moto server process: EC2, Auto Scaling, KMS, SageMaker, STS, IAM."""
    server = moto_server.start(servers_folder / "aws", lab_ports.aws, owner=servers_folder)
    yield server
    processes.stop(server.daemon)


@pytest.fixture(scope="session")
def s3_lab(servers_folder: Path, lab_ports: LabPorts) -> Iterator[S3Server]:
    """A real SeaweedFS with S3 and IAM."""
    server = seaweedfs.start(servers_folder / "s3", S3Ports.of(lab_ports), owner=servers_folder)
    yield server
    processes.stop(server.daemon)


@pytest.fixture
def s3_bucket(s3_lab: S3Server) -> str:
    """A new bucket for this test."""
    name = unique("bucket")
    create_bucket(s3_lab, name)
    return name


@pytest.fixture(scope="session")
def pg_server(servers_folder: Path) -> Iterator[Postgres]:
    """A real PostgreSQL 18, without fsync: a test's data need not survive a power cut."""
    server = postgres.start(servers_folder / "pg", databases=(), durable=False, owner=servers_folder)
    yield server
    processes.stop(server.daemon)


@pytest.fixture
def pg_dsn(pg_server: Postgres) -> Iterator[str]:
    """The URL of a new, empty database for this test."""
    name = unique("test").replace("-", "_")
    yield postgres.create_database(pg_server, name)
    postgres.drop_database(pg_server, name)
