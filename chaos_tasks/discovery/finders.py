"""Which finders exist, in the order in which they are asked: ours by name, entry points for everyone else's."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from importlib.metadata import entry_points
from typing import cast

from chaos_tasks.discovery.base import Finder
from chaos_tasks.errors import DuplicateKind, SetupError

FINDERS: Mapping[str, str] = {  # the more a description says, the earlier it is asked
    "mlflow_model": "chaos_tasks.discovery.mlflow_model:MlflowModel",
    "dvc": "chaos_tasks.discovery.dvc_pipeline:DvcPipeline",
    "mlproject": "chaos_tasks.discovery.mlproject:MlProject",
    "airflow": "chaos_tasks.discovery.airflow_dag:AirflowDag",
    "script": "chaos_tasks.discovery.script:Script",
}
GROUP = "squall.finders"


def kinds() -> dict[str, str]:
    """kind -> module:Class; others' come before ours, since they know their own better."""
    others: dict[str, str] = {}
    for entry in sorted(entry_points(group=GROUP), key=lambda entry: entry.name):
        if entry.name in FINDERS or entry.name in others:
            raise DuplicateKind(f"two finders are called {entry.name}", remedy="uninstall one of them")
        others[entry.name] = entry.value
    return {**others, **FINDERS}


def load(kind: str) -> Finder:
    """The finder of that kind; raises SetupError listing the kinds."""
    table = kinds()
    if kind not in table:
        raise SetupError(f"no finder is called {kind!r}", remedy=f"choose one of {', '.join(table)}")
    module, _, name = table[kind].partition(":")
    return cast(Finder, getattr(import_module(module), name)())


def choose(where: str, kind: str | None = None) -> Finder:
    """The first finder that fits; raises SetupError saying what was looked for."""
    if kind is not None:
        return load(kind)
    finders = [load(one) for one in kinds()]
    for finder in finders:
        if finder.fits(where):
            return finder
    looked_for = "; ".join(finder.summary for finder in finders)
    raise SetupError(
        f"{where} is no pipeline that Squall knows", remedy=f"name a folder, a file, a dag_id or a model: {looked_for}"
    )
