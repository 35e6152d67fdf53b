"""Re-reads what MLflow shows of runs and holds it against the log: a tag there is a view that anybody may edit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from chaos_tasks.judging.dossier import read_dossier
from chaos_tasks.model.record import RecordKind
from chaos_tasks.ports import LedgerReader
from chaos_tasks.tracking.content import experiment_view
from chaos_tasks.tracking.publisher import EXPERIMENT, MlflowPublisher
from chaos_tasks.tracking.reach import reachable

RUN_ID = "squall.run_id"
KIND = "squall.kind"
PAGE = 1000


@dataclass(frozen=True)
class Compared:
    """How many runs were compared, which differ, and which are in one place only."""

    runs: int
    edited: tuple[str, ...]
    missing: tuple[str, ...]


def compare(publisher: MlflowPublisher, reader: LedgerReader) -> Compared:
    """Every published run by its tags; raises SetupError when MLflow does not answer."""
    published = dict.fromkeys(one.record.run_id for one in reader.records(kinds=(RecordKind.RUN_PUBLISHED,)))
    if not published:  # asking would make MLflow's tables where there are none
        return Compared(0, (), ())
    with reachable(publisher.uri):
        shown = _shown(publisher)
    edited: list[str] = []
    missing = [
        f"run {run_id} was published, but MLflow shows none of that name" for run_id in published if run_id not in shown
    ]
    for run_id, tags in shown.items():
        dossier = read_dossier(list(reader.records(run_id=run_id)))
        if dossier is None or dossier.plan is None or dossier.verdict is None:
            missing.append(f"MLflow shows a run {run_id} that has no verdict in the log")
            continue
        edited += _differences(run_id, experiment_view(dossier).tags, tags)
    return Compared(len(shown), tuple(edited), tuple(missing))


def _differences(run_id: str, log: Mapping[str, str], shown: Mapping[str, str]) -> list[str]:
    return [
        f"run {run_id}: MLflow's tag {name} says {shown.get(name, 'nothing')[:80]!r}, the log {value[:80]!r}"
        for name, value in sorted(log.items())
        if name.startswith("squall.") and shown.get(name, "") != value
    ]


def _shown(publisher: MlflowPublisher) -> dict[str, dict[str, str]]:
    client = publisher.client()
    experiment = client.get_experiment_by_name(EXPERIMENT)
    found: dict[str, dict[str, str]] = {}
    token = None
    while experiment is not None:
        page = client.search_runs(
            [experiment.experiment_id], f"tags.`{KIND}` = 'experiment'", max_results=PAGE, page_token=token
        )
        found.update({run.data.tags.get(RUN_ID, run.info.run_id): dict(run.data.tags) for run in page})
        token = page.token
        if not token:
            break
    return found
