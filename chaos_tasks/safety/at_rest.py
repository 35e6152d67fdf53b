"""Whether a copy in the store would be encrypted at rest as its source is: both buckets are asked; a guard."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from chaos_tasks.errors import GuardTripped
from chaos_tasks.model.data import DataDeclaration, DataPolicy
from chaos_tasks.ports import Clients

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mypy_boto3_s3 import S3Client

STRENGTH = ("", "AES256", "aws:kms", "aws:kms:dsse")
"""Algorithms of S3's default encryption, from none to the strongest; one that is not here counts as none."""

NO_RULE = "ServerSideEncryptionConfigurationNotFoundError"


class Bucket(NamedTuple):
    """Where a bucket is."""

    name: str
    endpoint: str = ""
    region: str = ""


class AtRest(NamedTuple):
    """What a bucket does with an object that comes without a wish: the algorithm, and a key of the owner's own."""

    algorithm: str = ""
    key: str = ""

    def __str__(self) -> str:
        return f"{self.algorithm or 'nothing'}{' under a key of its owner' if self.key else ''}"

    def covers(self, other: AtRest) -> bool:
        """Whether it is at least as strong, and under somebody's own key where the other is."""
        return _rank(self) >= _rank(other) and (bool(self.key) or not other.key)


@dataclass(frozen=True)
class Encryption:
    """Holds the store to the source's encryption, where the classification of the data demands it."""

    policy: DataPolicy
    clients: Clients
    store: Bucket
    store_credentials: str

    def check(self, target: str, declared: DataDeclaration, sources: Sequence[Bucket]) -> None:
        """Raise GuardTripped for a store that keeps data openly or more weakly than a source, or cannot be asked.

        Nothing is asked of data that are classified below `[data] encrypted`, nor of masked ones.
        """
        masked = declared.classification.above(self.policy.highest)
        if masked or self.policy.encrypted.above(declared.classification):
            return
        here = self._ask(self.store, self.store_credentials, target)
        what = f"the data of target {target} are {declared.classification}"
        if not _rank(here):
            raise GuardTripped(
                f"{what}, and the store s3://{self.store.name} encrypts {here} by default",
                remedy="give that bucket a default encryption (PutBucketEncryption), or name another SQUALL_STORE",
            )
        for source in sources:
            there = self._ask(source, declared.source_credentials, target)
            if not here.covers(there):
                raise GuardTripped(
                    f"{what}; their bucket s3://{source.name} encrypts with {there}, the store s3://{self.store.name} "
                    f"with {here} only",
                    remedy="give the store's bucket a default encryption as strong, with a key where it has one",
                )

    def _ask(self, bucket: Bucket, credentials: str, target: str) -> AtRest:
        from botocore.exceptions import BotoCoreError, ClientError

        if not credentials:
            raise GuardTripped(
                f"the encryption of s3://{bucket.name}, where the data of target {target} are, cannot be asked for",
                remedy=f"name the credentials that may (s3:GetEncryptionConfiguration) as `source_credentials` in "
                f"[targets.{target}.data]",
            )
        try:
            return at_rest(self.clients.s3(credentials, endpoint=bucket.endpoint, region=bucket.region), bucket.name)
        except (BotoCoreError, ClientError) as error:
            code = getattr(error, "response", {}).get("Error", {}).get("Code", type(error).__name__)
            raise GuardTripped(
                f"{credentials!r} cannot ask for the encryption of s3://{bucket.name} ({code})",
                remedy="give that identity s3:GetEncryptionConfiguration on the bucket",
            ) from error


def at_rest(client: S3Client, bucket: str) -> AtRest:
    """The default rule of a bucket; raises what boto3 does, but for a bucket without a rule."""
    from botocore.exceptions import ClientError

    try:
        answer = client.get_bucket_encryption(Bucket=bucket)
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") == NO_RULE:
            return AtRest()
        raise
    found = []
    for rule in answer["ServerSideEncryptionConfiguration"]["Rules"]:
        told = rule.get("ApplyServerSideEncryptionByDefault")
        if told is not None:
            found.append(AtRest(told["SSEAlgorithm"], told.get("KMSMasterKeyID", "")))
    return max(found, key=_rank, default=AtRest())


def _rank(one: AtRest) -> int:
    return STRENGTH.index(one.algorithm) if one.algorithm in STRENGTH else 0
