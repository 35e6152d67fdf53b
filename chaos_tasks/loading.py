"""Files to values: experiments and targets, with file, line, cause and remedy for whatever is wrong."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from chaos_tasks import registry, strict_yaml
from chaos_tasks.errors import InvalidFile, Problem, SquallError
from chaos_tasks.model.experiment import Experiment
from chaos_tasks.model.target import Target
from chaos_tasks.strict_yaml import Document, Location
from chaos_tasks.validation import problems_of


@dataclass(frozen=True)
class LoadedExperiment:
    """An experiment with the file that it came from."""

    path: Path
    sha256: str
    text: str
    experiment: Experiment


@dataclass(frozen=True)
class Loaded:
    """All experiments of a folder; a broken file becomes one error and never hides the others."""

    experiments: tuple[LoadedExperiment, ...]
    errors: tuple[InvalidFile, ...]

    def named(self, name: str) -> LoadedExperiment | None:
        """The experiment of that name, or None."""
        return next((one for one in self.experiments if one.experiment.name == name), None)


def load_experiments(folder: Path) -> Loaded:
    """Load every *.yaml below a folder, sorted by path; a name used twice is an error of the later file."""
    experiments: dict[str, LoadedExperiment] = {}
    errors: list[InvalidFile] = []
    for path in sorted(folder.glob("**/*.yaml")):
        try:
            loaded = load_experiment(path)
        except InvalidFile as error:
            errors.append(error)
            continue
        first = experiments.setdefault(loaded.experiment.name, loaded)
        if first is not loaded:
            cause = f"the name {loaded.experiment.name} is taken by {first.path}"
            errors.append(InvalidFile(path, (Problem(1, "name", cause, "give each experiment a name of its own"),)))
    return Loaded(tuple(experiments.values()), tuple(errors))


def load_experiment(path: Path) -> LoadedExperiment:
    """Load one experiment file; raises InvalidFile."""
    document = strict_yaml.load(path)
    try:
        experiment = Experiment.model_validate(document.content)
    except ValidationError as error:
        # Faults are looked at too, so that one run of `squall validate` shows everything.
        shape = problems_of(error, document, Experiment)
        raise InvalidFile(path, tuple(shape)) from None
    problems = _kind_problems(experiment, document)
    if problems:
        raise InvalidFile(path, tuple(problems))
    text = path.read_text(encoding="utf-8")
    return LoadedExperiment(path, hashlib.sha256(text.encode()).hexdigest(), text, experiment)


def _kind_problems(experiment: Experiment, document: Document) -> list[Problem]:
    problems: list[Problem] = []
    for index, step in enumerate(experiment.method):
        here: Location = ("method", index)
        problems += _params_problems("fault", step.fault, step.params, (*here, "fault"), (*here, "params"), document)
    for index, check in enumerate(experiment.steady_state):
        here = ("steady_state", index)
        problems += _params_problems("probe", check.probe, check.params, (*here, "probe"), (*here, "params"), document)
    return problems


def _params_problems(
    noun: str, kind: str, params: Mapping[str, object], kind_at: Location, params_at: Location, document: Document
) -> list[Problem]:
    try:
        plugin = registry.fault(kind) if noun == "fault" else registry.probe(kind)
    except SquallError as error:
        field = ".".join(str(part) for part in kind_at)
        return [Problem(document.line(kind_at), field, error.message, error.remedy)]
    try:
        plugin.params_type.model_validate(dict(params))
    except ValidationError as error:
        return problems_of(error, document, plugin.params_type, params_at)
    return []


def load_target(path: Path, variables: Mapping[str, str], *, keep_unset: bool = False) -> Target:
    """Load a target file, with ${NAME} replaced by variables; raises InvalidFile."""
    document = strict_yaml.load(path)
    strict_yaml.expand(document, variables, keep_unset=keep_unset)
    try:
        return Target.model_validate(document.content)
    except ValidationError as error:
        raise InvalidFile(path, tuple(problems_of(error, document, Target))) from None
