"""Which buckets copies of evidence packs may go to, as squall.toml says it."""

from __future__ import annotations

from pydantic import Field

from chaos_tasks.model.base import Value


class PackBucket(Value):
    """A bucket, and how it is reached; the identity needs s3:PutObject in it and nothing else."""

    bucket: str
    credentials: str = Field("sealer", description="Name of the credentials that put the pack.")
    endpoint: str = Field("", description="Address of a server that speaks S3; empty: AWS.")
    region: str = "us-east-1"


class PackPlaces(Value):
    """Besides these, the buckets of signed heads are known."""

    s3: tuple[PackBucket, ...] = ()
