"""A disk that fills up while a fault is in: Squall's home with workspaces and trials, or the ledger's SQLite alone.

The disk is a real one of a few megabytes, a tmpfs; where this user may not mount one, the tests say so and are skipped.
"""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from chaos_tasks.model.handle import Phase
from tests.integration.outages.laboratory import Outages, make_outages

MS_NOSUID_NODEV = 6
MNT_DETACH = 2
SIZE = 300 * 2**20  # a guard asks for 200 MB before it begins


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A small disk of its own, mounted for this module."""
    folder = tmp_path_factory.mktemp("disk") / "small"
    folder.mkdir()
    libc = ctypes.CDLL(None, use_errno=True)
    options = f"size={SIZE}".encode()
    if libc.mount(b"squall-test", os.fsencode(folder), b"tmpfs", MS_NOSUID_NODEV, options) != 0:
        pytest.skip(f"this user may not mount a disk ({errno.errorcode.get(ctypes.get_errno())})")
    yield folder
    libc.umount2(os.fsencode(folder), MNT_DETACH)


@pytest.fixture(scope="module")
def built(disk: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outages]:
    outages = make_outages(tmp_path_factory.mktemp("full") / "project")
    yield outages
    outages.tiny.clean_up()


def fill(disk: Path) -> Callable[[], None]:
    """Leave not one byte; returns what frees it again."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as stream:
        for size in (2**20, 4096, 1):
            with suppress(OSError):
                while stream.write(b"x" * size):
                    pass
    assert shutil.disk_usage(disk).free == 0
    return lambda: ballast.unlink(missing_ok=True)


def test_a_full_disk_of_the_ledger_has_the_fault_taken_out_and_recorded_once_there_is_room(
    built: Outages, disk: Path
) -> None:
    url = f"sqlite:///{disk}/ledger.db"
    built.tiny.environment = {"SQUALL_LEDGER_URL": url}
    run = built.wait_under_fault("full-ledger", lease="20s")
    free = fill(disk)
    try:
        built.go_on()
        said = built.ended(run)
        assert said.code == 3, said.text
        assert "the disk is full" in said.err
        assert "-> bring the ledger back" in said.err
        assert not built.tiny.project.marks(), "undone without a record"
    finally:
        free()
    assert built.closed_later("full-ledger") == "aborted"
    built.tiny.clean_up()


def test_a_full_disk_of_home_and_workspace_has_the_fault_taken_out_at_once(built: Outages, disk: Path) -> None:
    """The ledger is elsewhere, as it is where PostgreSQL has a disk of its own."""
    home = disk / "home"
    ledger = built.tiny.root / "elsewhere.db"
    built.tiny.environment = {"SQUALL_HOME": str(home), "SQUALL_LEDGER_URL": f"sqlite:///{ledger}"}
    marks = lambda: list(home.glob("runs/*/**/.tiny-mark"))  # noqa: E731
    run = built.wait_under_fault("full-home", marks=marks)
    free = fill(disk)
    try:
        built.go_on()
        said = built.ended(run)
        assert said.code in (1, 3, 4), said.text
        assert not marks()
        assert built.phases("full-home") == [Phase.REVERTED], "by the run itself, on a disk that is still full"
    finally:
        free()
    assert built.put_right("full-home") in ("inconclusive", "aborted", "deviated")
    with sqlite3.connect(ledger) as raw:
        assert raw.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    raw.close()


def test_a_full_disk_of_ledger_and_home_both_has_the_fault_taken_out(built: Outages, disk: Path) -> None:
    """As they are by default: nothing can be written down, neither a record nor what the trial was."""
    home = disk / "both"
    built.tiny.environment = {"SQUALL_HOME": str(home), "SQUALL_LEDGER_URL": f"sqlite:///{home}/ledger.db"}
    marks = lambda: list(home.glob("runs/*/**/.tiny-mark"))  # noqa: E731
    run = built.wait_under_fault("full-both", marks=marks, lease="20s")
    free = fill(disk)
    try:
        built.go_on()
        said = built.ended(run)
        assert said.code == 3, said.text
        assert not marks(), "undone without a record"
    finally:
        free()
    assert built.closed_later("full-both") == "aborted"
