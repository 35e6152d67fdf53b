"""A target: one pipeline that may be hurt, described by its owners in squall.target.yaml."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Annotated, Literal, Self

from pydantic import Field, JsonValue, model_validator

from chaos_tasks.model.base import Value, wrong_field
from chaos_tasks.model.duration import Duration
from chaos_tasks.model.formats import CsvDialect, Form, Format

Slug = Annotated[str, Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=60)]


class DvcSource(Value):
    """Where the data versions live: a Git+DVC repository, read only."""

    type: Literal["dvc"] = "dvc"
    repo: str = Field(description="Path or URL of the Git repository.")
    rev: str = Field("main", description="Branch, tag or commit of the version that experiments start from.")
    data: tuple[str, ...] = Field(
        description="DVC-tracked data files that data faults may touch (in a clone); a file may lie in a "
        "tracked directory, and of that only the files named here are brought."
    )
    sealed: str | None = Field(None, description="DVC-tracked evaluation set; copied out before any injection.")
    format: Format = Field(
        "parquet",
        description="Of the data. parquet, csv, jsonl: tables; npy, npz: NumPy's; text: lines; images, texts: `data` "
        "names a directory, a file in it is a row, and its label is its folder or a column of an index.",
    )
    csv: CsvDialect | None = Field(None, description="How the data are written, where format is csv.")

    @model_validator(mode="after")
    def _dialect_of_csv(self) -> Self:
        if self.csv is not None and self.format != "csv":
            raise ValueError(f"`csv` says how CSV is written, and the format is {self.format}")
        return self

    @property
    def form(self) -> Form:
        """What their adapter is looked up by."""
        return self.csv or self.format


class SetupStep(Value):
    """A command that runs once per data version, before trials; its result is cached by digest."""

    name: Slug
    run: str = Field(description="Command line; placeholders {python} {data} {prepared} {sealed} {repo}.")
    gate: bool = Field(False, description="True when a non-zero exit is the pipeline's own refusal of the data.")


class _Workload(Value):
    setup: tuple[SetupStep, ...] = ()
    timeout: Duration = Field(timedelta(minutes=10), description="Longest time of one trial.")
    restarts: int = Field(0, ge=0, le=20, description="How often the target's own runtime restarts a dead run.")
    environment: Mapping[str, str] = Field(default_factory=dict, description="Extra environment; placeholders allowed.")
    rungs: Mapping[Slug, str] = Field(
        default_factory=dict,
        description="Cheaper forms of the workload by name: arguments added to its command line, e.g. "
        "{half: '--epochs 1'}; experiments name them in analysis.ladder.",
    )
    fork_changed: str = Field(
        "",
        description="Arguments added to a forked trial whose data are not those of its control: the workload must go "
        "on from the checkpoint all the same, as when new data arrive in mid-training. Leave out where it cannot.",
    )


class CommandWorkload(_Workload):
    """One process per trial."""

    type: Literal["command"] = "command"
    run: str = Field(
        description="Command line; placeholders {python} {squall} {seed} {data} {prepared} {sealed} {out} "
        "{checkpoints} {repo} and {resource.field} of a declared resource."
    )


class DvcStageWorkload(_Workload):
    """One `dvc repro` of a stage per trial, in a clone of the repository; {seed} goes in as a parameter."""

    type: Literal["dvc_stage"] = "dvc_stage"
    stage: str
    seed_param: str | None = Field(None, description="Name in params.yaml that takes the seed, e.g. train.seed.")
    outputs: str = Field(".", description="Folder in the repository where the stage writes what `reads` names.")


class MlflowProjectWorkload(_Workload):
    """One run of an entry point of an MLproject per trial, with a tracking store of its own."""

    type: Literal["mlflow_project"] = "mlflow_project"
    project: str = Field(".", description="Folder of the MLproject file in the repository.")
    entry_point: str = "main"
    parameters: Mapping[str, str] = Field(
        default_factory=dict, description="Parameters of the entry point; the placeholders of `run` are filled."
    )
    seed_param: str | None = Field("seed", description="Parameter that takes the seed; null where there is none.")
    out_param: str | None = Field(None, description="Parameter that takes the folder of the trial.")
    own_copy: bool = Field(
        False,
        description="Run each trial in a copy of the repository's files, so that what it writes there stays with it.",
    )
    env_manager: Literal["local", "virtualenv", "uv", "conda"] = Field(
        "local",
        description="local: the interpreter of `squall.python`; others: the environment that MLproject declares.",
    )


class AirflowConnection(Value):
    """How Squall reaches the Airflow that runs the DAG: its public API, as a user who may trigger and end runs."""

    url: str = Field(description="Address of its API server, e.g. https://airflow.stg.example; ${NAME} is allowed.")
    credentials: str = Field(
        "airflow", description="Name of the credentials: `user` and `password`, or `token`, in the credentials file."
    )


class Attach(Value):
    """No run of ours: the next scheduled run of the DAG is hit, and judged against the runs before it."""

    wait: Duration = Field(timedelta(hours=26), description="Longest time until that run begins.")
    history: int = Field(60, ge=10, le=500, description="At most so many earlier scheduled runs are read.")


class AirflowDagWorkload(_Workload):
    """One run of an existing DAG per trial, in its own Airflow; its tasks run where they always do."""

    type: Literal["airflow_dag"] = "airflow_dag"
    dag_id: str = Field(min_length=1)
    conf: Mapping[str, JsonValue] = Field(
        default_factory=dict,
        description="Params of the run; placeholders {seed} {data} {prepared} {sealed} {out} {trial} {repo} and "
        "{resource.field}. A text becomes a number where the DAG's schema of that param says so.",
    )
    connection: AirflowConnection
    metrics_task: str = Field(
        "", description="Task whose return value (numbers by name) becomes `reads.metrics` where the DAG wrote none."
    )
    attach: Attach | None = Field(
        None, description="Hit the next scheduled run instead of starting one; `conf` is then the DAG's own."
    )
    poll: Duration = Field(timedelta(seconds=0.5), description="Time from one look at the run to the next.")


Workload = Annotated[
    CommandWorkload | DvcStageWorkload | MlflowProjectWorkload | AirflowDagWorkload, Field(discriminator="type")
]


class Predictions(Value):
    """Per-row predictions on the sealed set."""

    path: str
    key: str = Field(description="Column that identifies a row.")
    label: str
    score: str


class Progress(Value):
    """How to see how far a trial is: a JSON-lines file with `step`, or a pattern in its output."""

    file: str | None = Field(
        None,
        description="Lines {step}, and as far as the workload tells them {t: unix seconds, event: start, resume, step, "
        "checkpoint or end, samples, device, devices, write_s}: with those, work lost and the best time between saves "
        "are measured.",
    )
    log: str | None = Field(None, description="Regular expression with one group, the step; e.g. 'step (\\d+)'.")


class Reads(Value):
    """What a trial leaves behind, relative to {out}."""

    metrics: str = "metrics.json"
    predictions: Predictions | None = None
    progress: Progress | None = None
    checkpoints: str | None = Field(None, description="Glob of checkpoint files relative to {checkpoints}.")


class _Signal(Value):
    needs_labels: bool = Field(
        False, description="It compares predictions with labels, so nobody has it before `label_delay` is over."
    )


class ExitCodeSignal(_Signal):
    """Its owners notice when the run ends with a non-zero exit code."""

    type: Literal["exit_code"] = "exit_code"


class GateSignal(_Signal):
    """Its owners notice when a set-up step marked `gate` refuses the data."""

    type: Literal["gate"] = "gate"


class AlarmFileSignal(_Signal):
    """Its owners notice each line of this JSON-lines file ({"t": unix seconds, "alarm": name})."""

    type: Literal["alarms"] = "alarms"
    path: str


class AirflowSignal(_Signal):
    """Its owners notice what Airflow tells of the trial's DAG run: by mail, by a callback, or in its UI."""

    type: Literal["airflow"] = "airflow"
    events: tuple[Literal["task_retry", "task_failed", "run_failed"], ...] = Field(
        ("task_failed", "run_failed"),
        min_length=1,
        description="task_retry: a try failed and is tried again; task_failed: a task failed for good; run_failed.",
    )


