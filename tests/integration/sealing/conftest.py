"""A ledger in SQLite with a log key, a folder and a Git repository for its signed heads."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from chaos_tasks.clients import NamedClients
from chaos_tasks.clock import SystemClock
from chaos_tasks.ledger import DatabaseLedger, open_ledger
from chaos_tasks.model.notice import Notice
from chaos_tasks.model.plan import Recorder
from chaos_tasks.model.sealing import FolderPlace, GitPlace, KeyFiles, SealingPlaces
from chaos_tasks.sealing.keyring import Keyring
from chaos_tasks.sealing.places import places_of
from chaos_tasks.sealing.sealer import Sealer
from chaos_tasks.signing.keys import SigningKey, save_signing_key
from tests.ledger_samples import note

ORIGIN = "test.example/log"


@dataclass
class Told:
    """A notifier that remembers."""

    notices: list[Notice] = field(default_factory=list)

    def tell(self, notice: Notice) -> None:
        self.notices.append(notice)


@dataclass
class Bench:
    """The parts, and ways to be unkind to the database."""

    folder: Path
    ledger: DatabaseLedger
    key: SigningKey
    told: Told
    sealer: Sealer

    def grow(self, count: int, tag: str = "a") -> None:
        for n in range(count):
            self.ledger.append(note(f"{tag}/{self.ledger.size()}/{n}"))

    def sql(self, *statements: str) -> None:
        with sqlite3.connect(self.folder / "ledger.db") as connection:
            for statement in statements:
                connection.execute(statement)
        connection.close()

    def rebuild(self, count: int) -> None:
        """A whole new log, well-formed in itself, in the place of the old one."""
        self.sql(
            "DELETE FROM squall_record", "DELETE FROM squall_node", "UPDATE squall_head SET size = 0, frontier = x''"
        )
        self.grow(count, "rebuilt")

    def with_parts(self, **parts: Any) -> Sealer:
        return replace(self.sealer, **parts)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """Empty ledger, keys made."""
    key, told = SigningKey.generate(ORIGIN), Told()
    save_signing_key(key, tmp_path / "keys" / "log.key")
    ledger = open_ledger(f"sqlite:///{tmp_path}/ledger.db")
    told_places = SealingPlaces(folders=(FolderPlace(path="heads"),), git=(GitPlace(path="repo"),))
    sealer = Sealer(
        ledger,
        Keyring(KeyFiles(origin=ORIGIN, log="keys/log.key"), tmp_path),
        places_of(told_places, tmp_path, NamedClients({})),
        (),
        SystemClock(),
        Recorder(),
        told,
    )
    yield Bench(tmp_path, ledger, key, told, sealer)
    ledger.close()
