"""The ledger as evidence: appends per second when every commit is on the disk, proofs, and verification of the whole.

`python -m benchmarks.audit [seconds per cell] [records]`.  The large ledger is filled by a bulk path of this program,
with records and a tree like those that single appends make; `verify` then reads it as any other.
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

from benchmarks.ledger import measure
from chaos_tasks.lab import postgres, processes
from chaos_tasks.ledger import DatabaseLedger, header, merkle, open_ledger
from chaos_tasks.ledger.opening import open_database
from chaos_tasks.ledger.verify import verify
from chaos_tasks.model.record import Note, Record, RecordKind

RESULTS = Path(__file__).parent / "results" / "audit.json"
WRITERS = (1, 2, 8)
BATCH = 10_000


def fill(url: str, count: int) -> float:
    """Seconds to write ``count`` records in large transactions."""
    open_ledger(url).close()
    database, frontier, began = open_database(url), tuple[bytes, ...](), time.perf_counter()
    mark = ", ".join("?" * 9)
    for start in range(0, count, BATCH):
        with database.transaction() as session:
            records: list[tuple[object, ...]] = []
            nodes: list[tuple[object, ...]] = []
            for size in range(start, min(start + BATCH, count)):
                key = f"bulk/{size}"
                entry = header.encode(
                    Record(
                        kind=RecordKind.TRIAL_ENDED,
                        idem_key=key,
                        occurred_at=datetime.now(UTC),
                        run_id=f"run-{size // 100}",
                        payload=Note(text="x" * 300),
                    )
                )
                told = header.decode_header(size, entry.header)
                leaf = merkle.leaf_hash(entry.header)
                frontier, completed = merkle.push(frontier, size, leaf)
                nodes += completed
                what = (size, key, told.run_id, told.kind.value, told.occurred_at, leaf)
                records.append((*what, entry.header, entry.salt, entry.payload))
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
    began = time.perf_counter()
    found = verify(ledger, sizes=(old, size))
    row["verify_s"] = round(time.perf_counter() - began, 2)
    row["whole"] = found.integrity.ok and found.roots[size] == root.hex()
    ledger.close()
    return row


def leaf_of(ledger: DatabaseLedger, seq: int) -> bytes:
    """Hash of a record's header."""
    return bytes.fromhex(next(iter(ledger.records(after_seq=seq - 1))).leaf_sha256)


def main() -> None:
    """A minute per hundred thousand records, about, and 12 s for the appends."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 2.0
    large = int(sys.argv[2]) if len(sys.argv) > 2 else 1_000_000
    folder = Path(tempfile.mkdtemp(prefix="squall-", dir=os.environ.get("SQUALL_BENCH_FOLDER")))
    folder.chmod(0o711)
    appends, reads = [], []
    try:
        server = postgres.start(folder / "pg", databases=(), durable=True, owner=folder)
        for writers in WRITERS:
            appends.append(measure("sqlite", f"sqlite:///{folder}/{writers}.db", writers, seconds))
            appends.append(measure("postgresql", postgres.create_database(server, f"w{writers}"), writers, seconds))
            print(*appends[-2:], sep="\n", flush=True)
        for count in (10_000, large):
            for database, url in (
                ("sqlite", f"sqlite:///{folder}/n{count}.db"),
                ("postgresql", postgres.create_database(server, f"n{count}")),
            ):
                reads.append(proofs(database, url, count, fill(url, count)))
                print(reads[-1], flush=True)
        processes.stop(server.daemon)
    finally:
        processes.end_strays(folder)
        shutil.rmtree(folder, ignore_errors=True)
    where = {"cores": os.cpu_count(), "python": platform.python_version(), "load": round(os.getloadavg()[0], 1)}
    RESULTS.parent.mkdir(exist_ok=True)
    result = {"machine": where, "seconds_per_cell": seconds, "appends": appends, "proofs": reads}
    RESULTS.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
