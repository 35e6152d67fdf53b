"""One ledger per test, on each database."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from chaos_tasks.ledger import DatabaseLedger, open_ledger


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a new, empty ledger."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/ledger.db"
    dsn: str = request.getfixturevalue("pg_dsn")
    return dsn


@pytest.fixture
def ledger(url: str) -> Iterator[DatabaseLedger]:
    """An open ledger at that URL."""
    opened = open_ledger(url)
    yield opened
    opened.close()
