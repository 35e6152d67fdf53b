"""A ledger server that a network has cut off is given up within a lease, and not after the hours that Linux waits."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from chaos_tasks.errors import SetupError
from chaos_tasks.ledger.postgres import SILENT_S, PostgresDatabase
from chaos_tasks.ledger.silence import Listening
from chaos_tasks.model.experiment import Guards
from chaos_tasks.workloads.lease import GIVEN_UP_SHARE


def asked(url: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the driver is asked for."""
    told: dict[str, Any] = {}

    def connect(where: str, **options: Any) -> None:
        told.update(options)
        raise psycopg.OperationalError("nobody is there")

    monkeypatch.setattr(Listening, "connect", connect)
    with pytest.raises(SetupError):
        PostgresDatabase(url).connect()
    return told


def test_a_silent_connection_is_given_up_in_time_to_end_before_the_lease(monkeypatch: pytest.MonkeyPatch) -> None:
    told = asked("postgresql://squall@db.example/squall", monkeypatch)
    probes_s = told["keepalives_idle"] + told["keepalives_interval"] * told["keepalives_count"]
    assert probes_s <= SILENT_S  # while it waits for an answer
    assert told["tcp_user_timeout"] <= SILENT_S * 1000  # while nobody takes what it sends
    again_s = PostgresDatabase.patience_s + told["connect_timeout"]
    assert SILENT_S + again_s < Guards().lease.total_seconds() * GIVEN_UP_SHARE


def test_what_the_url_says_of_it_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    told = asked("postgresql://squall@db.example/squall?tcp_user_timeout=5000&keepalives_idle=1", monkeypatch)
    assert {"tcp_user_timeout", "keepalives_idle"} & set(told) == set()
    assert "keepalives_count" in told
