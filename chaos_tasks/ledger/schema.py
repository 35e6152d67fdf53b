"""The ledger's tables, made once whoever comes first."""

from __future__ import annotations

from chaos_tasks.errors import SetupError
from chaos_tasks.ledger.database import Database

VERSION = 1

# Times of leases are milliseconds by the database's clock.  run_id, kind and occurred_at of a record repeat what its
# header says, for queries only; `squall audit verify` compares them.  A record has one more column, recorded_at: when
# it came in, by the same clock as leases; in no header, and NULL where a Squall wrote it that did not know the column.
TABLES = """
CREATE TABLE IF NOT EXISTS squall_head (
    id INTEGER PRIMARY KEY CHECK (id = 1), version INTEGER NOT NULL, size BIGINT NOT NULL, frontier {blob} NOT NULL);
CREATE TABLE IF NOT EXISTS squall_record (
    seq BIGINT PRIMARY KEY, idem_key TEXT NOT NULL UNIQUE, run_id TEXT NOT NULL, kind TEXT NOT NULL,
    occurred_at TEXT NOT NULL, leaf_hash {blob} NOT NULL, header {blob} NOT NULL, salt {blob}, payload {blob});
CREATE INDEX IF NOT EXISTS squall_record_run ON squall_record (run_id, seq);
CREATE INDEX IF NOT EXISTS squall_record_kind ON squall_record (kind, seq);
CREATE INDEX IF NOT EXISTS squall_record_time ON squall_record (occurred_at, seq);
CREATE TABLE IF NOT EXISTS squall_node (
    level INTEGER NOT NULL, idx BIGINT NOT NULL, hash {blob} NOT NULL, PRIMARY KEY (level, idx));
CREATE TABLE IF NOT EXISTS squall_handle (
    id TEXT PRIMARY KEY, run_id TEXT NOT NULL, place_key TEXT NOT NULL, body {blob} NOT NULL, phase TEXT NOT NULL,
    epoch INTEGER NOT NULL, armed_epoch INTEGER NOT NULL, armed_seq BIGINT NOT NULL,
    lease_until BIGINT NOT NULL, changed_at BIGINT NOT NULL);
CREATE INDEX IF NOT EXISTS squall_handle_run ON squall_handle (run_id);
CREATE INDEX IF NOT EXISTS squall_handle_phase ON squall_handle (phase);
CREATE TABLE IF NOT EXISTS squall_lock (
    lock_key TEXT NOT NULL, run_id TEXT NOT NULL, exclusive INTEGER NOT NULL,
    since BIGINT NOT NULL, lease_until BIGINT NOT NULL, PRIMARY KEY (lock_key, run_id));
CREATE TABLE IF NOT EXISTS squall_queue (
    run_id TEXT NOT NULL, lock_key TEXT NOT NULL, exclusive INTEGER NOT NULL, ticket BIGINT NOT NULL,
    since BIGINT NOT NULL, lease_until BIGINT NOT NULL, PRIMARY KEY (run_id, lock_key));
CREATE TABLE IF NOT EXISTS squall_fence (run_id TEXT PRIMARY KEY, reason TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS squall_actor (
    run_id TEXT NOT NULL, incarnation INTEGER NOT NULL, step TEXT NOT NULL, try_number INTEGER NOT NULL,
    host TEXT NOT NULL, boot_id TEXT NOT NULL, pid BIGINT NOT NULL, start_time DOUBLE PRECISION NOT NULL,
    since BIGINT NOT NULL, PRIMARY KEY (run_id, incarnation));
CREATE TABLE IF NOT EXISTS squall_claim (
    handle_id TEXT NOT NULL, n INTEGER NOT NULL, seq BIGINT NOT NULL, PRIMARY KEY (handle_id, n));
CREATE TABLE IF NOT EXISTS squall_beat (name TEXT PRIMARY KEY, at BIGINT NOT NULL)
"""


def create(database: Database) -> None:
    """Make what is missing, under the writers' lock; raises SetupError when a newer Squall made the tables."""
    with database.transaction() as session:
        for statement in TABLES.format(blob=database.blob).strip().split(";\n"):
            session.write(statement)
        if not session.rows(database.dated_sql):
            for statement in database.dating():
                session.write(statement)
        for name, statement in database.procedures().items():
            if session.rows("SELECT to_regproc(?)", name) == [(None,)]:
                session.write(statement)
        session.write(
            "INSERT INTO squall_head (id, version, size, frontier) VALUES (1, ?, 0, ?) ON CONFLICT DO NOTHING",
            VERSION,
            b"",
        )
        row = session.row("SELECT version FROM squall_head WHERE id = 1")
    if row is None or row[0] != VERSION:
        raise SetupError(
            f"the ledger has tables of version {row and row[0]}; this Squall knows version {VERSION}",
            remedy="use the Squall that made it, or a newer one",
        )
