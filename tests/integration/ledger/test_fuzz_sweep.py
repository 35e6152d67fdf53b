"""A whole sweep over a ledger with damaged rows, on real databases: it reverts what is healthy, names what is damaged,
and touches no place that was not armed."""

from __future__ import annotations

import json
import sqlite3
import tempfile
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaos_tasks import acts
from chaos_tasks.acts import ActParts
from chaos_tasks.clients import from_credentials
from chaos_tasks.faults.base import FaultContext
from chaos_tasks.lab.postgres import Postgres, create_database, drop_database
from chaos_tasks.ledger import DatabaseLedger, open_ledger
from chaos_tasks.model.handle import OPEN_PHASES, Handle, Phase
from chaos_tasks.model.place import DvcPlace
from chaos_tasks.model.plan import Recorder
from chaos_tasks.sweeping import Sweeper, Swept
from chaos_tasks.testing.clock import FakeClock
from chaos_tasks.workspaces import Workspaces
from tests.fuzzing import BOMBS, budget, changed_content, damaged_bytes
from tests.servers import unique
from tests.unit.toy_project import HEALTHY, HURT, KIND, ToyFault, register, word_file

NAMES = ("first", "damaged", "last")
TEXT_COLUMNS = ("phase", "run_id", "place_key")
NUMBER_COLUMNS = ("epoch", "armed_epoch", "armed_seq", "lease_until", "changed_at")


