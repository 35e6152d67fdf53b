"""What a finder found out about a pipeline: each fact with its reason, and what it could not find."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from chaos_tasks.discovery.csv_writing import Writing
from chaos_tasks.model.base import Value


class Guess(Value):
    """A value and why it was chosen."""

    value: str
    why: str


class Missing(Value):
    """A field that was not found, and what that rules out."""

    field: str
    why: str
    rules_out: str


class Project(Value):
    """An entry point of an MLproject, and what goes into its parameters."""

    folder: str
    entry_point: str
    parameters: Mapping[str, Guess]
    seed: Guess | None = None
    out: Guess | None = None


class Dag(Value):
    """A DAG that can be tried as a whole, and what goes into its params."""

    dag_id: str
    conf: Mapping[str, Guess]
    metrics_task: Guess | None = None


class Pipeline(Value):
    """How one trial of a pipeline is run, and what it reads and leaves; paths are relative to ``root``."""

    kind: str
    root: Path
    name: str
    what: str
    commands: tuple[Guess, ...]
    cwd: str = "."
    parameters: tuple[Guess, ...] = ()
    params_file: str = "params.yaml"
    data: tuple[Guess, ...] = ()
    metrics: tuple[Guess, ...] = ()
    printed: Mapping[str, Guess] = {}
    environment: Mapping[str, Guess] = {}
    writes: tuple[Guess, ...] = ()
    missing: tuple[Missing, ...] = ()
    project: Project | None = None
    dag: Dag | None = None


class Source(Value):
    """Where the data versions of a target come from, as the target file will say it."""

    repo: Guess
    rev: str
    data: tuple[str, ...]
    format: Literal["parquet", "csv"] | str = "csv"
    left_out: Mapping[str, str] = {}
    csv: Writing | None = None
