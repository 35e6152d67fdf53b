"""What a DAG can be told: its params by the syntax tree of its file, and which of them carry data, results and seed."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from chaos_tasks import reading
from chaos_tasks.discovery.data_files import is_data
from chaos_tasks.discovery.found import Dag, Guess, Missing, Pipeline
from chaos_tasks.discovery.python_names import constants, name_of, text_of
from chaos_tasks.discovery.python_reading import SEED
from chaos_tasks.discovery.scripts import asks_for_data, asks_for_folder
from chaos_tasks.model.base import Value
from chaos_tasks.targets import git

_HELD_BACK = re.compile(r"(?i)hold_?out|sealed|(^|_)(test|eval|valid)")
"""Params of data that a model is measured on: left as they are, where no fault reaches them."""

_NUMBERS = ("metric", "evaluat", "score", "report", "valid")


class Param(Value):
    """A param of a DAG; ``default`` only where it is a text."""

    name: str
    default: str | None = None
    line: int


def params_of(tree: ast.AST, dag_id: str) -> tuple[Param, ...]:
    """Those that the DAG of that id declares in its file as a literal."""
    names = constants(tree)
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Call)
            and name_of(node.func) in {"DAG", "dag"}
            and _called(node, names) in (dag_id, None)
        ):
            told = next((one.value for one in node.keywords if one.arg == "params"), None)
            if isinstance(told, ast.Dict):
                return tuple(_params(told, names))
    return ()


def pipeline_of_dag(dag_id: str, file: Path) -> Pipeline | str:
    """The DAG itself as what is tried; else why its params do not allow that."""
    tree = ast.parse(reading.text(file, errors="replace"))
    params = params_of(tree, dag_id)
    known = ", ".join(one.name for one in params) or "none"
    inputs = {
        one.name: path for one in params if (path := _file(one, file)) is not None and not _HELD_BACK.search(one.name)
    }
    if not inputs:
        return f"none of its params names a data file that is there (they are: {known})"
    rest = [one for one in params if one.name not in inputs and not _HELD_BACK.search(one.name)]
    out = next((one for one in rest if asks_for_folder(one.name)), None)
    if out is None:
        return f"none of its params says where results go (they are: {known})"
    root = _root(next(iter(inputs.values())))
    within = {name: path.relative_to(root) for name, path in inputs.items() if path.is_relative_to(root)}
    lines = {one.name: one.line for one in params}
    conf = {
        name: Guess(value=f"{{data}}/{path}", why=f"line {lines[name]}: by default {path}")
        for name, path in within.items()
    }
    conf[out.name] = Guess(value="{out}", why=f"line {out.line}: its name says that results go there")
    seed = next((one for one in params if SEED.search(one.name)), None)
    if seed is not None:
        conf[seed.name] = Guess(value="{seed}", why=f"line {seed.line}")
    dag = Dag(dag_id=dag_id, conf=conf, metrics_task=_returns_numbers(tree))
    return Pipeline(
        kind="airflow",
        root=root,
        name=dag_id,
        what=f"DAG {dag_id} in {file.name}",
        commands=(),
        data=tuple(Guess(value=str(path), why=f"param {name}, line {lines[name]}") for name, path in within.items()),
        dag=dag,
        missing=tuple(_missing(dag, seed is not None)),
    )


def _called(node: ast.Call, names: Mapping[str, str]) -> str | None:
    """None: not said here, so that the function under the decorator gives the name."""
    told = next((one.value for one in node.keywords if one.arg == "dag_id"), None) or next(iter(node.args), None)
    return text_of(told, names) if told is not None else None


def _params(told: ast.Dict, names: Mapping[str, str]) -> Iterator[Param]:
    for key, value in zip(told.keys, told.values, strict=True):
        name = text_of(key, names) if key is not None else None
        if name is None:
            continue
        given = value
        if isinstance(value, ast.Call):  # Param("...", type="string"), or Param(default="...")
            keyword = next((one.value for one in value.keywords if one.arg == "default"), None)
            given = value.args[0] if value.args else keyword or value
        yield Param(name=name, default=text_of(given, names), line=value.lineno)


def _file(param: Param, dag: Path) -> Path | None:
    """The data file that a param names by default, if it is one, and is there."""
    if not param.default or not (asks_for_data(param.name) or Path(param.default).suffix):
        return None
    for base in (Path("/"), dag.parent, dag.parent.parent, Path.cwd()):
        path = (base / param.default.replace("@/", "")).resolve()
        if path.is_file() and is_data(path):
            return path
    return None


def _root(path: Path) -> Path:
    """The repository of the data; where it has none, its folder."""
    top = git.attempt(path.parent, "rev-parse", "--show-toplevel")
    return Path(top.stdout.decode().strip()).resolve() if top.returncode == 0 else path.parent


def _returns_numbers(tree: ast.AST) -> Guess | None:
    """A task that returns a dictionary and is called like something that measures."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.FunctionDef) or not any(word in node.name.lower() for word in _NUMBERS):
            continue
        returned = [one for one in ast.walk(node) if isinstance(one, ast.Return) and isinstance(one.value, ast.Dict)]
        decorated = [one.func if isinstance(one, ast.Call) else one for one in node.decorator_list]
        if returned and any(name_of(one) == "task" for one in decorated):
            return Guess(value=node.name, why=f"line {returned[0].lineno} returns numbers by name")
    return None


def _missing(dag: Dag, seeded: bool) -> Iterator[Missing]:
    if not seeded:
        yield Missing(
            field="{seed}",
            why="no param takes it",
            rules_out="evidence over seeds: trials differ by chance or not at all",
        )
    if dag.metrics_task is None:
        yield Missing(
            field="workload.metrics_task",
            why="no task is seen to return numbers",
            rules_out="checks of the model, unless the DAG writes metrics.json where its results go",
        )
