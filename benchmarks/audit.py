"""The ledger as evidence: appends per second, each on the disk before it counts; proofs and verification; a pack.

`python -m benchmarks.audit [part ...]`: `appends` (a minute), `proofs` of ten thousand and a million records (half an
hour on two cores) and `documents` of a thousand experiments; all of them where none is named.  Large ledgers are filled
by a bulk path of this program, with records and a tree like those that single appends make; `verify` reads them as any
other.  Of cells that are measured several times the best one counts, since others may use the machine: its load is
told beside them.
"""

from __future__ import annotations

import json
import os
import platform
import random
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

from benchmarks.ledger import measure
from chaos_tasks.lab import postgres, processes
from chaos_tasks.ledger import DatabaseLedger, header, merkle, open_ledger
from chaos_tasks.ledger.opening import open_database
from chaos_tasks.ledger.verify import verify
from chaos_tasks.model.base import canonical
from chaos_tasks.model.record import Note, Record, RecordKind

RESULTS = Path(__file__).parent / "results" / "audit.json"
WRITERS, TRIES, SECONDS = (1, 2, 8), 3, 2.0
SIZES, BATCH = (10_000, 1_000_000), 10_000
EXPERIMENTS = (10, 100, 1_000)


def fill(url: str, count: int) -> float:
    """Seconds to write ``count`` records in large transactions, each like the first but for its key, run and salt."""
    open_ledger(url).close()
    database, frontier, began = open_database(url), tuple[bytes, ...](), time.perf_counter()
    first = header.encode(record_of(0))
    told, payload = json.loads(first.header), first.payload or b""
    mark = ", ".join("?" * 9)
    for start in range(0, count, BATCH):
        with database.transaction() as session:
            records: list[tuple[object, ...]] = []
            nodes: list[tuple[object, ...]] = []
            for size in range(start, min(start + BATCH, count)):
                key, run, salt = f"bulk/{size}", f"run-{size // 100}", os.urandom(16)
                told |= {"idem_key": key, "record_id": header.record_id(key), "run_id": run}
                told["payload"]["commit"] = header.commitment(salt, payload)
                raw = canonical(told)
                leaf = merkle.leaf_hash(raw)
                frontier, completed = merkle.push(frontier, size, leaf)
                nodes += completed
                records.append((size, key, run, told["kind"], told["occurred_at"], leaf, raw, salt, payload))
            for rows, sql in (
                (records, f"INSERT INTO squall_record VALUES ({mark})"),
                (nodes, "INSERT INTO squall_node VALUES (?, ?, ?)"),
            ):
                many(database, sql, rows)
            session.write(
                "UPDATE squall_head SET size = ?, frontier = ?", min(start + BATCH, count), b"".join(frontier)
            )
    database.close()
    return time.perf_counter() - began


def record_of(number: int) -> Record:
    """A record of 300 letters, as those of the appends."""
    return Record(
        kind=RecordKind.TRIAL_ENDED,
        idem_key=f"bulk/{number}",
        occurred_at=datetime.now(UTC),
        run_id=f"run-{number // 100}",
        payload=Note(text="x" * 300),
    )


def many(database: object, sql: str, rows: list[tuple[object, ...]]) -> None:
    """The driver's own way to write many rows in the transaction that is open."""
    connection = database._connection  # type: ignore[attr-defined]
    if "sqlite" in type(connection).__module__:
        connection.executemany(sql, rows)
    else:
        with connection.cursor() as cursor:
            cursor.executemany(sql.replace("?", "%s"), rows)


def milliseconds(act: Callable[[], object], times: int) -> float:
    """Median of some calls."""
    took = []
    for _ in range(times):
        began = time.perf_counter()
        act()
        took.append(1000 * (time.perf_counter() - began))
    return round(statistics.median(took), 3)


def proofs(database: str, url: str, count: int, filled_s: float) -> dict[str, object]:
    """Root, proofs, and the whole verification of one ledger."""
    ledger, draw = open_ledger(url), random.Random(1)
    size, root = ledger.head()
    leaves = {seq: leaf_of(ledger, seq) for seq in (draw.randrange(size) for _ in range(50))}
    paths = {seq: ledger.inclusion_proof(seq, size) for seq in leaves}
    if not all(merkle.verify_inclusion(seq, size, leaf, paths[seq], root) for seq, leaf in leaves.items()):
        raise SystemExit("a proof does not hold")
    seqs = list(leaves)
    old = size // 3
    row = {
        "database": database,
        "records": count,
        "filled_s": round(filled_s, 1),
        "head_ms": milliseconds(ledger.head, 50),
        "inclusion_ms": milliseconds(lambda: ledger.inclusion_proof(draw.choice(seqs), size), 100),
        "consistency_ms": milliseconds(lambda: ledger.consistency_proof(old, size), 100),
        "check_inclusion_ms": milliseconds(
            lambda: merkle.verify_inclusion(seqs[0], size, leaves[seqs[0]], paths[seqs[0]], root), 200
        ),
        "path": len(paths[seqs[0]]),
    }
    began, worked = time.perf_counter(), time.process_time()
    found = verify(ledger, sizes=(old, size))
    row["verify_s"] = round(time.perf_counter() - began, 2)
    row["verify_cpu_s"] = round(time.process_time() - worked, 2)
    row["load"] = load()
    row["whole"] = found.integrity.ok and found.roots[size] == root.hex()
    ledger.close()
    return row


def leaf_of(ledger: DatabaseLedger, seq: int) -> bytes:
    """Hash of a record's header."""
    return bytes.fromhex(next(iter(ledger.records(after_seq=seq - 1))).leaf_sha256)