class World:
    """Three handles of three runs on three places, all in; one of them gets damaged.  A fourth place is nobody's."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url, self.folder, self.clock = url, folder, FakeClock()
        self.ledger: DatabaseLedger = open_ledger(url)
        if url.startswith("sqlite"):
            self.ledger._database.read("PRAGMA synchronous = OFF")  # no power is cut here
        self.clients = from_credentials({})
        self.fault = ToyFault()
        self.handles = {name: self._hurt(name) for name in NAMES}
        self._place("bystander")

    def word(self, name: str) -> str:
        """What is in a place now."""
        return word_file(self._place_of(name)).read_text()

    def spoil(self, statement: str, *values: object) -> bool:
        """Write into the tables as a bad disk would; False when the database itself refuses."""
        try:
            if self.url.startswith("sqlite"):
                raw = sqlite3.connect(self.folder / "l.db")
                with raw:
                    raw.execute(statement, values)
                raw.close()
            else:
                with psycopg.connect(self.url) as connection:
                    connection.execute(statement.replace("?", "%s").encode(), values)
        except (sqlite3.Error, psycopg.Error, OverflowError, UnicodeError, ValueError):
            return False
        return True

    def sweep(self) -> tuple[Swept, ...]:
        """By another process, as far as it can tell."""
        workspaces = Workspaces(self.folder / "home", "python", self.clients)
        return Sweeper(self.ledger, self.clock, self.clients, workspaces, Recorder()).sweep()

    def phases(self) -> dict[str, Phase]:
        """Of what is open."""
        return {state.handle.id: state.phase for state in self.ledger.handles(phases=OPEN_PHASES)}

    def _hurt(self, name: str) -> Handle:
        place = self._place(name)
        context = FaultContext(clock=self.clock, clients=self.clients, scratch=self.folder)
        run_id = f"run-{name}"
        params: dict[str, Any] = {}
        handle = Handle(
            id=f"{run_id}/step",
            run_id=run_id,
            step="step",
            kind=KIND,
            place=place,
            params=params,
            prior=self.fault.snapshot(place, self.fault.params_type(), context),
            seed=1,
        )
        parts = ActParts(ledger=self.ledger, fault=self.fault, context=context, recorder=Recorder())
        acts.inject(parts, acts.arm(parts, handle, lease_s=60), by="inject task")
        return handle

    def _place(self, name: str) -> DvcPlace:
        place = self._place_of(name)
        word_file(place).parent.mkdir(parents=True)
        word_file(place).write_text(HEALTHY)
        return place

    def _place_of(self, name: str) -> DvcPlace:
        return DvcPlace(clone=str(self.folder / name), source="s", commit="c", data=("word.csv",), format="csv")


@pytest.fixture(params=["sqlite", "postgres"])
def new_world(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    register(monkeypatch, ToyFault())
    server: Postgres | None = request.getfixturevalue("pg_server") if request.param == "postgres" else None

    class Making:
        """One world per example."""

        def __enter__(self) -> World:
            self.folder = tempfile.TemporaryDirectory()
            self.name = unique("sweep").replace("-", "_")
            path = Path(self.folder.name)
            url = create_database(server, self.name) if server else f"sqlite:///{path}/l.db"
            self.world = World(url, path)
            return self.world

        def __exit__(self, *_: object) -> None:
            self.world.ledger.close()
            if server:
                drop_database(server, self.name)
            self.folder.cleanup()

    return Making


def changed_json(whole: bytes) -> st.SearchStrategy[bytes]:
    """JSON of another content."""
    return changed_content(json.loads(whole)).map(lambda one: json.dumps(one).encode("utf-8", "replace"))


def end_leases(world: World) -> None:
    """All leases are over."""
    assert world.spoil("UPDATE squall_handle SET lease_until = 0")


def assert_swept(world: World, swept: tuple[Swept, ...]) -> None:
    """The healthy ones are out; the damaged one is out too, or named as what is still in."""
    told = {one.handle_id: one for one in swept}
    for name in ("first", "last"):
        assert told[f"run-{name}/step"].reverted, told
        assert world.word(name) == HEALTHY
    bad = told.get("run-damaged/step")
    if world.word("damaged") == HURT:
        assert bad is not None, "what is still in is named"
        assert not bad.reverted
        assert bad.summary
        assert "run-damaged/step" in world.phases(), "and it stays open"
    assert world.word("bystander") == HEALTHY
    assert "Traceback" not in " ".join(one.summary for one in swept)


@budget(12)
@given(data=st.data())
def test_a_damaged_row_of_a_handle_keeps_no_other_in(new_world: Any, data: st.DataObject) -> None:
    with new_world() as world:
        end_leases(world)
        body = world.handles["damaged"].canonical()
        column = data.draw(st.sampled_from(["body", "body", *TEXT_COLUMNS, *NUMBER_COLUMNS]))
        value: object
        if column == "body":
            told = json.loads(body)
            elsewhere = json.dumps({**told, "place": {**told["place"], "clone": str(world.folder / "bystander")}})
            value = data.draw(damaged_bytes(body) | changed_json(body) | st.sampled_from([*BOMBS, elsewhere.encode()]))
        elif column in TEXT_COLUMNS:
            value = data.draw(st.sampled_from(["", "nonsense", "x" * 9000, "reverting", "injecting", "armed", "%s"]))
        else:
            value = data.draw(st.sampled_from([0, -1, 7, 2**31 - 1, 2**62, "nonsense"]))
        world.spoil(f"UPDATE squall_handle SET {column} = ? WHERE id = ?", value, "run-damaged/step")
        assert_swept(world, world.sweep())


@budget(12)
@given(data=st.data())
def test_a_damaged_record_of_one_run_keeps_no_other_in(new_world: Any, data: st.DataObject) -> None:
    with new_world() as world:
        end_leases(world)
        rows = [row for row in world.ledger.raw_rows() if row.run_id == "run-damaged"]
        row = data.draw(st.sampled_from(rows))
        column = data.draw(st.sampled_from(["header", "payload", "payload", "salt", "kind", "occurred_at", "run_id"]))
        value: object
        if column in ("header", "payload"):
            whole = row.entry.header if column == "header" else row.entry.payload
            assert whole is not None
            value = data.draw(damaged_bytes(whole) | changed_json(whole) | st.sampled_from(BOMBS) | st.none())
        elif column == "salt":
            value = data.draw(st.binary(max_size=20))
        else:
            value = data.draw(st.sampled_from(["", "nonsense", "revert.verified", "inject.applied", "run-first"]))
        world.spoil(f"UPDATE squall_record SET {column} = ? WHERE seq = ?", value, row.seq)
        assert_swept(world, world.sweep())
