"""A place: what one fault acts on, resolved to paths, ids and endpoints, as JSON in the handle."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from chaos_tasks.model.base import Value
from chaos_tasks.model.formats import CsvDialect, Form, Format


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
    start_time: float = Field(description="Process start, unix seconds as the kernel reports it.")
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
        return f"iam:{self.endpoint}/{self.principal}"


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
        return f"ec2:{self.endpoint}/{self.region}/{self.instance_id}"


class TaskPlace(Value):
    """The Airflow task process that exercises the workload."""

    type: Literal["task"] = "task"
    host: str
    boot_id: str
    pid: int
    start_time: float
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
