"""Names: the DAG of an experiment, and the run id that every task of one DAG run derives by itself."""

from __future__ import annotations

import hashlib
import re

from chaos_tasks.campaign import DAG_PREFIX
from chaos_tasks.campaign import run_id as planned_run_id
from chaos_tasks.errors import GuardTripped

_DIGEST_CHARS = 12
_CAMPAIGN = re.compile(r"[a-z0-9][a-z0-9-]{0,80}")
_UNSAFE = re.compile(r"[^a-z0-9]+")
_DAY = re.compile(r"(\d{4})-(\d{2})-(\d{2})")


def dag_id_of(experiment: str) -> str:
    """The DAG that runs an experiment."""
    return f"{DAG_PREFIX}{experiment}"


def experiment_of(dag_id: str) -> str:
    """The experiment that a DAG runs; the inverse of ``dag_id_of``."""
    return dag_id.removeprefix(DAG_PREFIX)


def run_id_of(dag_id: str, dag_run_id: str, campaign_id: str = "") -> str:
    """A pure function of its arguments: safe in file names, readable, and different for different DAG runs.

    No task needs another's XCom to know which run it belongs to, and clearing a task changes nothing.  A run of a
    campaign has the id that the campaign planned.  Raises GuardTripped for a campaign id that no campaign has.
    """
    if campaign_id:
        if not _CAMPAIGN.fullmatch(campaign_id):
            raise GuardTripped(f"{campaign_id!r} is no campaign", remedy="leave campaign_id out of the run's conf")
        return planned_run_id(campaign_id, experiment_of(dag_id))
    digest = hashlib.sha256(f"{dag_id}\0{dag_run_id}".encode()).hexdigest()[:_DIGEST_CHARS]
    name = _UNSAFE.sub("-", experiment_of(dag_id).lower()).strip("-")[:60] or "run"
    day = _DAY.search(dag_run_id)
    return "-".join(part for part in (name, "".join(day.groups()) if day else "", digest) if part)
