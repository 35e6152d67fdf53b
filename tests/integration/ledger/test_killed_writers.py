"""Eight writers under `kill -9`, and a server that crashes under them: nothing acknowledged is lost, nothing doubled.

Every writer works in a loop, so that a kill or a crash meets it in the middle of an append, a move or a lock.
"""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from chaos_tasks.lab import postgres, processes
from chaos_tasks.lab.postgres import Postgres
from chaos_tasks.lab.waiting import wait_until
from chaos_tasks.ledger import open_ledger
from chaos_tasks.ledger.verify import verify
from chaos_tasks.model.handle import Phase
from chaos_tasks.model.record import RecordKind
from tests.integration.ledger import whole_runs

WRITERS, KILLS, LINES_BETWEEN, PATIENCE_S = 8, 6, 6, 240.0
PHASE_AFTER = {RecordKind.FAULT_ARMED: Phase.ARMED, **{kind: to for _, to, kind in whole_runs.MOVES}}
IN_ORDER = list(PHASE_AFTER.values())


class Writer:
    """One running writer and the lines that it has said so far."""

    def __init__(self, url: str, name: str, first: int = 0) -> None:
        command = [sys.executable, "-m", "tests.integration.ledger.whole_runs", url, name, str(first)]
        self.name = name
        self._lines: list[str] = []
        self._news = threading.Condition()
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self._reader = threading.Thread(target=self._listen)
        self._reader.start()

    @property
    def acknowledged(self) -> list[str]:
        """Keys of records that the ledger said are written."""
        return [line for line in self._said() if line[0] not in "!="]

    @property
    def refusals(self) -> list[str]:
        """What the ledger said when it could not be reached."""
        return [line for line in self._said() if line[0] == "!"]

    @property
    def runs_ended(self) -> int:
        """Number of the run that it is at."""
        return max((int(line[2:]) + 1 for line in self._said() if line[0] == "="), default=0)

    def wait_for(self, more: int) -> None:
        """Wait until so many more keys were acknowledged than now."""
        goal = len(self.acknowledged) + more
        with self._news:
            done = self._news.wait_for(lambda: sum(line[0] not in "!=" for line in self._lines) >= goal, PATIENCE_S)
        assert done, f"{self.name} said nothing more after {self._said()[-3:]}"

    def wait_for_refusal(self) -> None:
        """Wait until it was refused once."""
        with self._news:
            assert self._news.wait_for(lambda: any(line[0] == "!" for line in self._lines), PATIENCE_S)

    def kill(self) -> None:
        """SIGKILL, and all that it managed to say."""
        self._process.kill()
        self._process.wait()
        self._reader.join()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                if line.endswith("\n"):  # what was cut off by the kill was not said
                    with self._news:
                        self._lines.append(line.strip())
                        self._news.notify_all()

    def _said(self) -> list[str]:
        with self._news:
            return list(self._lines)


@contextmanager
def eight_writers(url: str) -> Iterator[list[Writer]]:
    open_ledger(url).close()
    writers = [Writer(url, f"w{n}") for n in range(WRITERS)]
    try:
        yield writers
    finally:
        for one in writers:
            one.kill()


@contextmanager
def one_writer(url: str) -> Iterator[Writer]:
    last = Writer(url, "last")
    try:
        yield last
    finally:
        last.kill()


def assert_nothing_lost(url: str, acknowledged: set[str]) -> None:
    """Each acknowledged key is there, each key once, the tree is whole, and each handle is where its records say."""
    ledger = open_ledger(url)
    stored = list(ledger.records())
    keys = Counter(one.record.idem_key for one in stored)
    assert acknowledged <= set(keys)
    assert set(keys.values()) == {1}
    assert [one.seq for one in stored] == list(range(len(stored)))
    checked = verify(ledger)
    assert (checked.integrity.first, checked.order.first, checked.completeness.first) == ((), (), ())
    told: dict[str, list[Phase]] = {}
    for one in stored:
        if one.record.kind in PHASE_AFTER:
            told.setdefault(one.record.handle_id, []).append(PHASE_AFTER[one.record.kind])
    for state in ledger.handles():
        assert told[state.handle.id] == IN_ORDER[: 1 + IN_ORDER.index(state.phase)]
    ledger.close()


def assert_goes_on(url: str) -> None:
    """A run that nobody killed can be written after all that."""
    with one_writer(url) as last:
        last.wait_for(10)
    assert last.refusals == []


def crash(server: Postgres, how: signal.Signals) -> None:
    """End the server at once, and wait until no process of it is left."""
    server.daemon.identity.send(how)
    folder = server.daemon.log.parent.parent
    wait_until(lambda: not processes.strays(folder), what="end of the crashed server", timeout_s=30)


def test_eight_writers_with_random_kills_lose_and_double_nothing(url: str) -> None:
    draw, dead = random.Random(4), list[Writer]()
    with eight_writers(url) as writers:
        for _ in range(KILLS):
            at = draw.randrange(WRITERS)
            writers[at].wait_for(draw.randint(1, LINES_BETWEEN))
            writers[at].kill()
            dead.append(writers[at])
            writers[at] = Writer(url, dead[-1].name, dead[-1].runs_ended)
        for one in writers:
            one.wait_for(1)
    everyone = [*dead, *writers]
    assert not any(one.refusals for one in everyone)
    assert_nothing_lost(url, {key for one in everyone for key in one.acknowledged})
    assert_goes_on(url)


@pytest.mark.parametrize("how", [signal.SIGQUIT, signal.SIGKILL], ids=["immediate", "killed"])
def test_a_server_crash_in_mid_append_loses_nothing_and_the_writers_go_on(
    short_folder: Path, how: signal.Signals
) -> None:
    """SIGQUIT is what `pg_ctl stop -m immediate` sends: no checkpoint, recovery from the log at the next start."""
    server = postgres.start(short_folder / "pg", databases=(), durable=True, owner=short_folder)
    url = postgres.create_database(server, "ledger")
    with eight_writers(url) as writers:
        for one in writers:
            one.wait_for(10)
        crash(server, how)
        for one in writers:
            one.wait_for_refusal()
        postgres.start(short_folder / "pg", databases=(), durable=True, owner=short_folder)
        for one in writers:
            one.wait_for(10)
    refusals = [line for one in writers for line in one.refusals]
    assert all("with remedy" in line for line in refusals), refusals
    assert_nothing_lost(url, {key for one in writers for key in one.acknowledged})
    assert_goes_on(url)