def appends(server: postgres.Postgres, folder: Path) -> dict[str, object]:
    """The best of some tries of each cell, and what one append costs where."""
    rows = []
    for database in ("sqlite", "postgresql"):
        for writers in WRITERS:
            tries = []
            for nth in range(TRIES if database == "postgresql" else 1):
                name = f"w{writers}n{nth}"
                at = f"sqlite:///{folder}/{name}.db"
                url = at if database == "sqlite" else postgres.create_database(server, name)
                tries.append({**measure(database, url, writers, SECONDS), "load": load()})
            best = max(tries, key=lambda one: int(str(one["appends_per_s"])))
            rows.append({**best, "tries": [one["appends_per_s"] for one in tries]})
            print(rows[-1], flush=True)
    return {"seconds_per_cell": SECONDS, "cells": rows, "cost": cost(postgres.create_database(server, "cost"), folder)}


def cost(url: str, folder: Path) -> dict[str, float]:
    """Milliseconds of one append by one writer: of processors on both sides, and of waiting for the disk."""
    ledger = open_ledger(url)
    database: Any = ledger._database
    for number in range(200):
        ledger.append(record_of(number))
    backend = psutil.Process(int(database.read("SELECT pg_backend_pid()")[0][0]))
    ours, theirs = time.process_time(), sum(backend.cpu_times()[:2])
    for number in range(200, 1200):
        ledger.append(record_of(number))
    row = {"client_cpu_ms": round(time.process_time() - ours, 3)}  # of a thousand
    row["server_cpu_ms"] = round(sum(backend.cpu_times()[:2]) - theirs, 3)
    row["round_trip_ms"] = milliseconds(lambda: database.read("SELECT 1"), 200)
    row["flush_ms"] = milliseconds(database.settle, 200)
    ledger.close()
    with (folder / "flushed").open("wb", buffering=0) as file:

        def flush() -> None:
            file.write(b"x" * 8192)
            os.fdatasync(file.fileno())

        row["fdatasync_8k_ms"] = milliseconds(flush, 200)
    print(row, flush=True)
    return row


def documents(experiments: int) -> dict[str, object]:
    """A pack of so many experiments, made and checked; seconds of processor, the best of three."""
    from chaos_tasks.attesting.test_result import statement_of
    from chaos_tasks.auditing import redeciding
    from chaos_tasks.evidence import controls, pdf, verifier
    from chaos_tasks.evidence import pack as packs
    from chaos_tasks.signing import dsse
    from tests.unit.evidence import packs as sample
    from tests.unit.reports import nights

    with tempfile.TemporaryDirectory() as folder:
        ledger = open_ledger(f"sqlite:///{folder}/l.db")
        ledger._database.read("PRAGMA synchronous=OFF")  # appends are not what is measured here
        for nth in range(experiments):
            for one in nights.run(f"experiment-{nth}", nights.BAD if nth % 10 == 0 else nights.SAME, seq=0):
                ledger.append(one.record)
        made, size = sample.of(ledger), ledger.size()
        ledger.close()
    table, body = controls.shipped(), made.body
    attestations = [dsse.seal(statement_of(run, body.log).to_bytes(), sample.REPORT_KEY) for run in body.tested]
    keys = [verifier.parse_vkey(one) for one in sample.TRUSTED]
    row: dict[str, object] = {
        "experiments": len({run.experiment for run in body.tested}),
        "records": size,
        "documents_cpu_s": processor(lambda: packs.documents(body, table, attestations)),
        "pdf_cpu_s": processor(lambda: pdf.render(body, table, attached={})),
        "verify_cpu_s": processor(lambda: verifier.Check(made.files, keys, None).run()),
        "verify_and_judge_cpu_s": processor(lambda: verifier.Check(made.files, keys, redeciding).run()),
        "load": load(),
    }
    print(row, flush=True)
    return row


def processor(act: Callable[[], object]) -> float:
    """Seconds of processor, the least of three."""
    took = []
    for _ in range(3):
        began = time.process_time()
        act()
        took.append(time.process_time() - began)
    return round(min(took), 3)


def load() -> float:
    """Of the machine, over the last minute."""
    return round(os.getloadavg()[0], 1)


def main() -> None:
    """Each part that is named, or all; the others' results stay as they are."""
    named = sys.argv[1:] or ["appends", "proofs", "documents"]
    result = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    result["machine"] = {"cores": os.cpu_count(), "python": platform.python_version()}
    folder = Path(tempfile.mkdtemp(prefix="squall-", dir=os.environ.get("SQUALL_BENCH_FOLDER")))
    folder.chmod(0o711)
    try:
        if "documents" in named:
            result["documents"] = [documents(count) for count in EXPERIMENTS]
        server = postgres.start(folder / "pg", databases=(), durable=True, owner=folder)
        if "appends" in named:
            result["appends"] = appends(server, folder)
        if "proofs" in named:
            result["proofs"] = []
        for count in SIZES if "proofs" in named else ():
            for database, url in (
                ("postgresql", postgres.create_database(server, f"n{count}")),
                ("sqlite", f"sqlite:///{folder}/n{count}.db"),
            ):
                result["proofs"].append(proofs(database, url, count, fill(url, count)))
                print(result["proofs"][-1], flush=True)
                RESULTS.write_text(json.dumps(result, indent=1) + "\n")
        processes.stop(server.daemon)
    finally:
        processes.end_strays(folder)
        shutil.rmtree(folder, ignore_errors=True)
    RESULTS.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
