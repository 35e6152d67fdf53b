"""Files to values: experiments and targets, with file, line, cause and remedy for whatever is wrong."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from chaos_tasks import reading, registry, strict_yaml
from chaos_tasks.errors import GuardTripped, InvalidFile, Problem, SquallError
from chaos_tasks.model.experiment import Experiment, Unit
from chaos_tasks.model.target import Target
from chaos_tasks.redacting import by_reference, secrets_in
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
    return load_files(sorted(folder.glob("**/*.yaml")))


def load_files(paths: Iterable[Path]) -> Loaded:
    """Load these experiment files; a name used twice is an error of the later one."""
    experiments: dict[str, LoadedExperiment] = {}
    errors: list[InvalidFile] = []
    for path in paths:
        try:
            loaded = load_experiment(path)
        except InvalidFile as error:
            errors.append(error)
            continue
        first = experiments.setdefault(loaded.experiment.name, loaded)
        if first is not loaded:
            cause = f"the name {loaded.experiment.name} is taken by {first.path}"
            line = strict_yaml.load(path, loaded.text).line(("name",))
            errors.append(InvalidFile(path, (Problem(line, "name", cause, "give each experiment a name of its own"),)))
    return Loaded(tuple(experiments.values()), tuple(errors))


def load_experiment(path: Path) -> LoadedExperiment:
    """Load one experiment file; raises InvalidFile."""
    document = strict_yaml.load(path)
    _refuse_secrets(document)
    try:
        experiment = Experiment.model_validate(document.content)
    except ValidationError as error:
        # Kinds are looked at too, so that one run of `squall validate` shows everything.
        shape = problems_of(error, document, Experiment)
        problems = sorted({*shape, *_kind_problems(document)}, key=lambda problem: (problem.line, problem.field))
        raise InvalidFile(path, tuple(problems)) from None
    kinds = _kind_problems(document) or _ramp_problems(experiment, document)
    if kinds:
        raise InvalidFile(path, tuple(kinds))
    text = reading.text(path)
    return LoadedExperiment(path, hashlib.sha256(text.encode()).hexdigest(), text, experiment)


def _refuse_secrets(document: Document) -> None:
    """Experiments and targets go on record whole, so no secret may stand in them; raises InvalidFile."""
    problems = [
        Problem(
            document.line(_location(one.path)),
            one.path,
            f"here stands what looks like a secret ({one.rule.replace('_', ' ')})",
            "put it into an environment variable, and write ${NAME} in its place",
        )
        for one in secrets_in(document.content)
    ]
    if problems:
        raise InvalidFile(document.path, tuple(problems))


def _location(path: str) -> Location:
    parts = path.replace("[", ".").replace("]", "").split(".")
    return tuple(int(part) if part.isdigit() else part for part in parts)


def _kind_problems(document: Document) -> list[Problem]:
    """What the registry says about kinds and their parameters; entries of the wrong shape are another's to report."""
    problems: list[Problem] = []
    for noun, section in (("fault", "method"), ("probe", "steady_state")):
        entries = document.content.get(section)
        for index, entry in enumerate(entries if isinstance(entries, list) else []):
            kind = entry.get(noun) if isinstance(entry, dict) else None
            params = entry.get("params", {}) if isinstance(entry, dict) else None
            if isinstance(kind, str) and isinstance(params, dict):
                here: Location = (section, index)
                problems += _params_problems(noun, kind, params, (*here, noun), (*here, "params"), document)
                problems += _unit_problems(kind, entry, here, document) if noun == "probe" else []
    return problems + _watch_problems(document)


def _watch_problems(document: Document) -> list[Problem]:
    """The same for stop conditions."""
    guards = document.content.get("guards")
    entries = guards.get("watch") if isinstance(guards, dict) else None
    problems: list[Problem] = []
    for index, entry in enumerate(entries if isinstance(entries, list) else []):
        kind = entry.get("probe") if isinstance(entry, dict) else None
        params = entry.get("params", {}) if isinstance(entry, dict) else None
        if isinstance(kind, str) and isinstance(params, dict):
            here: Location = ("guards", "watch", index)
            problems += _params_problems("live probe", kind, params, (*here, "probe"), (*here, "params"), document)
    return problems


