"""A process is recognised beyond its pid, and all that belongs to it is ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from chaos_tasks.clock import SystemClock
from chaos_tasks.model.place import ProcessPlace
from chaos_tasks.targets import process
from chaos_tasks.targets.process import (
    MARK_VARIABLE,
    ProcessIdentity,
    end_tree,
    gpu_processes,
    group,
    is_alive,
    is_stopped,
    place_of,
    tree,
)

# A leader that ignores SIGTERM, with one child in its group and one that left for a session of its own.
FAMILY = """
import os, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
inside = subprocess.Popen(["sleep", "600"])
outside = subprocess.Popen(["sleep", "600"], start_new_session=True)
print(inside.pid, outside.pid, flush=True)
time.sleep(600)
"""

YEAR_S = 365 * 86400.0


class Family:
    """The leader, its two children, and their place."""

    def __init__(self, folder: Path) -> None:
        environment = {"PATH": os.environ["PATH"], MARK_VARIABLE: f"{folder}#1"}
        self.leader = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", FAMILY],
            env=environment,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        assert self.leader.stdout is not None
        self.inside, self.outside = map(int, self.leader.stdout.readline().split())
        place = place_of(self.leader.pid, trial_id=str(folder), out=str(folder), checkpoints=str(folder))
        self.place: ProcessPlace = place

    def alive(self) -> set[int]:
        return {pid for pid in (self.leader.pid, self.inside, self.outside) if ProcessIdentity.of(pid) is not None}


@pytest.fixture
def family(tmp_path: Path) -> Iterator[Family]:
    made = Family(tmp_path)
    yield made
    end_tree(made.place, 0.0)
    made.leader.wait(10)
    assert made.leader.stdout is not None
    made.leader.stdout.close()


def test_the_whole_tree_ends_also_what_left_the_group_and_ignores_a_request(family: Family) -> None:
    assert {one.pid for one in group(family.place)} == {family.leader.pid, family.inside}
    assert {one.pid for one in tree(family.place)} == {family.leader.pid, family.inside, family.outside}
    ended = end_tree(family.place, 0.2)
    assert set(ended.found) == {family.leader.pid, family.inside, family.outside}
    assert family.leader.pid in ended.killed
    assert ended.survivors == ()
    assert family.alive() == set()


def test_orphans_are_ended_when_their_leader_is_gone(family: Family) -> None:
    family.leader.kill()
    family.leader.wait(10)
    assert not is_alive(family.place)
    assert set(end_tree(family.place, 1.0).found) == {family.inside, family.outside}
    assert family.alive() == set()


def test_a_stopped_family_is_ended_too(family: Family) -> None:
    for one in group(family.place):
        one.send(signal.SIGSTOP)
    clock, deadline = SystemClock(), SystemClock().monotonic() + 5
    while not is_stopped(family.leader.pid) and clock.monotonic() < deadline:
        clock.sleep(0.01)
    assert is_alive(family.place)
    end_tree(family.place, 0.2)
    assert family.alive() == set()


@pytest.mark.parametrize(
    "other",
    [{"start_time": 1.0}, {"boot_id": "another boot"}, {"host": "another-host"}],
    ids=["recycled pid", "another boot", "another host"],
)
def test_a_process_that_only_shares_the_pid_is_never_touched(family: Family, other: dict[str, object]) -> None:
    stranger = family.place.model_copy(update={**other, "trial_id": "another trial"})
    assert not is_alive(stranger)
    assert not ProcessIdentity.of_place(stranger).send(signal.SIGKILL)
    assert tree(stranger) == ()
    assert end_tree(stranger, 0.0).found == ()
    assert len(family.alive()) == 3


def test_a_process_is_known_again_after_the_wall_clock_was_set(family: Family, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel tells the boot time by the wall clock: what is added to it moves with every step."""
    told = psutil.boot_time()
    for module in (psutil, psutil._pslinux):
        monkeypatch.setattr(module, "boot_time", lambda: told + 3600)
    assert is_alive(family.place)
    assert end_tree(family.place, 0.1).survivors == ()
    assert not is_alive(family.place)


def test_a_start_by_the_wall_clock_in_an_older_record_is_understood(family: Family) -> None:
    old = family.place.model_copy(update={"start_time": psutil.Process(family.leader.pid).create_time()})
    assert is_alive(old)
    assert not is_alive(old.model_copy(update={"start_time": old.start_time - 60}))


def test_a_machine_that_is_up_for_years_still_knows_its_processes(
    family: Family, monkeypatch: pytest.MonkeyPatch
) -> None:
    began = process._start_time
    monkeypatch.setattr(process, "_start_time", lambda pid: began(pid) and began(pid) + 10 * YEAR_S)
    place = family.place.model_copy(update={"start_time": family.place.start_time + 10 * YEAR_S})
    assert is_alive(place)
    assert len(end_tree(place, 0.1).found) == 3
    assert not is_alive(place)


def test_ending_twice_is_ending_once(family: Family) -> None:
    end_tree(family.place, 0.2)
    assert end_tree(family.place, 0.2).found == ()


def test_a_machine_without_gpu_says_so() -> None:
    answer = gpu_processes()
    assert answer.available or answer.reason.startswith("no GPU")
