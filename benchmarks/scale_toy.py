"""Runs of the real engine on tiny targets, with the ledger's share of them metered: statements, rows and seconds."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from chaos_tasks import registry
from chaos_tasks.clock import SystemClock
from chaos_tasks.engine import Engine
from chaos_tasks.ledger import open_ledger
from chaos_tasks.ledger.database import Database, Row
from chaos_tasks.model.request import RunRequest
from chaos_tasks.safety.guards import SWEEPER
from chaos_tasks.settings import TargetEntry
from tests.inventory import one_user
from tests.unit.toy_project import KIND, TARGET, ToyProject, experiment

TRIAL_S = 0.05


class WorkingClock(SystemClock):
    """The real clock; a trial of the toy takes a twentieth of a second of doing nothing."""

    def advance(self, seconds: float) -> None:
        """Stand for a trial of a second."""
        time.sleep(seconds * TRIAL_S)


@dataclass
class Meter:
    """What the ledger's database was asked."""

    statements: int = 0
    rows: int = 0
    seconds: float = 0.0
    by_statement: dict[str, list[float]] = field(default_factory=dict)
    """Times asked, rows and seconds by statement."""


@contextmanager
def metered() -> Iterator[Meter]:
    """Count every statement of this process's ledgers."""
    meter, real = Meter(), Database.run

    def run(self: Database, sql: str, params: Sequence[object]) -> list[Row]:
        began = time.perf_counter()
        rows = real(self, sql, params)
        took = time.perf_counter() - began
        meter.statements += 1
        meter.rows += len(rows)
        meter.seconds += took
        one = meter.by_statement.setdefault(" ".join(sql.split())[:90], [0, 0, 0.0])
        one[0], one[1], one[2] = one[0] + 1, one[1] + len(rows), one[2] + took
        return rows

    Database.run = run  # type: ignore[method-assign]
    try:
        yield meter
    finally:
        Database.run = real  # type: ignore[method-assign]


def project(home: Path, url: str, targets: int, limits: dict[str, Any]) -> tuple[ToyProject, dict[str, Any]]:
    """A toy project on a real ledger, and the settings that its engines take."""
    toy = ToyProject(home)
    toy.ledger = open_ledger(url)  # type: ignore[assignment]
    toy.clock = WorkingClock()  # type: ignore[assignment]
    toy.ledger.beat(SWEEPER)
    real = registry.fault
    registry.fault = lambda kind: toy.fault if kind == KIND else real(kind)
    entries = {}
    for number in range(targets):
        name = target_name(number)
        (home / f"{name}.yaml").write_text(TARGET.replace("name: toy", f"name: {name}"))
        entries[name] = TargetEntry(
            file=f"{name}.yaml", environment="lab", disposable=True, families=("toy",), identities=one_user("toy")
        )
    return toy, {"targets": entries, "limits": limits, "ledger_url": url}


def target_name(number: int) -> str:
    """Targets sort by their numbers."""
    return f"toy-{number:04}"


def ask(run_id: str, target: int, **changes: Any) -> RunRequest:
    """One seed on one target."""
    told = {
        "name": f"exp-{run_id.replace(chr(46), chr(45))}",
        "target": target_name(target),
        "analysis": {"seeds": 1, "base_seed": 1},
        **changes,
    }
    return RunRequest(run_id=run_id, experiment=experiment(**told))


def engine(toy: ToyProject, settings: dict[str, Any]) -> Engine:
    """An engine on the toy's ledger."""
    return toy.engine(**settings)


def require(holds: bool, promise: str) -> None:
    """Raise AssertionError: a measurement of something that does not hold is worth nothing."""
    if not holds:
        raise AssertionError(f"does not hold: {promise}")
