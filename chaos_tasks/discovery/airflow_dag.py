"""The finder of Airflow DAGs: a dag_id, looked up in the DAG folder by syntax tree; Airflow is not needed for that.

A DAG whose params can carry data and results is tried in place: workload `airflow_dag`.  Of any other, a target runs
the training task where that is a command, in a copy, as it says; else the whole DAG in a copy, by `airflow dags test`,
which needs Airflow in the pipeline's own interpreter and no server.
"""

from __future__ import annotations

import ast
import os
import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import ClassVar

from chaos_tasks import reading
from chaos_tasks.discovery.dag_params import pipeline_of_dag
from chaos_tasks.discovery.found import Guess, Missing, Pipeline
from chaos_tasks.discovery.python_names import constants, name_of, text_of
from chaos_tasks.discovery.scripts import local_scripts, pipeline_of
from chaos_tasks.errors import SetupError
from chaos_tasks.model.base import Value

_DAG_ID = re.compile(r"[A-Za-z0-9_.-]+")


class Task(Value):
    """A task of a DAG: what it is called, and its command where it has one."""

    task_id: str
    operator: str
    command: str | None = None
    line: int


class AirflowDag:
    """Finds the task that trains among those with a command."""

    kind: ClassVar[str] = "airflow"
    summary: ClassVar[str] = "a dag_id of a DAG folder (AIRFLOW__CORE__DAGS_FOLDER, AIRFLOW_HOME/dags, ./dags)"

    def fits(self, where: str) -> bool:
        """A plain word that is no path, and the name of a DAG in one of the folders."""
        return bool(_DAG_ID.fullmatch(where)) and not Path(where).exists() and _file_of(where) is not None

    def find(self, where: str) -> Pipeline:
        """The DAG as a whole; else the command of its training task, as a script of its own."""
        file = _file_of(where)
        if file is None:
            raise SetupError(
                f"no DAG is called {where!r} in {', '.join(map(str, dag_folders(os.environ))) or 'any folder'}",
                remedy="set AIRFLOW__CORE__DAGS_FOLDER to the folder with its file",
            )
        in_place = pipeline_of_dag(where, file)
        if isinstance(in_place, Pipeline):
            return in_place
        tasks = list(tasks_of(file))
        trained = _training(file, tasks)
        if trained is None:
            found = _whole(where, file, tasks, in_place)
            return found.model_copy(update={"missing": (*found.missing, _not_in_place(in_place))})
        task, script, cwd = trained
        root = next((one for one in script.parents if (one / ".git").exists()), cwd)
        command = _after_cd(task.command or "")
        found = pipeline_of(
            self.kind, f"DAG {where}, task {task.task_id}", root, script, command=command, cwd=cwd,
            why=f"task {task.task_id} in line {task.line} of {file.name}",
        )  # fmt: skip
        others = [one.task_id for one in tasks if one.task_id != task.task_id]
        missing = (*found.missing, *_left_out(others), _not_in_place(in_place))
        return found.model_copy(update={"name": where, "missing": missing})


def dag_folders(environment: Mapping[str, str]) -> list[Path]:
    """Where DAG files may lie."""
    told = [environment.get("AIRFLOW__CORE__DAGS_FOLDER", "")]
    told += [f"{environment['AIRFLOW_HOME']}/dags"] if environment.get("AIRFLOW_HOME") else []
    folders = [Path(one).expanduser() for one in (*told, "dags", ".") if one]
    return list(dict.fromkeys(one.resolve() for one in folders if one.is_dir()))


def _file_of(dag_id: str) -> Path | None:
    for folder in dag_folders(os.environ):
        for file in sorted(folder.rglob("*.py"))[:2000]:
            if any(part.startswith(".") or part in {"venv", "node_modules"} for part in file.relative_to(folder).parts):
                continue
            try:
                text = reading.text(file, errors="replace")
                if dag_id in text and "dag" in text.lower() and dag_id in _dag_ids(ast.parse(text)):
                    return file
            except (OSError, SyntaxError, ValueError, RecursionError):
                continue
    return None


def _dag_ids(tree: ast.AST) -> set[str]:
    """`DAG("x")`, `DAG(dag_id="x")`, `@dag(dag_id="x")`, and `@dag` on a function called x."""
    names, found = constants(tree), set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and name_of(node.func) in {"DAG", "dag"}:
            told = next((one.value for one in node.keywords if one.arg == "dag_id"), None) or next(
                iter(node.args), None
            )
            found.add(text_of(told, names) if told is not None else None)
        if isinstance(node, ast.FunctionDef):
            for one in node.decorator_list:
                call = one.func if isinstance(one, ast.Call) else one
                if name_of(call) == "dag":
                    found.add(node.name)
    return {one for one in found if one}


