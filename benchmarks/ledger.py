"""Appends per second on SQLite and PostgreSQL with 1, 2 and 8 writer processes; prints a table and writes results.

`python -m benchmarks.ledger [seconds per cell]`.  PostgreSQL runs with fsync on, as in production.
"""

from __future__ import annotations

import json
import multiprocessing
import shutil
import sys
import tempfile
import time
from datetime import UTC, datetime
from multiprocessing.synchronize import Barrier
from pathlib import Path

from chaos_tasks.lab import postgres, processes
from chaos_tasks.ledger import open_ledger
from chaos_tasks.ledger.verify import verify
from chaos_tasks.model.record import Note, Record, RecordKind

RESULTS = Path(__file__).parent / "results" / "ledger.json"
WRITERS = (1, 2, 8)


def write(url: str, name: str, seconds: float, start: Barrier, waits: multiprocessing.Queue[list[float]]) -> None:
    """Append until the time is over; report how long each append took, in seconds."""
    ledger, took = open_ledger(url), list[float]()
    start.wait()
    end = time.perf_counter() + seconds
    while (began := time.perf_counter()) < end:
        record = Record(
            kind=RecordKind.TRIAL_ENDED,
            idem_key=f"{name}/{len(took)}",
            occurred_at=datetime.now(UTC),
            run_id=name,
            payload=Note(text="x" * 300),
        )
        ledger.append(record)
        took.append(time.perf_counter() - began)
    ledger.close()
    waits.put(took)


def measure(database: str, url: str, writers: int, seconds: float) -> dict[str, object]:
    """One cell of the table."""
    context = multiprocessing.get_context("spawn")
    start, queue = context.Barrier(writers), context.Queue()
    running = [
        context.Process(target=write, args=(url, f"{writers}-{n}", seconds, start, queue)) for n in range(writers)
    ]
    for process in running:
        process.start()
    took = sorted(wait for _ in running for wait in queue.get())
    for process in running:
        process.join()
    ledger = open_ledger(url)
    whole = verify(ledger).integrity.ok
    ledger.close()
    return {
        "database": database,
        "writers": writers,
        "appends_per_s": round(len(took) / seconds),
        "p50_ms": round(1000 * took[len(took) // 2], 2),
        "p99_ms": round(1000 * took[int(len(took) * 0.99)], 2),
        "worst_ms": round(1000 * took[-1], 1),
        "verified": whole,
    }


def main() -> None:
    """About 20 seconds with the default of 2 s per cell."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 2.0
    folder = Path(tempfile.mkdtemp(prefix="squall-"))
    folder.chmod(0o711)
    rows = []
    try:
        server = postgres.start(folder / "pg", databases=(), durable=True, owner=folder)
        for writers in WRITERS:
            rows.append(measure("sqlite", f"sqlite:///{folder}/{writers}.db", writers, seconds))
            rows.append(measure("postgresql", postgres.create_database(server, f"w{writers}"), writers, seconds))
        processes.stop(server.daemon)
    finally:
        processes.end_strays(folder)
        shutil.rmtree(folder, ignore_errors=True)
    print("  ".join(f"{name:>13}" for name in rows[0]))
    for row in sorted(rows, key=lambda row: str(row["database"])):
        print("  ".join(f"{value!s:>13}" for value in row.values()))
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps({"seconds_per_cell": seconds, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
