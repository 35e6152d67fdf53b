"""Parts of the lab brought up and down for real: nothing twice, nothing left, nothing lost."""

from __future__ import annotations

import os
import signal
import socket
from dataclasses import replace
from pathlib import Path

import psutil
import psycopg
import pytest
import redis

from chaos_tasks.errors import SetupError
from chaos_tasks.lab import processes, stack
from chaos_tasks.lab.parts import LabOptions, Part
from chaos_tasks.lab.ports import LabPorts
from chaos_tasks.lab.stack import ProcessState
from chaos_tasks.lab.state import LabState, load_state
from chaos_tasks.lab.waiting import wait_until

PARTS = (Part.POSTGRES, Part.REDIS)


def options(home: Path) -> LabOptions:
    return LabOptions(home=home, ports=None)


def pids(home: Path) -> dict[str, int]:
    return {each.name: each.pid for each in stack.status(home) if each.pid is not None}


def write_everywhere(lab: LabState) -> None:
    with redis.Redis.from_url(lab.redis_url) as client:
        client.xadd("s", {"n": 1})
    with psycopg.connect(lab.ledger_url) as connection:
        connection.execute("create table kept (n int)")


def kept(lab: LabState) -> tuple[int, int]:
    with redis.Redis.from_url(lab.redis_url) as client:
        records = int(client.xlen("s"))
    with psycopg.connect(lab.ledger_url) as connection:
        row = connection.execute("select count(*) from pg_tables where tablename = 'kept'").fetchone()
    return records, row[0] if row else 0


def test_a_second_up_leaves_healthy_parts_alone_and_a_later_one_finds_the_data(short_folder: Path) -> None:
    first = stack.up(options(short_folder), PARTS)
    write_everywhere(first)
    before = pids(short_folder)
    assert set(before) == {"postgres", "redis"}
    assert stack.up(options(short_folder), PARTS) == first
    assert pids(short_folder) == before
    assert set(stack.down(short_folder)) == {"postgres", "redis"}
    assert not processes.strays(short_folder)
    again = stack.up(options(short_folder), PARTS)
    assert kept(again) == (1, 1)
    stack.down(short_folder)


def test_up_restarts_only_what_died_and_the_data_is_there(short_folder: Path) -> None:
    lab = stack.up(options(short_folder), PARTS)
    write_everywhere(lab)
    before = pids(short_folder)
    os.kill(before["redis"], signal.SIGKILL)
    wait_until(lambda: "redis" not in pids(short_folder), what="death of redis")
    assert {each.name: each.state for each in stack.status(short_folder)}["redis"] is ProcessState.DEAD
    stack.up(options(short_folder), PARTS)
    after = pids(short_folder)
    assert after["postgres"] == before["postgres"]
    assert after["redis"] != before["redis"]
    assert kept(lab) == (1, 1)
    stack.down(short_folder)


def test_a_killed_postgres_comes_back_with_what_it_had_committed(short_folder: Path) -> None:
    lab = stack.up(options(short_folder), PARTS)
    write_everywhere(lab)
    os.kill(pids(short_folder)["postgres"], signal.SIGKILL)
    wait_until(lambda: "postgres" not in pids(short_folder), what="death of postgres")
    assert kept(stack.up(options(short_folder), PARTS)) == (1, 1)
    stack.down(short_folder)


def test_a_failed_start_keeps_what_works_and_down_clears_it(short_folder: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        ports = LabPorts.free().model_copy(update={"redis": taken.getsockname()[1]})
        with pytest.raises(SetupError, match="SQUALL_PORT_REDIS"):
            stack.up(replace(options(short_folder), ports=ports), PARTS)
    assert set(pids(short_folder)) == {"postgres"}
    assert stack.down(short_folder) == ("postgres",)
    assert not processes.strays(short_folder)


def test_a_sweep_that_fails_leaves_everything_running(short_folder: Path) -> None:
    stack.up(options(short_folder), (Part.REDIS,))

    def sweep() -> None:
        raise SetupError("still injected")

    with pytest.raises(SetupError, match="still injected"):
        stack.down(short_folder, before_stop=sweep)
    assert set(pids(short_folder)) == {"redis"}
    stack.down(short_folder)


def test_a_running_lab_cannot_be_moved_to_other_ports(short_folder: Path) -> None:
    stack.up(options(short_folder), (Part.REDIS,))
    with pytest.raises(SetupError, match="squall down"):
        stack.up(replace(options(short_folder), ports=LabPorts.free()), (Part.REDIS,))
    stack.down(short_folder)


def test_everything_listens_on_loopback_only(short_folder: Path) -> None:
    stack.up(options(short_folder), (Part.POSTGRES, Part.REDIS, Part.S3, Part.AWS))
    listening = [
        connection.laddr.ip
        for process in (psutil.Process(pid) for pid in pids(short_folder).values())
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    ]
    assert listening
    assert set(listening) == {"127.0.0.1"}
    stack.down(short_folder)


def test_the_sweeper_is_started_again_when_it_is_killed(short_folder: Path) -> None:
    sweeper = ("/bin/sh", "-c", "echo up; exec sleep 600")
    stack.up(replace(options(short_folder), sweeper=sweeper), (Part.SWEEPER,))
    keeper = psutil.Process(pids(short_folder)["sweeper"])
    wait_until(lambda: len(keeper.children()) == 1, what="start of the sweeper")
    (first,) = keeper.children()
    first.kill()
    wait_until(lambda: [c for c in keeper.children() if c != first] != [], what="its restart")
    stack.down(short_folder)
    assert not keeper.is_running()
    known = load_state(short_folder)
    assert known is not None
    assert known.ledger_url.startswith("postgresql://")
