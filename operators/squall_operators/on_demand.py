"""One experiment, now, as a person asks for it: checked before anything is touched."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from squall_operators.context import overrides_of, refuse_unreal_runs
from squall_operators.errors import as_task_failure
from squall_operators.run_ids import dag_id_of, run_id_of

if TYPE_CHECKING:
    from airflow.sdk import Context

CHOICE = "experiment"


class ChooseExperimentOperator(BaseOperator):
    """
    Checks a request against the experiment's file; needs neither ledger nor target.

    :param form_fields: keys that the request may have.
    """

    template_fields: Sequence[str] = ()
    ui_color = "#8d99ae"
    ui_fgcolor = "#ffffff"

    def __init__(self, *, form_fields: Sequence[str], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.form_fields = form_fields

    def execute(self, context: Context) -> dict[str, object]:
        """Ids and the conf of the run to start; fails for an unknown experiment, key or value."""
        with as_task_failure():
            refuse_unreal_runs(context)
            return self._choose(context)

    def _choose(self, context: Context) -> dict[str, object]:
        from chaos_tasks.errors import GuardTripped
        from chaos_tasks.loading import load_experiments
        from chaos_tasks.planning import overridden
        from chaos_tasks.searching.levels import ramp_of
        from chaos_tasks.settings import find_settings

        overrides = overrides_of(context, self.form_fields)
        name = str(context["params"].get(CHOICE) or "")
        loaded = load_experiments(find_settings().experiments_dir).named(name)
        if loaded is None:
            raise GuardTripped(f"there is no sound experiment {name!r}", remedy="`squall validate` says what is wrong")
        if loaded.experiment.ramp is not None:
            ramp_of(loaded.experiment, overrides)
        overridden(loaded.experiment, overrides)
        dag_id, ti = dag_id_of(name), context["ti"]
        dag_run_id = f"on_demand__{ti.run_id}__{ti.try_number}"
        return {
            "dag_id": dag_id,
            "dag_run_id": dag_run_id,
            "run_id": run_id_of(dag_id, dag_run_id),
            "conf": overrides.model_dump(exclude_defaults=True),
        }
