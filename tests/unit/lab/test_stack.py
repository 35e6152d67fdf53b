"""Which parts bring which, what a broken installation says, and how the keeper waits."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from chaos_tasks.errors import SetupError
from chaos_tasks.lab import keeper, stack
from chaos_tasks.lab.parts import Part
from chaos_tasks.lab.waiting import wait_until


def test_a_part_brings_what_it_needs_and_no_more() -> None:
    assert stack.with_needs({Part.AIRFLOW}) == {Part.AIRFLOW, Part.POSTGRES}
    assert stack.with_needs({Part.REFERENCE}) == {Part.REFERENCE, Part.S3}
    assert stack.with_needs({Part.REDIS}) == {Part.REDIS}


def test_an_incomplete_installation_names_all_that_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(stack.DISTRIBUTIONS, Part.REDIS, ("no-such-a", "no-such-b"))
    with pytest.raises(SetupError, match=r"no-such-a, no-such-b(?s:.*)make setup"):
        stack.require_installed({Part.REDIS})


def test_status_of_a_home_without_a_lab_is_all_stopped(tmp_path: Path) -> None:
    assert {each.state for each in stack.status(tmp_path)} == {stack.ProcessState.STOPPED}


def test_down_without_a_lab_still_sweeps_and_stops_nothing(tmp_path: Path) -> None:
    swept: list[int] = []
    assert stack.down(tmp_path, before_stop=lambda: swept.append(1)) == ()
    assert swept == [1]


def test_the_keeper_waits_longer_while_a_command_keeps_ending_at_once() -> None:
    pauses, pause = [], 0.0
    for _ in range(8):
        pause = keeper.next_pause(pause, ran_s=0.1)
        pauses.append(pause)
    assert pauses[:3] == [0.5, 1.0, 2.0]
    assert pauses[-1] == keeper.LONGEST_PAUSE_S
    assert keeper.next_pause(pauses[-1], ran_s=keeper.HEALTHY_AFTER_S) == keeper.FIRST_PAUSE_S


def test_the_keeper_starts_a_dead_command_again_and_ends_it_when_told(tmp_path: Path) -> None:
    log = tmp_path / "log"
    code = f"open({str(log)!r}, 'a').write('x')"
    stop = threading.Event()
    runner = threading.Thread(target=keeper.keep, args=([sys.executable, "-c", code], stop))
    runner.start()
    wait_until(lambda: log.exists() and len(log.read_text()) >= 2, what="second start", timeout_s=30)
    stop.set()
    runner.join(timeout=20)
    assert not runner.is_alive()


def test_the_lab_is_imported_without_the_heavy_libraries() -> None:
    heavy = ("boto3", "mlflow", "airflow", "dvc", "httpx")
    code = f"import sys, chaos_tasks.lab.stack; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"
