"""The experiments folder as DAG files see it: every sound file a DAG, every broken file an import error."""

from __future__ import annotations

import re
from pathlib import Path

from airflow.sdk import DAG, get_parsing_context

from chaos_tasks.errors import InvalidFile
from chaos_tasks.loading import LoadedExperiment, load_experiment, load_experiments
from chaos_tasks.model.consent import Consent
from chaos_tasks.model.experiment import Experiment
from chaos_tasks.settings import Settings, find_settings
from squall_operators.rendering import Approvers, render
from squall_operators.run_ids import experiment_of

_NAMING = re.compile(r"^name:\s*[\"']?([a-z0-9-]+)[\"']?\s*(?:#.*)?$", re.MULTILINE)


def settings_near(dag_file: str) -> Settings:
    """Settings of the nearest squall.toml above a DAG file, or of the one that SQUALL_CONFIG names."""
    return find_settings(start=Path(dag_file).parent)


def experiment_dags(dag_file: str) -> dict[str, DAG]:
    """DAG id -> DAG for every sound experiment; inside a task, only for the one that it belongs to."""
    settings = settings_near(dag_file)
    folder = settings.experiments_dir
    wanted = get_parsing_context().dag_id
    loaded = load_experiments(folder).experiments if wanted is None else _load_one(folder, experiment_of(wanted))
    dags = [render(one, approvers_of(one.experiment, settings)) for one in loaded]
    return {dag.dag_id: dag for dag in dags}


def approvers_of(experiment: Experiment, settings: Settings) -> Approvers | None:
    """Who may be asked about an experiment; None where nobody is, or nobody may answer: its runs are refused then."""
    entry = settings.targets.get(experiment.target)
    if entry is None or experiment.ramp is not None:
        return None
    asked = settings.approvals.at(entry.environment)
    if asked.strictest is not Consent.FOUR_EYES or not asked.people:
        return None
    return Approvers(asked.people, settings.approvals.respond_within)


def experiment_names(dag_file: str) -> list[str]:
    """Names that the files give themselves, sorted; not validated, since choosing a broken one is refused anyway."""
    paths = settings_near(dag_file).experiments_dir.glob("**/*.yaml")
    found = (_NAMING.search(path.read_text(encoding="utf-8", errors="replace")) for path in paths)
    return sorted({match[1] for match in found if match})


def raise_for_broken_files(dag_file: str) -> None:
    """Raise one error that lists everything wrong with every broken file.

    Airflow marks all DAGs of a file with an import error as stale, so this is called from a DAG file of its own:
    the sound experiments go on, and the UI shows what to mend.
    """
    if get_parsing_context().dag_id is None:
        errors = load_experiments(settings_near(dag_file).experiments_dir).errors
        if errors:
            raise BrokenExperimentsError(errors)


class BrokenExperimentsError(Exception):
    """Experiment files that cannot be used; nothing of them runs until they are mended."""

    def __init__(self, errors: tuple[InvalidFile, ...]) -> None:
        count = "1 experiment file is" if len(errors) == 1 else f"{len(errors)} experiment files are"
        super().__init__("\n".join([f"{count} broken; the others run.", *(str(error) for error in errors)]))


def _load_one(folder: Path, name: str) -> tuple[LoadedExperiment, ...]:
    """The experiment of that name without parsing the others; all of them when no file seems to be it."""
    for path in sorted(folder.glob("**/*.yaml")):
        naming = _NAMING.search(path.read_text(encoding="utf-8", errors="replace"))
        if naming is None or naming[1] != name:
            continue
        try:
            loaded = load_experiment(path)
        except InvalidFile:
            continue
        if loaded.experiment.name == name:
            return (loaded,)
    one = load_experiments(folder).named(name)
    return (one,) if one else ()
