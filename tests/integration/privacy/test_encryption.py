"""Promise: a copy of classified data lies in the store as well encrypted as its source does, or nothing is copied.

Against the embedded S3 (SeaweedFS, which knows AES256 and refuses to write under KMS) and moto (which knows KMS).
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from chaos_tasks.carrying import Carrier
from chaos_tasks.clients import from_environment
from chaos_tasks.errors import GuardTripped
from chaos_tasks.lab.credentials import Credentials
from chaos_tasks.lab.identities import store_policy
from chaos_tasks.lab.moto_server import MotoServer
from chaos_tasks.lab.seaweedfs import S3Server, allow, create_user
from chaos_tasks.model.data import Classification, DataDeclaration, DataPolicy
from chaos_tasks.model.target import Target
from chaos_tasks.ports import Clients
from chaos_tasks.safety.at_rest import AtRest, Bucket, Encryption, at_rest
from chaos_tasks.workspaces import Workspaces
from tests.servers import aws_client, unique
from tests.system.tiny_target import ROWS, make_source

AES, KMS = "AES256", "aws:kms"
KEY = "arn:aws:kms:us-east-1:123456789012:key/11111111-2222-3333-4444-555555555555"
SECRET = DataDeclaration(classification=Classification.CONFIDENTIAL, source_credentials="source")


def rule(s3: Any, bucket: str, algorithm: str, key: str = "") -> None:
    told = {"SSEAlgorithm": algorithm, **({"KMSMasterKeyID": key} if key else {})}
    s3.put_bucket_encryption(
        Bucket=bucket, ServerSideEncryptionConfiguration={"Rules": [{"ApplyServerSideEncryptionByDefault": told}]}
    )


def clients_of(folder: Path, **keys: Credentials) -> Clients:
    path = folder / "credentials.json"
    named = {name: {"access_key_id": one.access_key, "secret_access_key": one.secret} for name, one in keys.items()}
    path.write_text(json.dumps(named))
    path.chmod(0o600)
    return from_environment({"SQUALL_CREDENTIALS": str(path)})


def buckets(s3: Any, endpoint: str) -> tuple[Bucket, Bucket]:
    """A source's and a store's."""
    names = unique("source"), unique("store")
    for name in names:
        s3.create_bucket(Bucket=name)
    return Bucket(names[0], endpoint, "us-east-1"), Bucket(names[1], endpoint, "us-east-1")


def test_what_a_bucket_without_a_rule_and_one_with_a_rule_answer(s3_lab: S3Server, moto_ec2: MotoServer) -> None:
    for s3 in (s3_lab.client("s3"), aws_client(moto_ec2, "s3")):
        bucket = unique("asked")
        s3.create_bucket(Bucket=bucket)
        assert at_rest(s3, bucket) == AtRest()
        rule(s3, bucket, AES)
        assert at_rest(s3, bucket) == AtRest(AES)
        rule(s3, bucket, KMS, KEY)
        assert at_rest(s3, bucket) == AtRest(KMS, KEY)


def test_confidential_data_go_to_no_open_store_and_others_are_not_asked_about(tmp_path: Path, s3_lab: S3Server) -> None:
    s3 = s3_lab.client("s3")
    source, store = buckets(s3, s3_lab.endpoint)
    clients = clients_of(tmp_path, store=s3_lab.admin, source=s3_lab.admin)
    guard = Encryption(DataPolicy(), clients, store, "store")
    guard.check("credit", DataDeclaration(), [source])
    masked = DataDeclaration(classification=Classification.RESTRICTED, masked_repo="masked")
    guard.check("credit", masked, [source])
    with pytest.raises(GuardTripped, match=f"s3://{store.name} encrypts nothing by default"):
        guard.check("credit", SECRET, [source])
    rule(s3, store.name, AES)
    guard.check("credit", SECRET, [source])
    s3.put_object(Bucket=store.name, Key="a", Body=b"x")
    assert s3.head_object(Bucket=store.name, Key="a")["ServerSideEncryption"] == AES


@pytest.mark.parametrize(
    ("source_rule", "store_rule", "fits"),
    [
        ((AES, ""), (AES, ""), True),
        ((AES, ""), (KMS, KEY), True),
        ((KMS, ""), (AES, ""), False),
        ((KMS, KEY), (AES, ""), False),
        ((KMS, KEY), (KMS, ""), False),
        ((KMS, KEY), (KMS, KEY), True),
    ],
)
def test_the_store_is_held_to_the_encryption_of_the_source(
    tmp_path: Path, moto_ec2: MotoServer, source_rule: tuple[str, str], store_rule: tuple[str, str], fits: bool
) -> None:
    s3, key = aws_client(moto_ec2, "s3"), Credentials.drawn()
    source, store = buckets(s3, moto_ec2.endpoint)
    rule(s3, source.name, *source_rule)
    rule(s3, store.name, *store_rule)
    guard = Encryption(DataPolicy(), clients_of(tmp_path, store=key, source=key), store, "store")
    if fits:
        guard.check("credit", SECRET, [source])
        return
    with pytest.raises(GuardTripped, match=f"their bucket s3://{source.name} encrypts with {KMS}"):
        guard.check("credit", SECRET, [source])


def test_whoever_may_not_ask_has_not_shown_it(tmp_path: Path, s3_lab: S3Server) -> None:
    """A principal with the right may (SeaweedFS has no name for it but s3:Get*); all others trip the guard."""
    s3 = s3_lab.client("s3")
    source, store = buckets(s3, s3_lab.endpoint)
    rule(s3, store.name, AES)
    ours = create_user(s3_lab, unique("store"), allow((("s3:Get*",), (f"arn:aws:s3:::{store.name}",))))
    other = create_user(s3_lab, unique("other"), store_policy(store.name))
    clients = clients_of(tmp_path, store=ours, other=other, source=s3_lab.admin)
    Encryption(DataPolicy(), clients, store, "store").check("credit", SECRET, [source])
    with pytest.raises(GuardTripped, match=r"'other' cannot ask for the encryption.*AccessDenied"):
        Encryption(DataPolicy(), clients, store, "other").check("credit", SECRET, [source])
    nobody = SECRET.model_copy(update={"source_credentials": ""})
    with pytest.raises(GuardTripped, match="cannot be asked for") as refused:
        Encryption(DataPolicy(), clients, store, "store").check("credit", nobody, [source])
    assert "source_credentials" in refused.value.remedy


def test_a_version_is_not_resolved_where_its_copy_would_lie_open(tmp_path: Path, s3_lab: S3Server) -> None:
    """Through a real repository's own configuration, before anything is copied."""
    s3 = s3_lab.client("s3")
    source, store = buckets(s3, s3_lab.endpoint)
    repo = tmp_path / "repo"
    repo.mkdir()
    make_source(repo, ROWS)
    config = repo / ".dvc" / "config"
    told = "['remote \"lab\"']"
    config.write_text(
        f"{config.read_text()}{told}\n    url = s3://{source.name}/dvc\n    endpointurl = {s3_lab.endpoint}\n"
    )
    subprocess.run(["git", "commit", "-qam", "Remote"], cwd=repo, check=True)
    target = Target.model_validate(
        {
            "version": 1,
            "name": "credit",
            "source": {"type": "dvc", "repo": str(repo), "rev": "main", "data": ["rows.csv"], "format": "csv"},
            "workload": {"type": "command", "run": "true"},
        }
    )
    clients = clients_of(tmp_path, store=s3_lab.admin, source=s3_lab.admin)
    carrier = Carrier(tmp_path / "home", clients, store.name, "squall", s3_lab.endpoint, "us-east-1")
    asked: list[str] = []

    def encrypted(of: Target, sources: Sequence[Bucket]) -> None:
        asked.extend(one.name for one in sources)
        Encryption(DataPolicy(), clients, store, "store").check(of.name, SECRET, sources)

    workspaces = Workspaces(tmp_path / "home", sys.executable, clients, carrier, encrypted)
    with pytest.raises(GuardTripped, match="encrypts nothing by default"):
        workspaces.resolve(target)
    rule(s3, store.name, AES)
    assert workspaces.resolve(target).data["rows.csv"].md5
    assert asked == [source.name, source.name]
    assert not (tmp_path / "home").exists()
