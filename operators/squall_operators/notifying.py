"""A notifier for anybody's DAG: when something of theirs fails, was a fault of Squall's in?"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import BaseNotifier

from squall_operators.base import build


class SquallNotifier(BaseNotifier):
    """
    Tells through Squall's own channels (`[notify]` of squall.toml) what of Squall's is in, or was found lately.

    Give it as ``on_failure_callback`` of a task or a DAG.  Where nothing is in and nothing was found, nobody is told.

    :param target: look at this target only (templated); empty for all.
    :param within: how long ago a verdict may be.
    """

    template_fields: Sequence[str] = ("target",)

    def __init__(self, *, target: str = "", within: timedelta = timedelta(hours=12), **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.target = target
        self.within = within

    def notify(self, context: Any) -> None:
        """Look, and tell; Airflow logs an error, which changes nothing of the task's own failure."""
        from chaos_tasks.model.plan import Recorder
        from chaos_tasks.notifying.beside import failed_beside

        with build(Recorder()) as squall:
            found = failed_beside(
                squall.ledger, _what(context), target=self.target, within=self.within, at=datetime.now(UTC)
            )
            if found is None:
                self.log.info("Nothing of Squall's is in, and nothing was found lately")
            else:
                squall.notifier.tell(found)


def _what(context: Any) -> str:
    """The task, or the DAG where that is what failed."""
    ti, run = context.get("ti"), context.get("dag_run")
    if ti is not None:
        return f"task {ti.task_id} of {ti.dag_id}, run {ti.run_id}"
    return f"{run.dag_id}, run {run.run_id}" if run is not None else "a DAG"
