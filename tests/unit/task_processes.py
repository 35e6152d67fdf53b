"""An engine as each task of Airflow has it: a process of its own, under no incarnation of the run yet."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from chaos_tasks.engine import Engine
from chaos_tasks.model.plan import Recorder
from chaos_tasks.settings import TargetEntry
from tests.inventory import one_user
from tests.unit.toy_project import ToyProject

RUN = "run-1"
WRITE = {"name": "write", "fault": "toy.word", "target": "data"}
KILL = {
    "name": "kill",
    "fault": "process.kill",
    "target": "workload",
    "trigger": {"at": "elapsed", "after": "1s"},
}


def allows(*families: str) -> dict[str, TargetEntry]:
    """An inventory in which the toy may be hurt by these."""
    entry = TargetEntry(
        file="toy.yaml",
        environment="lab",
        disposable=True,
        families=families,
        identities=one_user("toy", *families),
    )
    return {"toy": entry}


def of_process(toy: ToyProject, *, try_number: int = 1, **settings: Any) -> Engine:
    """``settings``: of the toy's, as ToyProject.engine takes them."""
    engine, ledger = toy.engine(**settings), toy.ledger.of_another_process()
    recorder = Recorder(try_number=try_number)
    loop = replace(engine.parts.loop, ledger=ledger, recorder=recorder)
    return replace(engine, parts=replace(engine.parts, ledger=ledger, recorder=recorder, loop=loop))
