"""Runs that Airflow ends as a whole: a person marks the DAG run, the revert task still runs, and nobody would judge."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow.sdk import Context

    from chaos_tasks.composition import Squall

JUDGE = "judge"
NEVER_COMES = frozenset({"skipped", "failed", "upstream_failed", "removed"})
"""States in which the judge's task has ended although the revert before it has not."""

WHY = "the DAG run was marked as ended in Airflow while it was under way"

log = logging.getLogger(__name__)


def nobody_judges(context: Context) -> bool:
    """Whether Airflow has ended the judge's task already; False where Airflow cannot be asked."""
    ti = context["ti"]
    try:
        states = ti.get_task_states(dag_id=ti.dag_id, task_ids=[JUDGE], run_ids=[ti.run_id])
    except Exception as error:  # noqa: BLE001  whatever the task SDK raises: everything is out, and that counts more
        log.warning("Airflow does not say whether somebody judges this run: %s", type(error).__name__)
        return False
    return str(states.get(ti.run_id, {}).get(JUDGE) or "") in NEVER_COMES


def judged_instead(squall: Squall, run_id: str, context: Context) -> str:
    """Judge a run that nobody else will, and say what came out; empty where its own task does."""
    from chaos_tasks.runs import Run

    run = Run(squall.ledger, run_id)
    refused = run.is_refused() and not run.handles()
    if refused or run.registered() is None or run.verdict() is not None or not nobody_judges(context):
        return ""
    verdict = squall.engine.end(run_id, WHY)
    return f"{verdict.experiment} is {verdict.outcome}: {verdict.sentence}"