Signal = Annotated[ExitCodeSignal | GateSignal | AlarmFileSignal | AirflowSignal, Field(discriminator="type")]


class S3Resource(Value):
    """A prefix of a bucket, and the identity that the pipeline uses on it."""

    type: Literal["s3"] = "s3"
    endpoint: str = ""
    region: str = "us-east-1"
    bucket: str
    prefix: str = ""
    principal: str = Field(description="IAM user of the pipeline; the only one that faults may restrict.")
    credentials: str = Field("pipeline", description="Name of the credentials that the workload runs with.")


class RedisStreamResource(Value):
    """A Redis stream between a producer and a consumer."""

    type: Literal["redis_stream"] = "redis_stream"
    url: str
    key: str = Field(description="Prefix of the stream keys; each trial gets keys of its own below it.")


class Ec2InstanceResource(Value):
    """A virtual machine that carries the workload's process group."""

    type: Literal["ec2_instance"] = "ec2_instance"
    endpoint: str = ""
    region: str = "us-east-1"
    instance_id: str
    pid_file: str = Field("", description="File in which the process group that runs on the instance is registered.")


Resource = Annotated[S3Resource | RedisStreamResource | Ec2InstanceResource, Field(discriminator="type")]


class RedirectedWrite(Value):
    """What a trial writes to another place, because variables of its environment say so."""

    what: str = Field(description="e.g. mlflow:credit-pd, s3://models/, postgresql:features.")
    environment: Mapping[str, str] = Field(
        default_factory=dict,
        description="Variables that the pipeline reads where it writes, e.g. {PREFIX: 's3://models/squall/{trial}/'}; "
        "placeholders of `run`, and {trial}.",
    )
    conf: Mapping[str, JsonValue] = Field(
        default_factory=dict,
        description="Of an airflow_dag: params that say where it writes, e.g. {models: 's3://models/squall/{trial}/'}.",
    )

    @model_validator(mode="after")
    def _goes_somewhere(self) -> Self:
        if not self.environment and not self.conf:
            raise wrong_field(
                "writes",
                f"{self.what} is redirected by nothing",
                "name the variables (`environment`), or the params of a DAG (`conf`), that say where it is written",
            )
        return self


