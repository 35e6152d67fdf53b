"""The text of a target file and of a first inventory: each guess stands beside its reason."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path

from chaos_tasks.discovery.found import Dag, Pipeline, Project, Source

ASIDE = "{squall} -P -m chaos_tasks.workloads.aside --copy-of {data} --out {out} --python {python}"


def slug(text: str) -> str:
    """A target's name out of a folder's, a DAG's or a model's."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:60].strip("-") or "pipeline"


def target_file(name: str, pipeline: Pipeline, source: Source) -> str:
    """The YAML; loads by the strict loader."""
    return "\n".join(
        [*_head(name, pipeline), *_source(pipeline, source), *_workload(pipeline), *_tail(pipeline, source)]
    )


def _head(name: str, pipeline: Pipeline) -> Iterator[str]:
    yield f"# Written by `squall init` from {_plain(pipeline.what)}; nothing of it was run."
    yield f"# Correct what is wrong, then: squall doctor {name}"
    yield "version: 1"
    yield f"name: {name}"


def _source(pipeline: Pipeline, source: Source) -> Iterator[str]:
    yield "source:"
    yield "  type: dvc"
    yield f"  # {_plain(source.repo.why)}"
    yield f"  repo: {_text(source.repo.value)}"
    yield f"  rev: {_text(source.rev)}"
    reasons = {one.value: one.why for one in pipeline.data}
    for path in source.data:
        yield f"  # {_plain(path)}: {_plain(reasons.get(path, ''))}"
    for path, why in source.left_out.items():
        yield f"  # without {_plain(path)}: it {_plain(why)}"
    yield f"  data: [{', '.join(_text(path) for path in source.data)}]"
    yield f"  format: {source.format}"
    if source.csv is not None:
        yield from (f"  # {_plain(one)}" for one in source.csv.why)
        told = source.csv.dialect.model_dump(mode="json", exclude_defaults=True)
        yield f"  csv: {{{', '.join(f'{name}: {json.dumps(value)}' for name, value in told.items())}}}"


_OWN_COPY = "  # each trial runs in a copy of the files, so that what it writes stays with it"


def _workload(pipeline: Pipeline) -> Iterator[str]:
    if pipeline.project is not None:
        yield from _project(pipeline.project, pipeline)
        return
    if pipeline.dag is not None:
        yield from _dag(pipeline.dag)
        return
    yield "workload:"
    yield "  type: command"
    yield _OWN_COPY
    for one in pipeline.parameters:
        yield f"  # {_plain(one.value)} takes the seed: {_plain(one.why)}"
    for one in pipeline.commands:
        yield f"  # {_plain(one.value)}: {_plain(one.why)}"
    numbers = [(one.value, one.why) for one in pipeline.metrics]
    numbers += [(name, one.why) for name, one in pipeline.printed.items()]
    for name, why in numbers:
        yield f"  # {_plain(name)}: {_plain(why)}"
    yield "  run: >-"
    yield from (f"    {line}" for line in _run(pipeline))
    yield "  timeout: 10m"
    yield _environment({key: one.value for key, one in pipeline.environment.items()})


def _dag(dag: Dag) -> Iterator[str]:
    """The DAG in place, by the API of its Airflow."""
    yield "workload:"
    yield "  type: airflow_dag"
    yield "  # each trial is a run of the DAG, in its own Airflow; only what its params redirect goes to the trial"
    yield f"  dag_id: {_text(dag.dag_id)}"
    for key, one in dag.conf.items():
        yield f"  # {_plain(key)}: {_plain(one.why)}"
    yield f"  conf: {{{_pairs({key: one.value for key, one in dag.conf.items()})}}}"
    yield "  # where the API of its Airflow answers, and the name of a login in the file that SQUALL_CREDENTIALS names:"
    yield '  # {"airflow": {"user": "...", "password": "..."}}'
    yield '  connection: {url: "${SQUALL_AIRFLOW_URL}", credentials: airflow}'
    if dag.metrics_task is not None:
        yield f"  # {_plain(dag.metrics_task.value)}: {_plain(dag.metrics_task.why)}"
        yield f"  metrics_task: {_text(dag.metrics_task.value)}"
    yield "  timeout: 30m"


def _environment(added: Mapping[str, str]) -> str:
    environment = {"PYTHONHASHSEED": "{seed}", **added}
    return f"  environment: {{{_pairs(environment)}}}"


def _pairs(values: Mapping[str, str]) -> str:
    return ", ".join(f"{key}: {_text(value)}" for key, value in values.items())


