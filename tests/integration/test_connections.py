"""A connection of Airflow reaches a real server that asks for its secret."""

from __future__ import annotations

import json

import pytest

from chaos_tasks.clients import CONNECTIONS, from_environment
from chaos_tasks.lab.redis_server import RedisServer
from chaos_tasks.lab.seaweedfs import S3Server


def test_a_redis_that_is_named_by_its_connection_answers(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_FLIGHTS_STREAM", redis_server.url)
    client = from_environment().redis("${airflow:flights_stream}")
    assert client.ping()


def test_credentials_that_are_a_connection_are_taken_by_a_real_s3(s3_lab: S3Server, s3_bucket: str) -> None:
    pair = {"conn_type": "aws", "login": s3_lab.admin.access_key, "password": s3_lab.admin.secret}
    told = {"AIRFLOW_CONN_CHAOS_AWS": json.dumps(pair), CONNECTIONS: json.dumps({"injector": "airflow:chaos_aws"})}
    client = from_environment(told).s3("injector", endpoint=s3_lab.endpoint, region="us-east-1")
    client.put_object(Bucket=s3_bucket, Key="one", Body=b"1")
    assert client.get_object(Bucket=s3_bucket, Key="one")["Body"].read() == b"1"
