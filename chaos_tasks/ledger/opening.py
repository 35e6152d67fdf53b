"""Which database a URL means; the driver of the other one is not imported."""

from __future__ import annotations

from chaos_tasks.errors import SetupError
from chaos_tasks.ledger.database import Database


def open_database(url: str) -> Database:
    """A database by URL: `sqlite:///relative.db`, `sqlite:////absolute.db`, `postgresql://user@/db?host=/socket/dir`."""
    scheme = url.partition("://")[0].partition("+")[0]
    if scheme == "sqlite":
        from chaos_tasks.ledger.sqlite import SqliteDatabase

        return SqliteDatabase(url)
    if scheme in ("postgresql", "postgres"):
        from chaos_tasks.ledger.postgres import PostgresDatabase

        return PostgresDatabase(url)
    raise SetupError(
        f"the ledger URL begins with {url.partition(':')[0]!r}, which is no database that Squall knows",
        remedy="write sqlite:///squall.db or postgresql://user@host/database",
    )