def _project(project: Project, pipeline: Pipeline) -> Iterator[str]:
    """An entry point as MLflow runs it: its numbers are those of its MLflow run, in a store of the trial's own."""
    own = {"PYTHONHASHSEED", "MLFLOW_TRACKING_URI"}
    yield "workload:"
    yield "  type: mlflow_project"
    yield "  # its numbers are those that it logs to MLflow, in a store of the trial's own"
    yield f"  project: {_text(project.folder)}"
    yield f"  entry_point: {_text(project.entry_point)}"
    yield _OWN_COPY
    yield "  own_copy: true"
    for key, one in project.parameters.items():
        yield f"  # {_plain(key)}: {_plain(one.why)}"
    yield f"  parameters: {{{_pairs({key: one.value for key, one in project.parameters.items()})}}}"
    if project.seed is not None:
        yield f"  # {_plain(project.seed.value)} takes the seed: {_plain(project.seed.why)}"
    yield f"  seed_param: {_text(project.seed.value) if project.seed else 'null'}"
    if project.out is not None:
        yield f"  # {_plain(project.out.value)} takes the folder of the trial: {_plain(project.out.why)}"
        yield f"  out_param: {_text(project.out.value)}"
    yield "  timeout: 10m"
    yield _environment({key: one.value for key, one in pipeline.environment.items() if key not in own})


def _run(pipeline: Pipeline) -> Iterator[str]:
    yield ASIDE
    where = f"--cwd {shlex.quote(pipeline.cwd)} " if pipeline.cwd != "." else ""
    params = " ".join(f"--param {one.value}={{seed}}" for one in pipeline.parameters)
    if where or params:
        yield f"{where}{params}".strip()
    for one in pipeline.commands:
        yield f"--run {shlex.quote(one.value)}"
    if pipeline.metrics:
        yield " ".join(f"--metrics {shlex.quote(one.value)}" for one in pipeline.metrics)
    for name, one in pipeline.printed.items():
        yield f"--printed {shlex.quote(f'{name}={one.value}')}"


def _tail(pipeline: Pipeline, source: Source) -> Iterator[str]:
    yield "reads: {metrics: metrics.json}"
    if pipeline.writes:
        where = "; ".join(f"{one.value} ({one.why})" for one in pipeline.writes)
        yield f"# It may write to {_plain(where)}: name that in `writes`, or point it elsewhere by its environment."
    if pipeline.dag is not None:
        yield "# what else it writes, where no param says: name it in `writes`, with the param that redirects it"
        yield "signals: [{type: airflow}]  # a failed task or run; add what its callbacks leave in a file"
    else:
        yield "signals: [{type: exit_code}]  # add what its owners would really notice: a gate, alarms"
    if pipeline.missing:
        yield "# Not found, and what that rules out:"
        for one in pipeline.missing:
            yield f"#   {one.field}: {_plain(one.why)}; rules out {_plain(one.rules_out)}"
    if source.data:
        yield "#   source.sealed: no evaluation set apart is known; metrics come from data that faults may reach"
    yield ""


PROCESSES, DAGS = ("data", "process"), ("data", "airflow")
"""Families of faults that a pipeline on this machine, or a DAG, can suffer without more being said."""


def inventory(
    name: str, file: Path, environment: str, python: str | None, families: tuple[str, ...] = PROCESSES
) -> str:
    """A first squall.toml."""
    lines = [
        "# What may be hurt: written by `squall init`, and its owner's to change.",
        "[squall]",
        'experiments = "experiments"',
        *([f"python = {json.dumps(python)}  # the interpreter of the pipeline"] if python else []),
        "",
        table(name, file, environment, families),
    ]
    return "\n".join(lines)


def table(name: str, file: Path, environment: str, families: tuple[str, ...] = PROCESSES) -> str:
    """The lines of one target in squall.toml."""
    allowed = json.dumps(families)
    return f"""\
[targets.{name}]
file = {json.dumps(str(file))}
environment = "{environment}"
families = {allowed}

[[targets.{name}.identities.not_applicable]]
check = "principals"
families = {allowed}
reason = "Local files and processes of one user of this machine: nothing there tells who is who."
"""


def content_lines(text: str) -> int:
    """Lines that are neither empty nor a comment."""
    return sum(bool(line.strip()) and not line.strip().startswith("#") for line in text.splitlines())


def _plain(text: str) -> str:
    """On one line of a comment."""
    return " ".join(text.split())


def _text(value: str) -> str:
    """Bare where YAML reads it as the same text, else in quotes."""
    plain = re.fullmatch(r"[A-Za-z0-9_./${}-]*[A-Za-z/][A-Za-z0-9_./-]*", value) and "{" not in value.replace("${", "")
    return value if plain and value.lower() not in _WORDS else json.dumps(value, ensure_ascii=False)


_WORDS = frozenset({"yes", "no", "on", "off", "true", "false", "null", "y", "n"})
