"""A place: what one fault acts on, resolved to paths, ids and endpoints, as JSON in the handle."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from chaos_tasks.model.base import Value
from chaos_tasks.model.formats import CsvDialect, Form, Format


def principal_key(endpoint: str, principal: str) -> str:
    """Name of the lock on a principal: the same for its name and its ARN, and however the endpoint is spelt."""
    return f"iam:{_spelt(endpoint)}/{principal.rpartition('/')[2]}"


def instance_key(endpoint: str, region: str, instance_id: str) -> str:
    """Name of the lock on an instance."""
    return f"ec2:{_spelt(endpoint)}/{region}/{instance_id}"


def dag_key(url: str, dag_id: str) -> str:
    """Name of the lock on the scheduled runs of a DAG."""
    return f"airflow-dag:{_spelt(url)}/{dag_id}"


def _not_known(number: int) -> bool:
    return number == 0


PidNamespace = Annotated[
    int, Field(exclude_if=_not_known, description="Table of processes that the pid is of; 0: not known.")
]
"""As in /proc/self/ns/pid.  Left out where it is not known, so that an older record keeps its bytes and digest."""


def _spelt(endpoint: str) -> str:
    return endpoint.rstrip("/").lower()


class DvcPlace(Value):
    """Data files in an isolated clone of a Git+DVC repository."""

    type: Literal["dvc"] = "dvc"
    clone: str = Field(description="Path of the clone; never the source.")
    source: str = Field(description="Path or URL of the source repository, read only.")
    commit: str = Field(description="Commit of the source that the clone starts from.")
    data: tuple[str, ...]
    format: Format
    csv: CsvDialect | None = None

    @property
    def form(self) -> Form:
        """What the adapter of its data is looked up by."""
        return self.csv or self.format

    @property
    def key(self) -> str:
        """Name of the lock that an experiment on this place holds exclusively."""
        return f"dvc-clone:{self.clone}"


class ProcessPlace(Value):
    """A running workload: its process group, and where it keeps progress and checkpoints."""

    type: Literal["process"] = "process"
    trial_id: str
    host: str
    boot_id: str
    pid: int
    start_time: float = Field(description="Process start, seconds since the boot as the kernel counts them.")
    pid_namespace: PidNamespace = 0
    pgid: int
    out: str
    checkpoints: str
    checkpoint_glob: str = ""

    @property
    def key(self) -> str:
        """Name of the lock."""
        return f"process:{self.host}:{self.pid}:{self.start_time}"


class StreamPlace(Value):
    """A Redis stream whose records pass a relay."""

    type: Literal["stream"] = "stream"
    url: str
    key_prefix: str

    @property
    def key(self) -> str:
        """Name of the lock."""
        return f"stream:{self.url}/{self.key_prefix}"


class S3Place(Value):
    """A bucket prefix and the principal whose access may be taken away."""

    type: Literal["s3"] = "s3"
    endpoint: str
    region: str
    bucket: str
    prefix: str
    principal: str
    credentials: str = Field(
        "pipeline", description="Name of the principal's own credentials: proof is what they meet."
    )
    injector: str = Field("injector", description="Name of the credentials that inject.")
    reverter: str = Field("reverter", description="Name of the credentials that revert.")

    @property
    def key(self) -> str:
        """Name of the lock: access is taken from a principal, so that is what is held."""
        return principal_key(self.endpoint, self.principal)

    @property
    def policy_key(self) -> str:
        """Name of the lock on the bucket's policy, which is read, changed and written whole: S3 has no compare-and-set.

        Of two experiments on two principals of one bucket one would write the other's denial back, for good.
        """
        return f"s3-policy:{_spelt(self.endpoint)}/{self.bucket}"


class InstancePlace(Value):
    """An EC2 instance."""

    type: Literal["instance"] = "instance"
    endpoint: str
    region: str
    instance_id: str
    pid_file: str = Field("", description="Where the process group that the instance carries is registered.")
    injector: str = Field("injector", description="Name of the credentials that inject.")
    reverter: str = Field("reverter", description="Name of the credentials that revert.")

    @property
    def key(self) -> str:
        """Name of the lock."""
        return instance_key(self.endpoint, self.region, self.instance_id)


class TaskPlace(Value):
    """The Airflow task process that exercises the workload."""

    type: Literal["task"] = "task"
    host: str
    boot_id: str
    pid: int
    start_time: float
    pid_namespace: PidNamespace = 0
    dag_id: str
    run_id: str
    task_id: str
    try_number: int

    @property
    def key(self) -> str:
        """Name of the lock."""
        return f"airflow-task:{self.dag_id}/{self.run_id}/{self.task_id}"


Place = Annotated[
    DvcPlace | ProcessPlace | StreamPlace | S3Place | InstancePlace | TaskPlace, Field(discriminator="type")
]
