"""Which keys sign, and where the log's signed heads are kept, as squall.toml says it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from pydantic import Field

from chaos_tasks.model.base import Value
from chaos_tasks.model.duration import Duration


class KeyFiles(Value):
    """Paths of keys, relative to squall.toml; private ones are files of mode 0600 that no workload can reach."""

    origin: str = Field("", description="Name of this ledger in its checkpoints, such as acme.example/squall/prod.")
    log: str = Field("", description="Private key that signs checkpoints; empty where this process must not sign.")
    report: str = Field("", description="Private key that signs attestations and packs.")
    persons: Mapping[str, str] = Field(default_factory=dict, description="Private keys of persons who sign packs.")
    known: tuple[str, ...] = Field((), description="Files of vkeys, one a line: older keys, keys of other places.")


class FolderPlace(Value):
    """A folder, best on a machine of others."""

    path: str


class GitPlace(Value):
    """A clone that commits are made in, and pushed from when a remote is named."""

    path: str
    remote: str = ""
    branch: str = ""


class S3Place(Value):
    """A bucket, best with versions and Object Lock, under an identity that may only add."""

    bucket: str
    prefix: str = "checkpoints/"
    credentials: str = "sealer"
    endpoint: str = ""
    region: str = "us-east-1"


class WitnessPlace(Value):
    """A witness that signs what it saw, when its vkey and its URL are known."""

    url: str
    vkey: str
    timeout_s: float = Field(5.0, gt=0, le=60)


class SealingPlaces(Value):
    """Where signed heads go; two places at least, which the owner of the ledger's database cannot rewrite."""

    every: Duration = Field(timedelta(hours=1), description="How often the watcher signs a head that has grown.")
    folders: tuple[FolderPlace, ...] = ()
    git: tuple[GitPlace, ...] = ()
    s3: tuple[S3Place, ...] = ()
    witnesses: tuple[WitnessPlace, ...] = ()

    @property
    def count(self) -> int:
        """Places, witnesses not counted: they keep the last head only."""
        return len(self.folders) + len(self.git) + len(self.s3)
