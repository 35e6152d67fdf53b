"""A request: run this experiment, under this id, with these overrides."""

from __future__ import annotations

from chaos_tasks.model.base import Value
from chaos_tasks.model.experiment import Experiment
from chaos_tasks.model.plan import Overrides, Pin


class RunRequest(Value):
    """What a task, a command line or a campaign asks the engine to run."""

    run_id: str
    campaign_id: str = ""
    experiment: Experiment
    experiment_file_sha256: str = ""
    overrides: Overrides = Overrides()
    pin: Pin | None = None
    search_id: str = ""
    fresh_controls: bool = False
    requested_by: str = "schedule"
