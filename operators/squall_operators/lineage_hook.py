"""What Airflow's OpenLineage provider asks of an operator; only what it calls imports OpenLineage."""

from __future__ import annotations

from contextlib import closing
from typing import Any


class TellsLineage:
    """Mixed into the operators whose tasks stand for a run; behind the operator, whose `__init__` Airflow wraps."""

    acted_on: str = ""
    """The run that the task has worked on; empty until it did."""

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> Any:
        """The run's facet and datasets; the provider logs an error, and the task is as it was."""
        from chaos_tasks.answers import facet_of
        from chaos_tasks.composition import the_ledger
        from squall_operators.lineage import lineage_of

        if not self.acted_on:
            return None
        with closing(the_ledger()) as ledger:
            return lineage_of(*facet_of(ledger, self.acted_on))

    def get_openlineage_facets_on_failure(self, task_instance: Any) -> Any:
        """A verdict that is no good one ends its task in an error, and is told all the same."""
        return self.get_openlineage_facets_on_complete(task_instance)
