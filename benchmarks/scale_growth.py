"""What a run and the daily commands cost with 10 and 100 times the records, and 10 and 100 times the targets.

The records are those of real runs, written again under other names and times, into one honest log: its hashes verify.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import psycopg

from benchmarks.scale_toy import Meter, ask, engine, metered, project, require
from chaos_tasks.campaign import Campaigns
from chaos_tasks.exporting import Exports
from chaos_tasks.lab import postgres
from chaos_tasks.lab.postgres import Postgres
from chaos_tasks.ledger import DatabaseLedger, header, merkle
from chaos_tasks.ledger.verify import verify
from chaos_tasks.model.handle import OPEN_PHASES
from chaos_tasks.model.plan import Recorder
from chaos_tasks.model.record import Note, Record, RecordKind
from chaos_tasks.safety.guards import SWEEPER
from tests.unit.toy_project import ToyProject

RUNS_A_NIGHT = 20
NIGHTLY = {"experiments_per_night": 10_000, "injected_minutes_per_night": 10_000}


def measure(server: Postgres, *, runs: int, targets: int, repeats: int = 5) -> dict[str, Any]:
    """One row: a ledger with so many runs in its past, an inventory of so many targets."""
    url = postgres.create_database(server, f"growth_{runs}_{targets}")
    with tempfile.TemporaryDirectory(prefix="squall-") as folder:
        toy, settings = project(Path(folder) / "home", url, targets, NIGHTLY)
        ledger = cast(DatabaseLedger, toy.ledger)  # the toy's own type is the ledger in memory that `project` replaced
        require(isinstance(ledger, DatabaseLedger), "a ledger in a database")
        engine(toy, settings).run(ask("model", 0))
        seed(ledger, url, runs)
        row: dict[str, Any] = {"runs": runs, "records": ledger.size(), "targets": targets}
        numbers = iter(range(10_000))
        for name, act in acts_of(toy, settings, numbers).items():
            ledger.beat(SWEEPER)
            act()  # connections, caches and lazy imports
            row[name] = best([cost(act, ledger) for _ in range(repeats)])
        require(verify(ledger).integrity.ok, "verify(ledger).integrity.ok")
        ledger.close()
    return row


def acts_of(toy: ToyProject, settings: dict[str, Any], numbers: Iterator[int]) -> dict[str, Callable[[], object]]:
    """What is measured."""
    ledger, one = toy.ledger, engine(toy, settings)
    campaigns = Campaigns(toy.settings(**settings), ledger, toy.clock, Recorder())
    exports = Exports(campaigns, toy.clock)
    night_id = "night-now"
    runs = [f"{night_id}.{number}" for number in range(3)]
    facts = {"runs": runs, "experiments": [f"exp-{run}" for run in runs], "targets": [], "faults": [], "broken": []}
    ledger.append(
        Record(
            kind=RecordKind.CAMPAIGN_PLANNED,
            idem_key=night_id,
            occurred_at=datetime.now(UTC),
            run_id=night_id,
            payload=Note(text="3 planned", facts=facts),
        )
    )
    for run in runs:
        ledger.beat(SWEEPER)
        one.run(ask(run, 0))

    def fresh() -> str:
        return f"fresh-{next(numbers)}"

    def status() -> None:
        ledger.last_beat(SWEEPER)
        ledger.handles(phases=OPEN_PHASES)

    return {
        "run": lambda: one.run(ask(fresh(), 0)),
        "run_over_nights": lambda: one.run(
            ask(fresh(), 0, analysis={"seeds": 1, "base_seed": 1, "nights": 5}, name="exp-over-nights")
        ),
        "sweep": lambda: toy.sweeper().sweep(by="sweep"),
        "status": status,
        "first_screen": lambda: exports.night(night_id, over=True),
    }


def cost(act: Callable[[], object], ledger: DatabaseLedger) -> tuple[float, float, Meter]:
    """CPU seconds of this process, wall seconds, and what the ledger was asked."""
    ledger.beat(SWEEPER)
    with metered() as meter:
        wall, cpu = time.perf_counter(), time.process_time()
        act()
        return time.process_time() - cpu, time.perf_counter() - wall, meter


def best(costs: list[tuple[float, float, Meter]]) -> dict[str, float]:
    """The cheapest of some: whatever else ran on the machine made it only dearer."""
    cheapest = min(costs, key=lambda one: one[0])
    return {
        "cpu_ms": round(1000 * cheapest[0], 1),
        "ledger_ms": round(1000 * min(one[2].seconds for one in costs), 1),
        "statements": min(one[2].statements for one in costs),
        "rows": min(one[2].rows for one in costs),
    }


def seed(ledger: DatabaseLedger, url: str, runs: int) -> None:
    """Write the model run again, so many times, each a night's share earlier than now; one log, one tree."""
    model = [stored.record for stored in ledger.records(run_id="model")]
    (state,) = ledger.handles(run_id="model")
    texts = [(one.kind, one.model_dump_json()) for one in model]
    with psycopg.connect(url) as connection:
        size, raw = connection.execute("SELECT size, frontier FROM squall_head").fetchone() or (0, b"")
        edge = tuple(bytes(raw)[at : at + 32] for at in range(0, len(raw), 32))
        rows: list[tuple[object, ...]] = []
        nodes: list[tuple[int, int, bytes]] = []
        handles: list[tuple[str, str, str, bytes, str, int, datetime]] = []
        begun = model[0].occurred_at
        for number in range(runs):
            name = f"past-{number:06}"
            back = timedelta(days=(runs - number) // RUNS_A_NIGHT + 1)
            for _, text in texts:
                copy = Record.model_validate_json(text.replace("model", name))
                copy = copy.model_copy(update={"occurred_at": copy.occurred_at - back})
                entry = header.encode(copy)
                leaf = merkle.leaf_hash(entry.header)
                edge, completed = merkle.push(edge, size, leaf)
                rows.append(
                    (
                        *(size, copy.idem_key, name, copy.kind.value, header.format_time(copy.occurred_at), leaf),
                        *(entry.header, entry.salt, entry.payload),
                    )
                )
                nodes += completed
                size += 1
            handle = type(state.handle).model_validate_json(state.handle.model_dump_json().replace("model", name))
            handles.append((handle.id, name, handle.place.key, handle.canonical(), state.phase.value, size - 1, begun))
        _write(connection, rows, nodes, handles)
        connection.execute("UPDATE squall_head SET size = %s, frontier = %s", (size, b"".join(edge)))


def _write(connection: psycopg.Connection[Any], rows: list[Any], nodes: list[Any], handles: list[Any]) -> None:
    columns = "seq, idem_key, run_id, kind, occurred_at, leaf_hash, header, salt, payload"
    with connection.cursor() as cursor:
        with cursor.copy(f"COPY squall_record ({columns}) FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)
        with cursor.copy("COPY squall_node (level, idx, hash) FROM STDIN") as copy:
            for row in nodes:
                copy.write_row(row)
        into = "id, run_id, place_key, body, phase, epoch, armed_epoch, armed_seq, lease_until, changed_at"
        with cursor.copy(f"COPY squall_handle ({into}) FROM STDIN") as copy:
            for handle_id, name, key, body, phase, seq, at in handles:
                copy.write_row((handle_id, name, key, body, phase, 1, 1, seq, 0, int(at.timestamp() * 1000)))
    connection.execute("ANALYZE squall_record")
    connection.execute("ANALYZE squall_handle")


def growth(server: Postgres, report: Callable[[str], None]) -> list[dict[str, Any]]:
    """The table: ten and a hundred times the past, ten and a hundred times the targets."""
    rows = []
    for runs, targets in ((20, 20), (200, 20), (2000, 20), (20, 200), (20, 2000)):
        rows.append(measure(server, runs=runs, targets=targets))
        report(f"{rows[-1]}")
    return rows
