"""What the table is made of: a row (do this to a run whose faults are in) and what came of it on one executor."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from pydantic import Field

from chaos_tasks.model.base import Value
from chaos_tasks.model.verdict import Outcome

if TYPE_CHECKING:
    from tests.airflow_kills.scene import Scene


class Executor(StrEnum):
    """Who starts the tasks."""

    LOCAL = "LocalExecutor"
    CELERY = "CeleryExecutor"


BOTH = (Executor.LOCAL, Executor.CELERY)


def nothing(scene: Scene) -> None:
    """Nothing is to be done."""


@dataclass(frozen=True)
class Row:
    """One thing that is done, once the ledger says that both faults are in, and what is promised to come of it."""

    key: str
    does: str
    happens: str
    strike: Callable[[Scene], None]
    outcomes: frozenset[Outcome]
    """One of these is the run's verdict."""
    states: frozenset[str] = frozenset({"failed"})
    """One of these is the state of the DAG run in the end."""
    ends: bool = True
    """Whether nobody is left that may renew the lease, so that it bounds the time from the blow to the undo."""
    mend: Callable[[Scene], None] = nothing
    """Done once everything is out: what was broken is started again, so that the run can come to its end."""
    afterwards: Callable[[Scene], None] = nothing
    """Done once the run has ended."""
    executors: tuple[Executor, ...] = BOTH
    quick: bool = field(default=False, kw_only=True)
    """Whether `make live-tests` plays it too."""
    always: bool = field(default=False, kw_only=True)
    """Whether a quick one is in `make test` as well."""


class Result(Value):
    """What came of a row on an executor; as promised when nothing is wrong."""

    row: str
    executor: Executor
    wrong: tuple[str, ...] = ()
    undone_s: Mapping[str, float] = Field(
        default={}, description="By step that was in at the blow: from then to `revert.verified`."
    )
    all_out_s: float = Field(0.0, description="From the blow until the run's last fault was out, later ones included.")
    undone_by: Mapping[str, str] = Field(default={}, description="By step, who recorded it.")
    unrenewed_s: float = Field(0.0, description="From the last renewal of the lease to the last `revert.verified`.")
    past_lease_s: float = Field(0.0, description="How long a fault was seen in whose lease was over.")
    unlocked_s: float = Field(0.0, description="From the blow until another run could have had the target.")
    outcome: str = ""
    state: str = ""
    load: float = Field(0.0, description="How many processes wanted to run at the blow (1 min); 0: not looked at.")
    starts: int = Field(1, description="Runs that it took: those before were swept before they could be struck.")
    tries: int = Field(0, description="Of the exercise task.")
    took_s: float = Field(0.0, description="The whole row, the run after it included.")
    code: str = Field("", description="The commit whose code was played.")

    @property
    def green(self) -> bool:
        """Whether all is as promised."""
        return not self.wrong
