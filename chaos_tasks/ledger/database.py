"""One database behind two drivers: serialised write transactions, reads that reconnect, errors that say what to do.

A ``Database`` may be used from several threads (they take turns) and after a fork (the child connects anew and
leaves the parent's connection alone).  SQL is written with ``?`` and without literal percent signs.
"""

from __future__ import annotations

import os
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

from chaos_tasks.clock import SystemClock
from chaos_tasks.errors import LedgerError, SquallError
from chaos_tasks.model.record import Stored

BUSY_TIMEOUT_S = 60  # a slow disk and 8 writers have been seen to make one wait 20 s
AGAIN_S = 0.2
Row = tuple[Any, ...]
T = TypeVar("T")

_inherited: list[object] = []  # connections of a parent process: kept, for closing one would hang up on the parent


class Session:
    """One open transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.written: list[Stored] = []
        """Records that this transaction adds to the log: nobody may be told of them before it is committed."""

    def rows(self, sql: str, *params: object) -> list[Row]:
        """All rows of a query."""
        return self._database.run(sql, params)

    def row(self, sql: str, *params: object) -> Row | None:
        """The first row of a query, or None."""
        rows = self._database.run(sql, params)
        return rows[0] if rows else None

    def write(self, sql: str, *params: object) -> None:
        """Run a statement that returns nothing."""
        self._database.run(sql, params)

    @property
    def clock_sql(self) -> str:
        """The database's clock, as an expression within a statement."""
        return self._database.clock_sql

    def now_ms(self) -> int:
        """The database's clock, milliseconds since 1970 in UTC."""
        return int(self._database.run(self._database.now_sql, ())[0][0])


class Database(ABC):
    """A connection that is made when it is first needed."""

    clock_sql: str
    """Its clock as an expression: milliseconds since 1970 in UTC."""
    blob: str
    dated_sql: str
    """One row where records have a column for when they came in."""
    holds_sql: str
    """Whether a record's header holds some bytes: headers are canonical, so that a member has one form only."""
    driver_error: type[Exception]
    patience_s: float = 0.0
    """How long one that answered before is waited for: a server that restarts is no reason to end a run."""

    def __init__(self, url: str, clock: SystemClock | None = None) -> None:
        self.url = url
        self._clock = clock or SystemClock()
        self._answered = False
        self._given_up = False
        self._pid = os.getpid()
        self._turn = threading.RLock()
        self._connection: Any = None
        self._in_transaction = False

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """A write transaction; one at a time over all processes.  Rolled back when the block raises."""
        with self._my_turn():
            if self._in_transaction:
                raise LedgerError("a ledger transaction was begun within another one")
            self._retried(self.begin)
            self._in_transaction = True
            try:
                yield Session(self)
                self.run("COMMIT", ())
            except BaseException:
                self._abandon()
                raise
            finally:
                self._in_transaction = False

    def read(self, sql: str, *params: object) -> list[Row]:
        """Rows of a query outside any transaction; a lost connection is made again, within ``patience_s``."""
        with self._my_turn():
            return self._retried(lambda: self.run(sql, params))

    @property
    def now_sql(self) -> str:
        """Asks its clock."""
        return f"SELECT {self.clock_sql}"

    def now_ms(self) -> int:
        """The database's clock, milliseconds since 1970 in UTC."""
        return int(self.read(self.now_sql)[0][0])

    def append_at_once(self, columns: Sequence[object], actor: int) -> int | None:
        """Append a row of the log in one round trip, as incarnation ``actor`` (0: nobody's) of its run.

        Returns its number, once it is on the disk; None where the database has no such way, or leaves the case to a
        transaction.  Asked again after a lost connection: a record that was written is not written twice.
        """
        return None

    def settle(self) -> None:  # noqa: B027  (most databases show nothing before it is on the disk)
        """Return when all that was read is on the disk: before it is signed, or told to somebody outside."""

    def heed(self, lease_s: float) -> None:  # noqa: B027  (a file answers, or its disk stops all that is on it)
        """Who uses it keeps a lease of so many seconds: what takes too long for that is given up."""

    def is_silent(self) -> bool:
        """Whether it has not answered for so long that it is not worth waiting any more."""
        return False

    def dating(self) -> Sequence[str]:
        """Statements that give records the column for when they came in."""
        return ("ALTER TABLE squall_record ADD COLUMN recorded_at BIGINT",)

    def procedures(self) -> Mapping[str, str]:
        """Procedures that the database should have: name, and the statement that makes it."""
        return {}

    def run(self, sql: str, params: Sequence[object]) -> list[Row]:
        """Run one statement on the open connection; raises LedgerError or SetupError in the driver's place."""
        return self.guarded(lambda connection: self.execute(connection, sql, params))

    def guarded(self, act: Callable[[Any], T]) -> T:
        """Do something on the open connection; raises LedgerError or SetupError in the driver's place."""
        try:
            if self._connection is None:
                self._connection = self.connect()
            result = act(self._connection)
        except self.driver_error as error:
            raise self.explain(error) from error
        self._answered, self._given_up = True, False
        return result

    def outside(self, act: Callable[[Any], T]) -> T:
        """Do something that may be done twice, in no transaction; a lost connection is made again."""
        with self._my_turn():
            if self._in_transaction:
                raise LedgerError("a ledger transaction was begun within another one")
            return self._retried(lambda: self.guarded(act))

    def close(self) -> None:
        """Give back the connection; the next use makes a new one."""
        with self._my_turn():
            self._drop()

    @abstractmethod
    def connect(self) -> Any:
        """A new connection in autocommit mode."""

    @abstractmethod
    def execute(self, connection: Any, sql: str, params: Sequence[object]) -> list[Row]:
        """Run one statement."""

    @abstractmethod
    def begin(self) -> None:
        """Begin a transaction and wait for the turn to write."""

    @abstractmethod
    def lost(self, connection: Any) -> bool:
        """Whether the connection is gone, so that a new one may help."""

    @abstractmethod
    def explain(self, error: Exception) -> SquallError:
        """What a driver's error means and what to do about it."""

    @contextmanager
    def _my_turn(self) -> Iterator[None]:
        if self._pid != os.getpid():
            _inherited.append((self._connection, self._turn))
            self._pid, self._turn = os.getpid(), threading.RLock()
            self._connection, self._in_transaction = None, False
        with self._turn:
            yield

    def _retried(self, act: Callable[[], T]) -> T:
        """Once more at once; then again and again for ``patience_s``, but only in the first call of an outage."""
        deadline = self._clock.monotonic() + (0.0 if self._given_up else self.patience_s)
        tries = 0
        while True:
            try:
                return act()
            except SquallError:
                if not self._is_away():
                    raise
                late = self._clock.monotonic() >= deadline or self.is_silent()
                if late and tries:
                    self._given_up = True
                    raise
            self._drop()
            if tries:
                self._clock.sleep(AGAIN_S)
            tries += 1

    def _is_away(self) -> bool:
        """Whether it was there before, and is not now."""
        if self._connection is None:
            return self._answered
        return self.lost(self._connection)

    def _abandon(self) -> None:
        """Undo; a connection that cannot even do that is not used again."""
        try:
            self.run("ROLLBACK", ())
        except SquallError:
            self._drop()

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(self.driver_error):
                connection.close()
