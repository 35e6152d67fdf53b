"""A handle whose row cannot be read keeps no other fault of its run in."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from chaos_tasks.errors import RevertError
from chaos_tasks.ledger import open_ledger
from chaos_tasks.safety.guards import SWEEPER
from tests.unit.task_processes import RUN, WRITE
from tests.unit.toy_project import HEALTHY, ToyProject, register, request


def test_the_others_go_out_and_the_damaged_one_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    toy = ToyProject(tmp_path / "home")
    register(monkeypatch, toy.fault)
    file = tmp_path / "ledger.db"
    with closing(open_ledger(f"sqlite:///{file}")) as ledger:
        toy.ledger = ledger  # type: ignore[assignment]
        toy.ledger.beat(SWEEPER)
        engine = toy.engine()
        engine.arm(request(method=[WRITE, {**WRITE, "name": "again"}]))
        engine.inject(RUN)
        with closing(sqlite3.connect(file)) as database:
            told = (b"garbage", f"{RUN}/again")
            database.execute("update squall_handle set body = ?, armed_seq = 99999 where id = ?", told)
            database.commit()
        with pytest.raises(RevertError, match=f"{RUN}/again cannot be read"):
            engine.revert(RUN)
    assert toy.word() == HEALTHY