def _params_problems(
    noun: str, kind: str, params: Mapping[str, object], kind_at: Location, params_at: Location, document: Document
) -> list[Problem]:
    try:
        plugin = _plugin(noun, kind)
    except SquallError as error:
        field = ".".join(str(part) for part in kind_at)
        return [Problem(document.line(kind_at), field, error.message, error.remedy)]
    try:
        plugin.params_type.model_validate(dict(params))
    except ValidationError as error:
        return problems_of(error, document, plugin.params_type, params_at)
    return []


def _plugin(
    noun: str, kind: str
) -> registry.AnyFault | registry.AnyProbe | registry.AnyPairProbe | registry.AnyLiveProbe:
    if noun == "live probe":
        return registry.live_probe(kind)
    return registry.fault(kind) if noun == "fault" else _any_probe(kind)


def _unit_problems(kind: str, entry: Mapping[str, object], here: Location, document: Document) -> list[Problem]:
    """A probe that reads one trial goes with unit `seed`; one that compares a pair with another, and with a margin."""
    pairs = kind in registry.pair_probe_kinds()
    unit, tolerance = str(entry.get("unit", Unit.SEED.value)), entry.get("tolerance")
    field = ".".join(str(part) for part in (*here, "unit"))
    if pairs is (unit == Unit.SEED.value) and unit in set(Unit):
        fitting = ("block" if kind.startswith("series.") else "row") if pairs else "seed"
        cause = f"{kind} {'compares a pair of trials' if pairs else 'reads one trial'}, so its unit is not {unit}"
        return [Problem(document.line((*here, "probe")), field, cause, f"write `unit: {fitting}`")]
    margin = isinstance(tolerance, dict) and tolerance.get("type") == "non_inferiority"
    if pairs and isinstance(tolerance, dict) and not margin:
        cause = f"{kind} compares a pair of trials, which needs a margin"
        remedy = "write `tolerance: {type: non_inferiority, margin: ..., better: ...}`"
        return [Problem(document.line((*here, "probe")), field, cause, remedy)]
    return []


def _ramp_problems(experiment: Experiment, document: Document) -> list[Problem]:
    """Every level of a ramp must be an intensity of every step."""
    problems: list[Problem] = []
    levels = experiment.ramp.levels if experiment.ramp else ()
    for number, level in enumerate(levels):
        for step in experiment.method:
            try:
                registry.with_intensity(step.fault, step.params, level)
            except GuardTripped as error:
                at: Location = ("ramp", "levels", number)
                field = ".".join(str(part) for part in at)
                problems.append(Problem(document.line(at), field, f"step {step.name}: {error.message}", _STEPPABLE))
    return problems[:1]  # the first level that does not fit says it all


def _any_probe(kind: str) -> registry.AnyProbe | registry.AnyPairProbe:
    """A probe of either sort; which of them a check may name is its unit's to say (Check)."""
    return registry.pair_probe(kind) if kind in registry.pair_probe_kinds() else registry.probe(kind)


_STEPPABLE = "`squall faults` shows which faults have an intensity; `squall faults --json` its range"


def load_target(path: Path, variables: Mapping[str, str], *, keep_unset: bool = False) -> Target:
    """Load a target file, with ${NAME} replaced by variables; raises InvalidFile."""
    document = strict_yaml.load(path)
    _refuse_secrets(document)
    strict_yaml.expand(document, by_reference(variables, os.environ), keep_unset=keep_unset)
    try:
        return Target.model_validate(document.content)
    except ValidationError as error:
        raise InvalidFile(path, tuple(problems_of(error, document, Target))) from None
