"""Payloads go once they are old by the ledger's clock: what is erased is gone for good."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from chaos_tasks.composition import Squall
from chaos_tasks.erasing import old_payloads
from chaos_tasks.ledger import DatabaseLedger, open_ledger
from chaos_tasks.model.record import RecordKind
from chaos_tasks.testing.clock import FakeClock
from chaos_tasks.testing.memory_ledger import MemoryLedger
from tests.unit.toy_project import ToyProject, register, request

KEPT_DAYS = 30
YEAR, NONE = timedelta(days=365), timedelta(0)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[DatabaseLedger]:
    with closing(open_ledger(f"sqlite:///{tmp_path}/ledger.db")) as opened:
        yield opened


@pytest.mark.parametrize(("began_off", "asked_off"), [(-YEAR, NONE), (NONE, YEAR)], ids=["ran", "prunes"])
def test_a_host_whose_clock_is_a_year_off_erases_nothing_that_is_new(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ledger: DatabaseLedger, began_off: timedelta, asked_off: timedelta
) -> None:
    toy = ToyProject(tmp_path / "home", clock=FakeClock(ledger.now()))
    register(monkeypatch, toy.fault)
    toy.ledger = cast(MemoryLedger, ledger)
    ledger.beat("sweeper")
    toy.clock = FakeClock(ledger.now() + began_off)
    toy.engine().arm(request())
    toy.engine().revert("run-1")
    ledger.release("run-1")
    entry = toy.settings().targets["toy"]
    kept = entry.model_copy(update={"data": entry.data.model_copy(update={"keep_payloads": timedelta(days=KEPT_DAYS)})})
    squall = SimpleNamespace(
        ledger=ledger,
        clock=FakeClock(ledger.now() + asked_off),
        settings=toy.settings(targets={"toy": kept}),
        engine=toy.engine(),
    )
    assert old_payloads(cast(Squall, squall), by="kim") == 0
    assert not list(ledger.records(kinds=[RecordKind.PAYLOAD_ERASED]))
