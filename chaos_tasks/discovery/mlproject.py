"""The finder of MLflow projects: the main entry point of an MLproject, with its parameters' defaults."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from chaos_tasks.discovery.found import Pipeline
from chaos_tasks.discovery.python_reading import SEED
from chaos_tasks.discovery.scripts import pipeline_of
from chaos_tasks.errors import SetupError


class MlProject:
    """Runs the entry point's command in a copy; the environment that it names is not made, yours is used."""

    kind: ClassVar[str] = "mlproject"
    summary: ClassVar[str] = "a folder with an MLproject"

    def fits(self, where: str) -> bool:
        """A folder with an MLproject, or that file."""
        return _file(where).is_file()

    def find(self, where: str) -> Pipeline:
        """How its main entry point is run."""
        file = _file(where).resolve()
        name, entry = _entry(file)
        command, why = _filled(file, name, entry)
        script = next((file.parent / word for word in shlex.split(command) if word.endswith(".py")), None)
        if script is None or not script.is_file():
            raise SetupError(
                f"entry point {name} of {file} runs no Python script: {command}",
                remedy="write the target file by hand from `squall init --print` of the script that it calls",
            )
        what = f"MLproject, entry point {name}"
        return pipeline_of(self.kind, what, file.parent, script, command=command, why=why)


def _file(where: str) -> Path:
    path = Path(where).expanduser()
    return path if path.name == "MLproject" else path / "MLproject"


def _entry(file: Path) -> tuple[str, Mapping[str, Any]]:
    import yaml

    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise SetupError(f"{file} cannot be read: {error}", remedy="mend it: `mlflow run` reads it too") from None
    entries = content.get("entry_points") if isinstance(content, dict) else None
    if not isinstance(entries, dict) or not entries:
        raise SetupError(f"{file} has no entry_points", remedy="name the script that trains instead")
    for name in ("main", "train", *entries):
        if isinstance(entries.get(name), dict) and entries[name].get("command"):
            return str(name), entries[name]
    raise SetupError(f"{file}: no entry point has a command", remedy="name the script that trains instead")


def _filled(file: Path, name: str, entry: Mapping[str, Any]) -> tuple[str, str]:
    """The command with the parameters' defaults; a seed among them takes the trial's."""
    parameters = entry.get("parameters") or {}
    values: dict[str, str] = {}
    for key, told in parameters.items():
        default = told.get("default") if isinstance(told, dict) else None
        values[str(key)] = "{seed}" if SEED.search(str(key)) else "" if default is None else shlex.quote(str(default))
    unset = [key for key, value in values.items() if not value]
    if unset:
        raise SetupError(
            f"entry point {name} of {file} has parameters without a default: {', '.join(unset)}",
            remedy="give them defaults there, or name the script instead",
        )
    command = " ".join(str(entry["command"]).split())
    filled = re.sub(r"\{(\w+)\}", lambda found: values.get(found[1], found[0]), command)
    return filled, f"entry point {name} with its defaults"
