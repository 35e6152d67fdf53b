"""The reference target: tagged versions that whoever may read the remote can pull, and built once."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from chaos_tasks.lab import identities, reference
from chaos_tasks.lab.identities import BUCKET
from chaos_tasks.lab.reference import ReferenceSpec
from chaos_tasks.lab.seaweedfs import S3Server, create_bucket
from tests.servers import unique


def git(repo: Path, *argv: str) -> str:
    return subprocess.run(("git", *argv), cwd=repo, check=True, capture_output=True, text=True).stdout.strip()


def pull(repo: Path, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    argv = (sys.executable, "-m", "dvc", "pull", "-q", "raw/flights.parquet")
    return subprocess.run(argv, cwd=repo, env={**os.environ, **env}, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def spec(s3_lab: S3Server, tmp_path_factory: pytest.TempPathFactory) -> ReferenceSpec:
    create_bucket(s3_lab, BUCKET)
    repo = tmp_path_factory.mktemp("lab") / "flights"
    return ReferenceSpec(
        repo, s3_lab.endpoint, s3_lab.admin, BUCKET, ("2013-01", "2013-02"), sealed_rows=500, train=False
    )


@pytest.fixture(scope="module")
def built(spec: ReferenceSpec) -> ReferenceSpec:
    assert reference.ensure(spec) is True
    return spec


def test_each_month_is_a_tagged_version_that_extends_the_one_before(built: ReferenceSpec, tmp_path: Path) -> None:
    assert git(built.repo, "tag").split() == ["data-2013-01", "data-2013-02"]
    assert git(built.repo, "status", "--porcelain") == ""
    clone = tmp_path / "clone"
    subprocess.run(("git", "clone", "-q", "--branch", "data-2013-01", str(built.repo), str(clone)), check=True)
    assert pull(clone, built.admin.as_environment()).returncode == 0
    first, second = (pq.read_metadata(repo / "raw/flights.parquet").num_rows for repo in (clone, built.repo))
    assert 0 < first < second


def test_the_sealed_set_is_the_same_in_every_version(built: ReferenceSpec) -> None:
    pointers = {git(built.repo, "show", f"data-{month}:sealed/eval.parquet.dvc") for month in built.months}
    assert len(pointers) == 1
    assert pq.read_metadata(built.repo / "sealed/eval.parquet").num_rows == built.sealed_rows


def test_the_pipelines_own_key_pulls_and_no_key_does_not(
    built: ReferenceSpec, s3_lab: S3Server, short_folder: Path, tmp_path: Path
) -> None:
    people = identities.ensure(s3_lab, short_folder)
    clone = tmp_path / "clone"
    subprocess.run(("git", "clone", "-q", str(built.repo), str(clone)), check=True)
    nobody = {"AWS_ACCESS_KEY_ID": "nobody", "AWS_SECRET_ACCESS_KEY": "nothing"}
    assert pull(clone, nobody).returncode != 0
    assert pull(clone, people.pipeline.as_environment()).returncode == 0


def test_no_key_is_written_into_the_repository(built: ReferenceSpec) -> None:
    for path in built.repo.rglob("*"):
        if path.is_file() and path.stat().st_size < 1_000_000:
            assert built.admin.secret.encode() not in path.read_bytes(), path


def test_it_is_built_again_only_when_something_else_is_asked_for(built: ReferenceSpec) -> None:
    head = git(built.repo, "rev-parse", "HEAD")
    assert reference.ensure(built) is False
    assert git(built.repo, "rev-parse", "HEAD") == head
    assert replace(built, months=("2013-01",)).digest() != built.digest()
    assert replace(built, bucket=unique("b")).digest() != built.digest()
