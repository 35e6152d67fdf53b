"""Each server of the lab starts, does its work, and stops; what its neighbours rely on is tried, not assumed."""

from __future__ import annotations

import psycopg
import pytest
import redis
from botocore.exceptions import ClientError

from chaos_tasks.lab.moto_server import MotoServer
from chaos_tasks.lab.redis_server import RedisServer
from chaos_tasks.lab.seaweedfs import S3Server, allow, create_user
from tests.servers import aws_client, unique


def test_redis_keeps_a_stream(redis_server: RedisServer) -> None:
    stream = unique("stream")
    with redis.Redis.from_url(redis_server.url) as client:
        client.xadd(stream, {"n": 1})
        assert client.xlen(stream) == 1


def test_postgres_gives_each_test_an_empty_database(pg_dsn: str) -> None:
    with psycopg.connect(pg_dsn) as connection:
        tables = connection.execute("select count(*) from pg_tables where schemaname = 'public'").fetchone()
    assert tables == (0,)


def test_moto_runs_an_instance(moto_ec2: MotoServer) -> None:
    ec2 = aws_client(moto_ec2, "ec2")
    made = ec2.run_instances(ImageId="ami-12345678", MinCount=1, MaxCount=1)["Instances"][0]
    ec2.stop_instances(InstanceIds=[made["InstanceId"]])
    seen = ec2.describe_instances(InstanceIds=[made["InstanceId"]])["Reservations"][0]["Instances"][0]
    assert seen["State"]["Name"] == "stopped"


def test_s3_user_reaches_only_its_prefix(s3_lab: S3Server, s3_bucket: str) -> None:
    key = create_user(s3_lab, unique("user"), allow((("s3:GetObject",), (f"arn:aws:s3:::{s3_bucket}/mine/*",))))
    admin, user = s3_lab.client(), s3_lab.client("s3", key)
    for name in ("mine/a", "theirs/a"):
        admin.put_object(Bucket=s3_bucket, Key=name, Body=b"1")
    assert user.get_object(Bucket=s3_bucket, Key="mine/a")["Body"].read() == b"1"
    with pytest.raises(ClientError, match="AccessDenied"):
        user.get_object(Bucket=s3_bucket, Key="theirs/a")
