"""The ledger: an append-only, tamper-evident log of records, with handles, leases and locks in the same database."""

from __future__ import annotations

from chaos_tasks.ledger.database_ledger import DatabaseLedger, Listener
from chaos_tasks.ledger.opening import open_database

__all__ = ["DatabaseLedger", "open_ledger"]


def open_ledger(url: str, listener: Listener | None = None) -> DatabaseLedger:
    """Open or create a ledger; raises SetupError when nothing answers at the URL.

    `sqlite:///relative.db`, `sqlite:////absolute/path.db`, `postgresql://user@/database?host=/socket/directory`.
    """
    return DatabaseLedger(open_database(url), listener)
