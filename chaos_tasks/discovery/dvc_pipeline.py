"""The finder of DVC pipelines: stages of dvc.yaml in their order, their data, parameters and metrics."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from chaos_tasks import reading
from chaos_tasks.discovery import python_reading
from chaos_tasks.discovery.data_files import format_of
from chaos_tasks.discovery.found import Guess, Missing, Pipeline
from chaos_tasks.discovery.python_reading import SEED, Facts
from chaos_tasks.discovery.scripts import environment_of, servers_of
from chaos_tasks.errors import SetupError


class DvcPipeline:
    """Runs the stages that lead to the metrics, as their commands say, in a copy; DVC itself is not needed for that."""

    kind: ClassVar[str] = "dvc"
    summary: ClassVar[str] = "a folder with a dvc.yaml"

    def fits(self, where: str) -> bool:
        """A folder with a dvc.yaml, or that file."""
        return _file(where).is_file()

    def find(self, where: str) -> Pipeline:
        """How its stages are run."""
        file = _file(where).resolve()
        root = file.parent
        stages = _stages(file)
        goal, why_goal = _goal(stages)
        order = _order(stages, goal)
        facts = {name: found for name in order if (found := _facts(root, stages[name])) is not None}
        outputs = {path for name in order for path in _paths(stages[name], "outs", "metrics", "plots")}
        data = tuple(_data(root, stages, order, outputs))
        seed = next(_seeds(root, stages, order), None)
        metrics = tuple(_metrics(file, stages, order))
        printed = {} if metrics else dict(_printed(facts))
        return Pipeline(
            kind=self.kind,
            root=root,
            name=root.name,
            what=f"dvc.yaml: {' >> '.join(order)} ({why_goal})",
            commands=tuple(_commands(stages, order)),
            cwd=str(stages[goal].get("wdir", ".")),
            parameters=(seed,) if seed else (),
            data=data,
            metrics=metrics,
            printed=printed,
            environment={name: one for found in facts.values() for name, one in environment_of(found)},
            missing=tuple(_missing(root, data, seed, metrics, printed, facts)),
        )


def _file(where: str) -> Path:
    path = Path(where).expanduser()
    return path if path.name == "dvc.yaml" else path / "dvc.yaml"


def _stages(file: Path) -> dict[str, Mapping[str, Any]]:
    import yaml

    try:
        content = yaml.safe_load(reading.text(file)) or {}
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise SetupError(f"{file} cannot be read: {error}", remedy="mend it: `dvc stage list` reads it too") from None
    stages = content.get("stages") if isinstance(content, dict) else None
    plain: dict[str, Mapping[str, Any]] = {
        str(name): one for name, one in (stages or {}).items() if isinstance(one, dict) and one.get("cmd")
    }
    if not plain:
        raise SetupError(
            f"{file} has no stage with a `cmd` of its own",
            remedy="stages with foreach or matrix: name the script instead",
        )
    return plain


def _paths(stage: Mapping[str, Any], *fields: str) -> list[str]:
    """Paths of a list whose entries are texts, or mappings of a path to its options."""
    entries = [entry for field in fields for entry in _list(stage.get(field))]
    return [str(next(iter(one))) if isinstance(one, dict) else str(one) for one in entries]


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _goal(stages: Mapping[str, Mapping[str, Any]]) -> tuple[str, str]:
    """The stage that leaves the metrics; else the one that trains."""
    for name, stage in stages.items():
        if stage.get("metrics"):
            return name, f"{name} leaves the metrics"
    for words in (("eval", "test", "score"), ("train", "fit", "model")):
        for name in stages:
            if any(word in name.lower() for word in words):
                return name, f"{name} by its name"
    return list(stages)[-1], "the last one"


def _order(stages: Mapping[str, Mapping[str, Any]], goal: str) -> list[str]:
    """The goal and what it depends on, first things first."""
    maker = {path: name for name, stage in stages.items() for path in _paths(stage, "outs", "metrics", "plots")}
    order: list[str] = []

    def visit(name: str, above: tuple[str, ...]) -> None:
        if name in order or name in above:
            return
        for dep in _paths(stages[name], "deps"):
            made = next((by for path, by in maker.items() if dep == path or dep.startswith(f"{path}/")), None)
            if made is not None:
                visit(made, (*above, name))
        order.append(name)

    visit(goal, ())
    return order


def _commands(stages: Mapping[str, Mapping[str, Any]], order: Sequence[str]) -> Iterator[Guess]:
    for name in order:
        for command in _list(stages[name]["cmd"]):
            yield Guess(value=" ".join(str(command).split()), why=f"stage {name}")


def _script(root: Path, stage: Mapping[str, Any]) -> Path | None:
    for command in _list(stage["cmd"]):
        try:
            words = shlex.split(str(command))
        except ValueError:
            continue
        found = next((root / word for word in words if word.endswith(".py") and (root / word).is_file()), None)
        if found is not None:
            return found
    return None


def _facts(root: Path, stage: Mapping[str, Any]) -> Facts | None:
    script = _script(root, stage)
    try:
        return None if script is None else python_reading.read(script)
    except SetupError:
        return None


def _data(
    root: Path, stages: Mapping[str, Mapping[str, Any]], order: Sequence[str], outputs: set[str]
) -> Iterator[Guess]:
    seen: set[str] = set()
    for name in order:
        for dep in _paths(stages[name], "deps"):
            if dep in outputs or dep in seen:
                continue
            tracked = (root / f"{dep}.dvc").is_file()
            files = [dep] if format_of(dep) else _inside(root, dep)
            for one in files:
                seen.add(one)
                how = "tracked by DVC" if tracked else "in Git" if (root / one).is_file() else "absent"
                yield Guess(value=one, why=f"stage {name} depends on it; {how}")


def _inside(root: Path, folder: str) -> list[str]:
    if not (root / folder).is_dir():
        return []
    found = [one for one in sorted((root / folder).rglob("*")) if one.is_file() and format_of(one.name)]
    return [str(one.relative_to(root)) for one in found[:20]]


def _seeds(root: Path, stages: Mapping[str, Mapping[str, Any]], order: Sequence[str]) -> Iterator[Guess]:
    """A declared parameter whose name is a seed's; else one in params.yaml."""
    for name in reversed(order):
        for param in _list(stages[name].get("params")):
            if isinstance(param, str) and SEED.search(param.rpartition(".")[2]):
                yield Guess(value=param, why=f"stage {name} declares it as a parameter")
    for param in _in_params(root / "params.yaml"):
        if SEED.search(param.rpartition(".")[2]):
            yield Guess(value=param, why="params.yaml has it")


