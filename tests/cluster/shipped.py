"""Experiments that the product ships, on the cluster: one of each family of faults, with their own targets.

EC2 is left out: the lab's machines of that kind are process groups of this host, which no other process table shows.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from chaos_tasks.lab.cluster import CONTROL
from chaos_tasks.model.verdict import Outcome
from tests.system.tiny_target import TinyProject

ROOT = Path(__file__).resolve().parents[2]
EXERCISED_ON = "work-2"


@dataclass(frozen=True)
class Shipped:
    """One experiment file of `dags/experiments`, and what comes of it."""

    family: str
    name: str
    outcome: Outcome
    reverted_on: str = CONTROL
    """The machine that injects and reverts; a process can only be hurt, and put right, where it runs."""
    seeds: int = 0
    """Fewer than in the file, where the outcome is as clear and only time is saved; 0: as in the file."""


SHIPPED = (
    Shipped("data", "label-flip", Outcome.DEVIATED, seeds=3),
    Shipped("cloud", "key-deactivated", Outcome.HELD),
    Shipped("stream", "stream-late", Outcome.DEVIATED),
    Shipped("process", "trainer-paused", Outcome.HELD, reverted_on=EXERCISED_ON, seeds=3),
    Shipped("airflow", "airflow-task-killed", Outcome.HELD, reverted_on=EXERCISED_ON),
)


def prepare(project: TinyProject) -> frozenset[str]:
    """Add those experiments, and the product's inventory and targets, unchanged; the names of the experiments."""
    shutil.copytree(ROOT / "data" / "targets", project.root / "data" / "targets")
    for one in SHIPPED:
        shutil.copy(ROOT / "dags" / "experiments" / f"{one.name}.yaml", project.dags / "experiments")
    settings = (ROOT / "squall.toml").read_text(encoding="utf-8")
    inventory = settings[settings.index("[targets.") :]
    project.config.write_text(f"{project.config.read_text()}\n{inventory}")
    return frozenset(one.name for one in SHIPPED)
