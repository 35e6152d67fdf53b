"""The ledger on SQLite: one file, rollback journal, every commit on the disk before it counts."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path

from chaos_tasks.errors import LedgerError, SetupError, SquallError
from chaos_tasks.ledger.database import BUSY_TIMEOUT_S, Database, Row

PREFIX = "sqlite:///"


class SqliteDatabase(Database):
    """Never in WAL mode: SQLite 3.7.0 to 3.51.2, which most Pythons carry, can lose commits there."""

    clock_sql = "CAST(ROUND((julianday('now') - 2440587.5) * 86400000) AS INTEGER)"
    blob = "BLOB"
    dated_sql = "SELECT 1 FROM pragma_table_info('squall_record') WHERE name = 'recorded_at'"
    holds_sql = "instr(header, ?) > 0"
    driver_error = sqlite3.Error

    def __init__(self, url: str) -> None:
        super().__init__(url)
        name = url.removeprefix(PREFIX)
        if not url.startswith(PREFIX) or not name or name == ":memory:" or "?" in name:
            raise SetupError(
                f"{url!r} names no ledger file", remedy="write sqlite:///relative.db or sqlite:////absolute/path.db"
            )
        self.path = Path(name)

    def connect(self) -> sqlite3.Connection:
        """Open or create the file."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SetupError(
                f"the folder of the ledger {self.path} cannot be made: {error.strerror}",
                remedy="check the path and its rights, or set another ledger URL",
            ) from error
        connection = sqlite3.connect(self.path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
        try:
            self._prepare(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _prepare(self, connection: sqlite3.Connection) -> None:
        mode = connection.execute("PRAGMA journal_mode=DELETE").fetchone()[0]
        if mode.lower() != "delete":
            raise SetupError(
                f"the ledger {self.path} is in journal mode {mode}, in which SQLite may lose commits",
                remedy="end the other programs that have the file open, then try again",
            )
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA secure_delete=ON")  # what is erased is overwritten in the file too

    def execute(self, connection: sqlite3.Connection, sql: str, params: Sequence[object]) -> list[Row]:
        """Run one statement."""
        return connection.execute(sql, params).fetchall()

    def begin(self) -> None:
        """Take the file's write lock at once: waiting to upgrade a read lock would fail instead."""
        self.run("BEGIN IMMEDIATE", ())

    def lost(self, connection: sqlite3.Connection) -> bool:
        """A file does not hang up."""
        return False

    def explain(self, error: Exception) -> SquallError:
        """By SQLite's result code, never by its wording."""
        primary = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
        what, remedy = _MEANINGS.get(primary, (f"fails: {error}", "run `squall audit verify`, and check the disk"))
        kind = SetupError if primary in _SETUP else LedgerError
        return kind(f"the ledger {self.path} {what}", remedy=remedy)


_SETUP = (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_NOTADB)
_MEANINGS = {
    sqlite3.SQLITE_FULL: (
        "cannot be written: the disk is full",
        "free space on its disk; nothing was injected without a record",
    ),
    sqlite3.SQLITE_BUSY: (
        f"was locked by another process for {BUSY_TIMEOUT_S} s",
        "look for a paused process that has the file open, and end or continue it",
    ),
    sqlite3.SQLITE_READONLY: ("is read-only", "give this user the right to write the file and its folder"),
    sqlite3.SQLITE_PERM: ("may not be opened by this user", "give this user the right to read and write it"),
    sqlite3.SQLITE_CANTOPEN: ("cannot be opened", "check the path, its rights and that it is no folder"),
    sqlite3.SQLITE_NOTADB: ("is not a SQLite file", "set the ledger URL to another file"),
    sqlite3.SQLITE_CORRUPT: ("is damaged", "restore it from a backup; then run `squall audit verify`"),
    sqlite3.SQLITE_IOERR: ("cannot be read or written: its disk fails", "check the disk and the system log"),
}