class Target(Value):
    """One pipeline: its source, how to run it, what it reads and writes, and what its owners would notice."""

    version: Literal[1] = 1
    name: Slug
    source: DvcSource
    workload: Workload
    reads: Reads = Field(default_factory=Reads)
    writes: tuple[str | RedirectedWrite, ...] = Field(
        (),
        description="What a trial writes outside {out}: `folder:PATH` (relative: in its checkout) is permitted; "
        "{what, environment} is redirected. An undeclared write to what is watched aborts the trial.",
    )
    watch: tuple[str, ...] = Field(
        (),
        description="Folders that a trial must leave alone, beside its checkout, e.g. ~/.cache/models; listed before, "
        "during and after it.",
    )
    signals: tuple[Signal, ...] = (ExitCodeSignal(),)
    label_delay: Duration = Field(timedelta(0), description="How long after a prediction its label is known.")
    resources: Mapping[str, Resource] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _can_be_tried(self) -> Self:
        if isinstance(self.workload, AirflowDagWorkload):
            _check_dag(self, self.workload)
            return self
        for one in self.writes:
            if isinstance(one, RedirectedWrite) and not one.environment:
                cause = f"{one.what} is redirected by the conf of a DAG, and the workload is a {self.workload.type}"
                raise wrong_field("writes", cause, "name the variables that the pipeline reads in `environment`")
        if any(isinstance(one, AirflowSignal) for one in self.signals):
            cause = f"a signal of Airflow's is named, and the workload is a {self.workload.type}"
            raise wrong_field(
                "signals", cause, "use `exit_code`, `gate` or `alarms`, or a workload of type airflow_dag"
            )
        return self

    @property
    def redirections(self) -> Mapping[str, Mapping[str, str]]:
        """What is written elsewhere in a trial, and the variables that say where."""
        return {one.what: one.environment for one in self.writes if isinstance(one, RedirectedWrite)}

    @property
    def redirected_conf(self) -> Mapping[str, JsonValue]:
        """Params of a DAG that say where it writes in a trial."""
        return {
            name: value for one in self.writes if isinstance(one, RedirectedWrite) for name, value in one.conf.items()
        }

    @property
    def permitted(self) -> tuple[str, ...]:
        """What a trial may write where it always does."""
        return tuple(one for one in self.writes if isinstance(one, str))


def _check_dag(target: Target, workload: AirflowDagWorkload) -> None:
    """A DAG that would write where it always does is refused, naming the write and what to add.

    One that is attached to writes there anyhow: its run is none of ours.
    """
    if workload.attach is not None:
        if workload.conf or target.redirected_conf:
            cause = f"a scheduled run of {workload.dag_id} takes no conf of ours"
            raise wrong_field("workload.conf", cause, "leave out `conf`, or leave out `attach` to start a run")
        return
    if not any("{out}" in text for text in _texts(workload.conf)):
        cause = f"the conf of {workload.dag_id} has no {{out}}: a trial would write where the DAG always does"
        remedy = "give the param that says where its results go, e.g. conf: {out: '{out}'}; one that has none needs one"
        raise wrong_field("workload.conf", cause, remedy)
    for write in target.writes:
        if isinstance(write, RedirectedWrite) and write.conf and not write.environment:
            continue
        if isinstance(write, str) and write.startswith("folder:"):
            continue
        what = write if isinstance(write, str) else write.what
        why = "" if isinstance(write, str) else " (variables of an environment do not reach its tasks)"
        raise wrong_field(
            "writes",
            f"{what} is written by {workload.dag_id} and cannot be redirected{why}",
            f"add the param that says where: {{what: {what!r}, conf: {{PARAM: '.../squall/{{trial}}/'}}}}",
        )
    for name, said in (
        ("environment", workload.environment),
        ("rungs", workload.rungs),
        ("restarts", workload.restarts),
    ):
        if said:
            cause = f"workload.{name} says something that does not reach the tasks of {workload.dag_id}"
            raise wrong_field(
                f"workload.{name}", cause, "use `conf`; what is tried again is the `retries` of its tasks"
            )


def _texts(value: JsonValue | Mapping[str, JsonValue]) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for one in value.values():
            yield from _texts(one)
    elif isinstance(value, list):
        for one in value:
            yield from _texts(one)
