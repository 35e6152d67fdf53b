"""The ledger on PostgreSQL: one advisory lock gives writers their turn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import psycopg

from chaos_tasks.errors import LedgerError, SetupError, SquallError
from chaos_tasks.ledger import at_once
from chaos_tasks.ledger.at_once import WRITER_LOCK
from chaos_tasks.ledger.database import BUSY_TIMEOUT_S, Database, Row

CONNECT_TIMEOUT_S = 10
# A writer that is stopped (SIGSTOP) inside a transaction must not keep sweepers from reverting.
STOPPED_WRITER_S = 15
_CALL = at_once.CALL.replace("?", "%s").encode()
_SETTLE = f"SELECT {at_once.FLUSH} WHERE NOT pg_is_in_recovery()".encode()


class PostgresDatabase(Database):
    """Waiting writers queue in order, so that none starves."""

    now_sql = "SELECT CAST(floor(extract(epoch from clock_timestamp()) * 1000) AS BIGINT)"
    blob = "BYTEA"
    holds_sql = "position(?::bytea in header) > 0"
    driver_error = psycopg.Error
    patience_s = 10.0  # a restart, or the recovery after a crash; a longer outage ends the run

    def connect(self) -> psycopg.Connection[Any]:
        """Connect to the server; a dead one is named within ten seconds."""
        _, _, rest = self.url.partition("://")
        try:
            connection = psycopg.connect(
                f"postgresql://{rest}",
                autocommit=True,
                connect_timeout=CONNECT_TIMEOUT_S,
                application_name="squall-ledger",
            )
        except psycopg.Error as error:
            raise self._unreachable(error) from error
        connection.execute(f"SET lock_timeout = '{BUSY_TIMEOUT_S}s'")
        connection.execute(f"SET idle_in_transaction_session_timeout = '{STOPPED_WRITER_S}s'")
        connection.execute("SET synchronous_commit = on")
        connection.execute("SET client_min_messages = warning")
        return connection

    def execute(self, connection: psycopg.Connection[Any], sql: str, params: Sequence[object]) -> list[Row]:
        """Run one statement."""
        cursor = connection.execute(sql.replace("?", "%s").encode(), params or None)
        return cursor.fetchall() if cursor.description else []

    def procedures(self) -> Mapping[str, str]:
        """The one that appends."""
        return {at_once.NAME: at_once.CREATE}

    def append_at_once(self, columns: Sequence[object], actor: int) -> int | None:
        """Call the procedure."""
        called = (*columns, actor)
        row = self.outside(lambda connection: connection.execute(_CALL, called).fetchone())
        return row[0] if row else None

    def settle(self) -> None:
        """Flush; a standby has nothing that its primary has not flushed."""
        self.outside(lambda connection: connection.execute(_SETTLE))

    def begin(self) -> None:
        """Begin, and wait for the turn; the lock goes with the transaction, however it ends."""
        try:
            self.run(f"BEGIN; SELECT pg_advisory_xact_lock({WRITER_LOCK})", ())
        except SquallError:
            self._abandon()
            raise

    def lost(self, connection: psycopg.Connection[Any]) -> bool:
        """Whether the server hung up."""
        return bool(connection.closed)

    def explain(self, error: Exception) -> SquallError:
        """By SQLSTATE, never by wording."""
        state = getattr(error, "sqlstate", None) or ""
        if state.startswith("53"):
            return LedgerError(
                f"the ledger at {self.place()} cannot be written: the server is out of disk, memory or connections",
                remedy="free the resource on the database server",
            )
        if state == "55P03":
            return LedgerError(
                f"another process kept the ledger at {self.place()} locked for {BUSY_TIMEOUT_S} s",
                remedy="look in pg_stat_activity for `squall-ledger` sessions that wait or idle in a transaction",
            )
        if self._connection is not None and self.lost(self._connection):
            return LedgerError(
                f"the connection to the ledger at {self.place()} was lost",
                remedy="see that the server runs, then repeat: a record that was already written is not written twice",
            )
        return LedgerError(f"the ledger at {self.place()} refused a statement ({type(error).__name__} {state})")

    def place(self) -> str:
        """Server and database without any password."""
        parts = psycopg.conninfo.conninfo_to_dict("postgresql://" + self.url.partition("://")[2])
        return f"{parts.get('host', 'localhost')}/{parts.get('dbname', '')}"

    def _unreachable(self, error: psycopg.Error) -> SquallError:
        try:
            place = self.place()
        except psycopg.Error:
            place = "an unreadable URL"
        return SetupError(
            f"no ledger server answers at {place} ({type(error).__name__})",
            remedy="start it (`squall up` starts the embedded one), or correct the ledger URL",
        )