def _in_params(file: Path) -> list[str]:
    import yaml

    try:
        content = yaml.safe_load(reading.text(file))
    except (OSError, ValueError, yaml.YAMLError):
        return []

    def walk(prefix: str, value: Any) -> Iterator[str]:
        for name, inner in value.items() if isinstance(value, dict) else ():
            here = f"{prefix}.{name}" if prefix else str(name)
            yield here
            yield from walk(here, inner)

    return list(walk("", content))


def _metrics(file: Path, stages: Mapping[str, Mapping[str, Any]], order: Sequence[str]) -> Iterator[Guess]:
    import yaml

    for name in order:
        for path in _paths(stages[name], "metrics"):
            yield Guess(value=path, why=f"stage {name} declares it")
    content = yaml.safe_load(reading.text(file))
    for path in _list(content.get("metrics") if isinstance(content, dict) else None):
        yield Guess(value=str(next(iter(path)) if isinstance(path, dict) else path), why="dvc.yaml declares it")
    for name in order:
        for path in _paths(stages[name], "outs"):
            if path.endswith((".json", ".yaml")) and re.search("metric|score|eval|result", path):
                yield Guess(value=path, why=f"stage {name} leaves it, and it is called so")


def _printed(facts: Mapping[str, Facts]) -> Iterator[tuple[str, Guess]]:
    for stage, found in facts.items():
        for name, one in found.printed.items():
            yield name, Guess(value=one.text, why=f"stage {stage} prints it in line {one.line}")


def _missing(
    root: Path,
    data: Sequence[Guess],
    seed: Guess | None,
    metrics: Sequence[Guess],
    printed: Mapping[str, Guess],
    facts: Mapping[str, Facts],
) -> Iterator[Missing]:
    if seed is None:
        fixed = next((f"line {one.line} of {name} fixes it" for name, f in facts.items() for one in f.fixed_seeds), "")
        why = fixed or "no parameter is called seed or random_state"
        yield Missing(field="{seed}", why=why, rules_out="evidence over seeds: trials differ by chance or not at all")
    if not data:
        yield Missing(field="source.data", why="no stage depends on a table", rules_out="data faults")
    for one in data:
        if not (root / one.value).is_file() and not (root / f"{one.value}.dvc").is_file():
            yield Missing(field="source.data", why=f"{one.value} is not there", rules_out="any trial: run `dvc pull`")
    if not metrics and not printed and not any(one.logged for one in facts.values()):
        yield Missing(field="reads.metrics", why="no stage has metrics", rules_out="checks of the model")
    for name, found in facts.items():
        yield from servers_of(found, f" of stage {name}")
