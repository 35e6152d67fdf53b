"""The operators of a ramp's DAG: one task asks all levels, each a whole run that reverts itself; the others end it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from chaos_tasks.errors import SquallError
from squall_operators.base import SquallOperator
from squall_operators.errors import BROKEN
from squall_operators.links import MLFLOW_URL, MlflowRunLink
from squall_operators.steps import ArmFaultOperator, describe, skip_if_refused

if TYPE_CHECKING:
    from airflow.sdk import Context

    from chaos_tasks.composition import Squall


class RampOperator(ArmFaultOperator):
    """
    Asks level after level until the breaking point is found.

    Takes what ``ArmFaultOperator`` takes.
    """

    ui_color = "#e76f51"

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.stop_asked = False

    def act(self, squall: Squall, run_id: str, context: Context) -> str:
        """Goes on at the level that was asked last when retried; a finding is no failure."""
        verdict = squall.searches.ramps.run(self.request(run_id, context), stop=lambda: self.stop_asked)
        self.log.info("%s", describe(verdict))
        return run_id

    def on_kill(self) -> None:
        """Ask for no further level; the one that runs is ended by its supervisor, and reverted by ``revert``."""
        self.stop_asked = True


class CloseRampOperator(SquallOperator):
    """Reverts what a ramp whose process was lost has left in, and ends it with what is known."""

    ui_color = "#457b9d"
    # As for the revert of an experiment: a guard is no reason to leave a fault in.
    final_errors: ClassVar[tuple[type[SquallError], ...]] = BROKEN

    def act(self, squall: Squall, run_id: str, context: Context) -> None:
        """Nothing is left to do after a ramp that ended by itself."""
        verdict = squall.searches.ramps.close(run_id)
        if verdict is not None:
            self.log.info("%s", describe(verdict))


class PublishRampOperator(SquallOperator):
    """Shows every run of the ramp in MLflow; MLflow being down is retried and changes no outcome."""

    ui_color = "#6d597a"
    operator_extra_links = (MlflowRunLink(),)

    def act(self, squall: Squall, run_id: str, context: Context) -> None:
        """The link of the last one goes into XCom."""
        skip_if_refused(squall, run_id)
        for run in squall.searches.found(run_id).runs:
            context["ti"].xcom_push(key=MLFLOW_URL, value=squall.engine.publish(run.run_id))
