"""What can be asked of the lab: its parts, and the options of a start."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from chaos_tasks.lab.ports import LabPorts

SWEEPER = "sweeper"


class Part(StrEnum):
    """What can be asked for; some parts bring others with them."""

    POSTGRES = "postgres"
    S3 = "s3"
    AWS = "aws"
    REDIS = "redis"
    MLFLOW = "mlflow"
    REFERENCE = "reference"
    SWEEPER = "sweeper"
    AIRFLOW = "airflow"


@dataclass(frozen=True)
class LabOptions:
    """What `up` needs to know beside the parts."""

    home: Path
    dags: Path = Path("dags")
    config: Path | None = None
    """The squall.toml that Airflow's tasks and the sweeper use; without it they look for one themselves."""
    ports: LabPorts | None = field(default_factory=LabPorts)
    """None: ports that are free at the first start, kept for later ones."""
    lanes: int = 0
    """Workloads at a time; 0 is one per core."""
    expected_dags: frozenset[str] = frozenset()
    """Must be parsed before the lab counts as up."""
    sweeper: tuple[str, ...] = (sys.executable, "-m", "chaos_tasks.cli", "sweep", "--watch")
    work_machines: int = 0
    """Airflow on Celery with so many machines for workloads and one for control tasks; 0: all on this one."""
    wait_for_mlflow_ui: bool = False
    """Its writers do not need it, and it takes as long to start as Airflow does."""

    def environment(self) -> dict[str, str]:
        """For the processes that run Squall itself."""
        told = {"SQUALL_HOME": str(self.home.absolute())}
        return told | ({"SQUALL_CONFIG": str(self.config.absolute())} if self.config else {})
