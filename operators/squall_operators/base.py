"""The base of every operator: one place that builds the domain, maps its errors and gives a crash its default end."""

from __future__ import annotations

import os
import signal
from abc import abstractmethod
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

from airflow.sdk import BaseOperator
from airflow.sdk.log import mask_secret

from chaos_tasks import redacting
from chaos_tasks.errors import InLine, SquallError
from chaos_tasks.settings import find_settings
from squall_operators.connections import provide
from squall_operators.context import recorder_of, refuse_unreal_runs, squall_run_id
from squall_operators.errors import FINAL, as_task_failure
from squall_operators.telemetry import with_airflows
from squall_operators.turning import TurnTrigger

if TYPE_CHECKING:
    from airflow.sdk import Context

    from chaos_tasks.composition import Squall
    from chaos_tasks.model.plan import Recorder


def build(recorder: Recorder, *, patience: timedelta | None = None) -> Squall:
    """The domain with this task as its recorder; imported late, since the DAG processor never needs it."""
    from chaos_tasks.composition import build
    from squall_operators.halting import VariableLever

    provide(find_settings(), os.environ)
    settings, levers = with_airflows(find_settings(), os.environ), (VariableLever(),)
    if patience is None:
        return build(recorder, settings=settings, lever_handles=levers)
    lock_wait_s = patience.total_seconds()
    return build(recorder, settings=settings, lock_wait_s=lock_wait_s, leaves_to_wait=True, lever_handles=levers)


class SquallOperator(BaseOperator):
    """
    Runs one step of the domain; subclasses say which.

    :param run_id: run to work on (templated); by default the one that the DAG run stands for.
    """

    template_fields: Sequence[str] = ("run_id",)
    ui_fgcolor = "#ffffff"
    final_errors: ClassVar[tuple[type[SquallError], ...]] = FINAL
    patience: ClassVar[timedelta | None] = None
    """How long a run stands in line for its locks, deferred, so that it takes no slot and no process meanwhile."""

    from_control: ClassVar[bool] = False
    """Whether it runs where control tasks do even though it takes a lane (``routing``)."""

    def __init__(self, *, run_id: str = "", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.run_id = run_id

    def execute(self, context: Context) -> object:
        """Build the domain, act, close it."""
        return self._act(context)

    def execute_at_turn(self, context: Context, event: object = None) -> object:
        """Go on once the run is the first in line, or has no patience left."""
        return self._act(context)

    def _act(self, context: Context) -> object:
        reset_crash_handler()
        with as_task_failure(self.final_errors):
            refuse_unreal_runs(context)
            try:
                with build(recorder_of(context), patience=self.patience) as squall:
                    for secret in redacting.known():
                        mask_secret(secret)  # in this task's log, whoever writes there
                    return self.act(squall, self.run_id or squall_run_id(context), context)
            except InLine as place:
                return self._wait(place)

    def _wait(self, place: InLine) -> NoReturn:
        """Leave the slot; the trigger keeps the place in line, and a triggerer that restarts goes on with that."""
        self.log.info("%s", place.message)
        until = place.since + (self.patience or timedelta(0))
        self.defer(trigger=TurnTrigger(place.run_id, until.timestamp()), method_name="execute_at_turn")

    @abstractmethod
    def act(self, squall: Squall, run_id: str, context: Context) -> object:
        """Do the step; whatever it returns goes into XCom, so ids and links only."""


def reset_crash_handler() -> None:
    """Let a segmentation fault end the process.

    Airflow's DAG importer leaves a Python-level handler behind that re-faults for ever (apache/airflow#57174).
    """
    with suppress(ValueError):  # not in the main thread: nobody installed a handler there either
        signal.signal(signal.SIGSEGV, signal.SIG_DFL)
