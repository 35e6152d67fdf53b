"""The finder of MLflow projects: the main entry point of an MLproject, and what goes into its parameters.

Where the script logs its numbers to MLflow, the entry point is run as MLflow runs it.  Where it only prints or writes
them, its command is run like that of any script, which can read those.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from chaos_tasks import reading
from chaos_tasks.discovery import python_reading
from chaos_tasks.discovery.data_files import is_data, resolve
from chaos_tasks.discovery.found import Guess, Pipeline, Project
from chaos_tasks.discovery.python_reading import SEED, Facts
from chaos_tasks.discovery.scripts import asks_for_data, asks_for_folder, pipeline_of
from chaos_tasks.errors import SetupError


class MlProject:
    """The environment that it names is not made, yours is used."""

    kind: ClassVar[str] = "mlproject"
    summary: ClassVar[str] = "a folder with an MLproject"

    def fits(self, where: str) -> bool:
        """A folder with an MLproject, or that file."""
        return _file(where).is_file()

    def find(self, where: str) -> Pipeline:
        """How its main entry point is run."""
        file = _file(where).resolve()
        name, entry = _entry(file)
        command = " ".join(str(entry["command"]).split())
        script = next((file.parent / word for word in shlex.split(command) if word.endswith(".py")), None)
        if script is None or not script.is_file():
            raise SetupError(
                f"entry point {name} of {file} runs no Python script: {command}",
                remedy="write the target file by hand from `squall init --print` of the script that it calls",
            )
        facts = python_reading.read(script)
        parameters = _parameters(file, script, name, entry)
        filled = re.sub(r"\{(\w+)\}", lambda found: parameters.get(found[1], found[0]), command)
        what = f"MLproject, entry point {name}"
        why = f"entry point {name} with its defaults"
        found = pipeline_of(self.kind, what, file.parent, script, command=filled, why=why)
        if not facts.logged and (found.metrics or found.printed):
            return found
        data = found.data or tuple(_named_by(parameters, file, script))
        project = _project(file, script, name, entry, data, facts)
        known = {"source.data": bool(data), "{seed}": project.seed is not None}
        missing = tuple(one for one in found.missing if not known.get(one.field))
        return found.model_copy(
            update={"project": project, "data": data, "printed": {}, "metrics": (), "missing": missing}
        )


def _file(where: str) -> Path:
    path = Path(where).expanduser()
    return path if path.name == "MLproject" else path / "MLproject"


def _entry(file: Path) -> tuple[str, Mapping[str, Any]]:
    import yaml

    try:
        content = yaml.safe_load(reading.text(file)) or {}
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise SetupError(f"{file} cannot be read: {error}", remedy="mend it: `mlflow run` reads it too") from None
    entries = content.get("entry_points") if isinstance(content, dict) else None
    if not isinstance(entries, dict) or not entries:
        raise SetupError(f"{file} has no entry_points", remedy="name the script that trains instead")
    for name in ("main", "train", *entries):
        if isinstance(entries.get(name), dict) and entries[name].get("command"):
            return str(name), entries[name]
    raise SetupError(f"{file}: no entry point has a command", remedy="name the script that trains instead")


def _defaults(entry: Mapping[str, Any]) -> dict[str, str | None]:
    """`name: type`, `name: {type, default}`; None where there is no default."""
    told = entry.get("parameters") or {}
    defaults = {str(name): one.get("default") if isinstance(one, dict) else None for name, one in told.items()}
    return {name: None if default is None else str(default) for name, default in defaults.items()}


def _parameters(file: Path, script: Path, name: str, entry: Mapping[str, Any]) -> dict[str, str]:
    """For a command line: the seed takes the trial's, all others their default; raises SetupError for one without."""
    values: dict[str, str] = {}
    unset = []
    for key, default in _defaults(entry).items():
        if SEED.search(key):
            values[key] = "{seed}"
        elif default is not None:
            values[key] = shlex.quote(default)
        elif asks_for_folder(key):
            values[key] = "out"
        else:
            unset.append(key)
    if unset:
        raise SetupError(
            f"entry point {name} of {file} has parameters without a default: {', '.join(unset)}",
            remedy="give them defaults there, or name the script instead",
        )
    return values


def _named_by(parameters: Mapping[str, str], file: Path, script: Path) -> list[Guess]:
    """Data files that a default names."""
    found = []
    for key, default in parameters.items():
        path = resolve(file.parent, script, default.strip("'"))
        if path is not None and is_data(file.parent / path):
            found.append(Guess(value=str(path), why=f"parameter {key} of MLproject names it"))
    return found


def _is_folder(key: str, default: str | None) -> bool:
    """By its name it says where results go, and its default is no file and no mere word such as `rf` of `model`."""
    if not asks_for_folder(key) or asks_for_data(key):
        return False
    return not default or ("/" in default and not Path(default).suffix)


def _project(
    file: Path, script: Path, name: str, entry: Mapping[str, Any], data: tuple[Guess, ...], facts: Facts
) -> Project:
    values: dict[str, Guess] = {}
    seed: Guess | None = None
    out: Guess | None = None
    for key, default in _defaults(entry).items():
        path = resolve(file.parent, script, default or "")
        if SEED.search(key):
            seed = Guess(value=key, why=f"parameter {key} of entry point {name}")
        elif path is not None and str(path) in {one.value for one in data}:
            values[key] = Guess(value=f"{{data}}/{path}", why="its default names a data file, which faults change")
        elif out is None and _is_folder(key, default):
            out = Guess(value=key, why="by its name it says where results go")
        elif default:
            values[key] = Guess(value=default, why="its default")
    flag = next((one for one in facts.options if SEED.search(one.flag.lstrip("-")) and not one.positional), None)
    if seed is None and flag is not None:
        why = f"{script.name} takes {flag.flag} in line {flag.line}; MLflow hands on what MLproject does not name"
        seed = Guess(value=flag.flag.lstrip("-"), why=why)
    return Project(folder=".", entry_point=name, parameters=values, seed=seed, out=out)
