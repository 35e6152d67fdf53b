"""A source whose bytes lie in S3 only: two objects are read, with a credential that can do nothing but read."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from chaos_tasks.lab.credentials import Credentials
from chaos_tasks.lab.seaweedfs import S3Server, allow, create_user
from chaos_tasks.targets import dvc, git
from chaos_tasks.targets.dvc_fingerprint import fingerprint_source
from tests.dvc_sources import PARTS, make_directory_source
from tests.servers import unique


def keys(server: S3Server, bucket: str) -> dict[str, tuple[str, Any]]:
    """What is in the bucket, and since when."""
    found = server.client().list_objects_v2(Bucket=bucket).get("Contents", [])
    return {one["Key"]: (one["ETag"], one["LastModified"]) for one in found}


def told(credentials: Credentials) -> dict[str, str]:
    return {"AWS_ACCESS_KEY_ID": credentials.access_key, "AWS_SECRET_ACCESS_KEY": credentials.secret}


def test_two_objects_are_read_with_a_read_only_key(s3_lab: S3Server, s3_bucket: str, tmp_path: Path) -> None:
    source = make_directory_source(tmp_path / "made", rows=50)
    config = source.repo / ".dvc" / "config"
    text = config.read_text().replace(str(source.remote), f"s3://{s3_bucket}/data")
    config.write_text(f"{text}    endpointurl = {s3_lab.endpoint}\n    region = us-east-1\n")
    git.git(source.repo, "commit", "--quiet", "-am", "to S3")
    pushed = dvc.dvc_command(source.repo, "push", environment=told(s3_lab.admin))
    assert pushed.returncode == 0, pushed.stderr
    shutil.rmtree(source.repo / ".dvc" / "cache")
    arns = (f"arn:aws:s3:::{s3_bucket}", f"arn:aws:s3:::{s3_bucket}/*")
    reader = create_user(s3_lab, unique("reader"), allow((("s3:GetObject", "s3:ListBucket"), arns)))
    before, there = fingerprint_source(source.repo), keys(s3_lab, s3_bucket)
    spec, part = source.spec(PARTS[1]), PARTS[1]
    environment = told(reader)
    dvc.open_clone(spec, dvc.resolve(spec), tmp_path / "clone", materialise=[part], environment=environment)
    assert dvc.is_placed(tmp_path / "clone", part, dvc.pointed(tmp_path / "clone", part))
    assert len(dvc.cache_of(tmp_path / "clone").names()) == 2
    assert fingerprint_source(source.repo) == before
    assert keys(s3_lab, s3_bucket) == there
