"""Daemons are recognised by more than their pid, and stopped with all that they started."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from chaos_tasks.errors import SetupError
from chaos_tasks.lab import processes
from chaos_tasks.lab.processes import Daemon, DaemonSpec
from chaos_tasks.lab.waiting import wait_until

FOREVER = "import signal, sys; print('up', flush=True); signal.pause()"
STUBBORN = (
    "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True)\nwhile 1: signal.pause()"
)
QUIET = "import signal; signal.pause()"
PARENT = f"""
import subprocess, sys, signal
child = subprocess.Popen([sys.executable, "-c", {QUIET!r}])
escaped = subprocess.Popen([sys.executable, "-c", {QUIET!r}], start_new_session=True)
print(child.pid, escaped.pid, flush=True)
signal.pause()
"""


def spec(folder: Path, code: str, **more: object) -> DaemonSpec:
    return DaemonSpec(name="d", argv=(sys.executable, "-c", code), folder=folder, cwd=folder, **more)  # type: ignore[arg-type]


def start(folder: Path, code: str) -> Daemon:
    daemon = processes.start(spec(folder, code, stop_grace_s=0.3))
    return processes.await_ready(daemon, lambda: daemon.log.read_text().strip() != "", timeout_s=20)


def test_a_daemon_leads_a_session_of_its_own_and_is_found_again(short_folder: Path) -> None:
    daemon = start(short_folder, FOREVER)
    assert os.getsid(daemon.pid) == daemon.pid != os.getsid(0)
    assert processes.load_alive(short_folder, "d") == daemon
    processes.stop(daemon)
    assert not daemon.is_alive()
    assert processes.load(short_folder, "d") is None


def test_stop_is_safe_a_second_time(short_folder: Path) -> None:
    daemon = start(short_folder, FOREVER)
    processes.stop(daemon)
    processes.stop(daemon)


def test_a_daemon_that_ignores_the_request_is_killed(short_folder: Path) -> None:
    daemon = start(short_folder, STUBBORN)
    processes.stop(daemon)
    assert not daemon.is_alive()


def test_stop_ends_the_whole_group_and_end_strays_what_left_it(short_folder: Path) -> None:
    daemon = start(short_folder, PARENT)
    in_group, escaped = (processes.ProcessIdentity.of(int(pid)) for pid in daemon.log.read_text().split())
    assert in_group is not None
    assert escaped is not None
    os.kill(daemon.pid, signal.SIGKILL)
    processes.stop(daemon)
    assert not in_group.is_alive()
    assert escaped.is_alive()
    assert processes.end_strays(short_folder) == (escaped.pid,)
    assert not escaped.is_alive()


def test_what_ended_by_itself_is_no_zombie_once_strays_are_ended(short_folder: Path) -> None:
    daemon = start(short_folder, FOREVER)
    os.kill(daemon.pid, signal.SIGKILL)
    os.waitid(os.P_PID, daemon.pid, os.WEXITED | os.WNOWAIT)
    processes.end_strays(short_folder)
    assert not psutil.pid_exists(daemon.pid)


def test_a_process_that_was_given_the_pid_later_is_never_touched(short_folder: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", FOREVER], stdout=subprocess.PIPE, start_new_session=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline()
        daemon = start(short_folder, FOREVER)
        processes.stop(daemon)
        recycled = daemon.identity.model_copy(update={"pid": other.pid, "start_time": daemon.identity.start_time - 60})
        processes.stop(daemon.model_copy(update={"identity": recycled}))
        assert other.poll() is None
        other.kill()


def test_a_pid_file_of_another_boot_matches_nothing(short_folder: Path) -> None:
    daemon = start(short_folder, FOREVER)
    before = daemon.identity.model_copy(update={"boot_id": "yesterday"})
    assert not before.is_alive()
    assert processes.group_members(before) == ()
    processes.stop(daemon)


def test_a_daemon_that_dies_at_start_shows_its_last_words(short_folder: Path) -> None:
    daemon = processes.start(spec(short_folder, "raise SystemExit('no such disk')"))
    with pytest.raises(SetupError, match="no such disk"):
        processes.await_ready(daemon, lambda: False, timeout_s=20)


def test_a_missing_binary_names_the_remedy(short_folder: Path) -> None:
    missing = DaemonSpec(name="d", argv=("/nowhere/weed",), folder=short_folder, cwd=short_folder)
    with pytest.raises(SetupError, match="make setup"):
        processes.start(missing)


def test_a_damaged_pid_file_counts_as_none(short_folder: Path) -> None:
    (short_folder / "d.pid.json").write_text("{")
    assert processes.load(short_folder, "d") is None


def test_a_daemon_outlives_its_starter(short_folder: Path) -> None:
    code = f"""
from pathlib import Path
from chaos_tasks.lab import processes
folder = Path({str(short_folder)!r})
processes.start(processes.DaemonSpec(name="d", argv=({sys.executable!r}, "-c", {FOREVER!r}), folder=folder, cwd=folder))
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
    daemon = processes.load_alive(short_folder, "d")
    assert daemon is not None
    processes.stop(daemon)


def test_wait_until_says_what_it_waited_for() -> None:
    with pytest.raises(SetupError, match="the moon"):
        wait_until(lambda: False, what="the moon", timeout_s=0.05)