def tasks_of(file: Path) -> Iterator[Task]:
    """Operators with a task_id, and functions decorated with @task."""
    tree = ast.parse(reading.text(file, errors="replace"))
    names = constants(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            said = {one.arg: one.value for one in node.keywords if one.arg}
            if "task_id" not in said:
                continue
            command = text_of(said["bash_command"], names) if "bash_command" in said else None
            task_id = text_of(said["task_id"], names) or "?"
            yield Task(task_id=task_id, operator=name_of(node.func), command=command, line=node.lineno)
        elif isinstance(node, ast.FunctionDef):
            for one in node.decorator_list:
                call = one.func if isinstance(one, ast.Call) else one
                if name_of(call) in {"task", "bash", "virtualenv"}:
                    yield Task(task_id=node.name, operator=f"@{name_of(call)}", line=node.lineno)


def _training(file: Path, tasks: list[Task]) -> tuple[Task, Path, Path] | None:
    """The task whose command runs a script, one that trains by its name first; None where no task has one."""
    ranked = sorted(tasks, key=lambda one: "train" not in f"{one.task_id} {one.command}")
    for task in ranked:
        found = _script_of(file, task.command or "")
        if found is not None:
            return (task, *found)
    return None


def _whole(dag_id: str, file: Path, tasks: list[Task], not_in_place: str) -> Pipeline:
    """All tasks, one after the other in one process; the module beside the DAG that trains says what it reads."""
    scripts = {path: facts for path, facts in local_scripts(file.parent).items() if facts.trains}
    if not tasks or not scripts:
        had = ", ".join(f"{one.task_id} ({one.operator})" for one in tasks) or "none"
        raise SetupError(
            f"no task of {dag_id} in {file} runs a Python script by a command, and no module beside it trains; its "
            f"tasks: {had}; it cannot be tried in place: {not_in_place}",
            remedy="give it such params, or name the script that a task calls: squall init path/to/train.py",
        )
    script = min(scripts, key=lambda path: (path != file, len(path.parts), path))
    root = next((one for one in file.parents if (one / ".git").exists()), file.parent)
    folder = file.parent.relative_to(root)
    run = f"python -m airflow dags test {shlex.quote(dag_id)}"
    found = pipeline_of(
        "airflow", f"DAG {dag_id}, all of it", root, script, command=run,
        why=f"its {len(tasks)} tasks, in one process and without a scheduler",
    )  # fmt: skip
    tables = Guess(value="python -m airflow db migrate", why="in a database of the trial's own")
    environment = {
        "AIRFLOW_HOME": Guess(value="{out}/airflow", why="nothing of the trial's Airflow is anybody else's"),
        "AIRFLOW__CORE__DAGS_FOLDER": Guess(value=f"{{out}}/tree/{folder}", why="the DAG in the copy"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": Guess(value="false", why="they take time"),
        "AIRFLOW__CORE__DAGBAG_IMPORT_TIMEOUT": Guess(value="600", why="a busy machine is no fault"),
        "PYTHONPATH": Guess(value=f"{{out}}/tree/{folder}", why="modules beside the DAG"),
        **found.environment,
    }
    lack = Missing(
        field="workload", why="no scheduler runs it", rules_out="its retries and pools, and airflow.task_kill"
    )
    return found.model_copy(
        update={
            "name": dag_id, "commands": (tables, *found.commands), "environment": environment,
            "missing": (*found.missing, lack),
        }
    )  # fmt: skip


def _script_of(file: Path, command: str) -> tuple[Path, Path] | None:
    """The script that a command runs, and the folder that it runs in."""
    if "{{" in command or "{%" in command:
        return None
    bases = [file.parent, file.parent.parent, Path.cwd()]
    changed = re.match(r"\s*cd\s+(\S+)\s*(?:&&|;)", command)
    if changed:
        bases = [(base / changed[1]).resolve() for base in bases]
    try:
        words = shlex.split(_after_cd(command))
    except ValueError:
        return None
    for word in words:
        for base in bases:
            if word.endswith(".py") and (base / word).is_file():
                return (base / word).resolve(), base.resolve()
    return None


def _after_cd(command: str) -> str:
    return " ".join(re.sub(r"^\s*cd\s+\S+\s*(?:&&|;)", "", command).split())


def _not_in_place(why: str) -> Missing:
    rules_out = "trials of the DAG itself, in its Airflow (workload airflow_dag)"
    return Missing(field="workload.dag_id", why=why, rules_out=rules_out)


def _left_out(others: list[str]) -> Iterator[Missing]:
    if others:
        yield Missing(
            field="workload",
            why=f"only that task is run, not {', '.join(others[:6])}",
            rules_out="what the DAG does around it: its retries, callbacks and alarms",
        )
