"""The ledger on PostgreSQL: one advisory lock gives writers their turn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import psycopg

from chaos_tasks.errors import LedgerError, SetupError, SquallError
from chaos_tasks.ledger import at_once
from chaos_tasks.ledger.at_once import WRITER_LOCK
from chaos_tasks.ledger.database import BUSY_TIMEOUT_S, Database, Row
from chaos_tasks.ledger.silence import Listening, Silence, Silent, silence_of

CONNECT_TIMEOUT_S = 10
SILENT_S = 20
"""A server that cannot be reached any more is given up after so long; Linux would wait for hours."""

ALIVE = {
    "keepalives_idle": 5,
    "keepalives_interval": 5,
    "keepalives_count": SILENT_S // 5 - 1,
    "tcp_user_timeout": SILENT_S * 1000,
}
# A writer that is stopped (SIGSTOP) inside a transaction must not keep sweepers from reverting.
STOPPED_WRITER_S = 15
_CALL = at_once.CALL.replace("?", "%s").encode()
_SETTLE = f"SELECT {at_once.FLUSH} WHERE NOT pg_is_in_recovery()".encode()


class PostgresDatabase(Database):
    """Waiting writers queue in order, so that none starves."""

    clock_sql = "CAST(floor(extract(epoch from clock_timestamp()) * 1000) AS BIGINT)"
    blob = "BYTEA"
    dated_sql = "SELECT 1 FROM pg_attribute WHERE attrelid = to_regclass('squall_record') AND attname = 'recorded_at'"
    holds_sql = "position(?::bytea in header) > 0"
    driver_error = psycopg.Error
    patience_s = 10.0  # a restart, or the recovery after a crash; a longer outage ends the run

    def connect(self) -> psycopg.Connection[Any]:
        """Connect to the server; a dead one is named within ten seconds, and one that is cut off within twenty.

        One that takes what it is sent and does not answer is given up as `silence.py` says.
        """
        connection = self._connected()
        connection.silence = self._silence
        try:
            connection.execute(f"SET lock_timeout = '{BUSY_TIMEOUT_S}s'")
            connection.execute(f"SET idle_in_transaction_session_timeout = '{STOPPED_WRITER_S}s'")
            connection.execute("SET synchronous_commit = on")
            connection.execute("SET client_min_messages = warning")
        except BaseException:
            connection.close()
            raise
        return connection

    def _connected(self) -> Listening:
        if self._silence.is_left():
            raise self._silent()
        unanswered, _ = False, self._silence.asked()
        try:
            return Listening.connect(
                f"postgresql://{self.url.partition('://')[2]}",
                autocommit=True,
                connect_timeout=max(2, min(CONNECT_TIMEOUT_S, int(self._silence.limit_s / 2))),
                application_name="squall-ledger",
                **self._unless_told(ALIVE),
            )
        except psycopg.errors.ConnectionTimeout as error:
            unanswered = True
            self._silence.leave()
            raise self._unreachable(error) from error
        except psycopg.Error as error:
            raise self._unreachable(error) from error
        finally:
            self._silence.ended(unanswered=unanswered)

    def heed(self, lease_s: float) -> None:
        """Wait for an answer no longer than whoever keeps this lease can."""
        self._silence.heed(lease_s)

    def is_silent(self) -> bool:
        """Whether it has been waited for long enough, in this process."""
        return self._silence.is_too_long()

    @property
    def _silence(self) -> Silence:
        return silence_of(self.url)

    def execute(self, connection: psycopg.Connection[Any], sql: str, params: Sequence[object]) -> list[Row]:
        """Run one statement."""
        cursor = connection.execute(sql.replace("?", "%s").encode(), params or None)
        return cursor.fetchall() if cursor.description else []

    def dating(self) -> Sequence[str]:
        """The default comes after the column: what was written before stays without a time, instead of getting today's.

        By it the procedure that appends, and any older Squall, date what they write.
        """
        default = f"ALTER TABLE squall_record ALTER COLUMN recorded_at SET DEFAULT {self.clock_sql}"
        return (*super().dating(), default)

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
        if isinstance(error, Silent):
            return self._silent()
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

    def _silent(self) -> LedgerError:
        return LedgerError(
            f"the ledger's server at {self.place()} takes what it is asked, and does not answer",
            remedy="see whether it is frozen, or its disk stalls, then repeat: a record that is there already "
            "is not written twice",
        )

    def place(self) -> str:
        """Server and database without any password."""
        parts = psycopg.conninfo.conninfo_to_dict("postgresql://" + self.url.partition("://")[2])
        return f"{parts.get('host', 'localhost')}/{parts.get('dbname', '')}"

    def _unless_told(self, options: Mapping[str, int]) -> dict[str, Any]:
        """Without what the URL says itself."""
        told = psycopg.conninfo.conninfo_to_dict("postgresql://" + self.url.partition("://")[2])
        return {name: value for name, value in options.items() if name not in told}

    def _unreachable(self, error: psycopg.Error) -> SquallError:
        try:
            place = self.place()
        except psycopg.Error:
            place = "an unreadable URL"
        return SetupError(
            f"no ledger server answers at {place} ({type(error).__name__})",
            remedy="start it (`squall up` starts the embedded one), or correct the ledger URL",
        )
