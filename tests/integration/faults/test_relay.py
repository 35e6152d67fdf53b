"""The relay loses, repeats and reorders nothing by itself, whatever ends it."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from chaos_tasks.lab import processes
from chaos_tasks.lab import redis_server as redis_part
from chaos_tasks.lab.ports import LabPorts
from chaos_tasks.lab.redis_server import RedisServer
from chaos_tasks.lab.waiting import wait_until
from chaos_tasks.targets.stream import Keys, RelayFault, put_fault, read_counts
from tests.integration.faults.relays import Line, relaying
from tests.servers import unique


@pytest.fixture
def line(redis_server: RedisServer) -> Line:
    return Line(redis_server.url, unique("flights"))


def slow(handle: str = "h", **changes: object) -> RelayFault:
    given = {"handle": handle, "seed": 7, "action": "delay", "fraction": 1.0, "delay_ms": 60_000.0, **changes}
    return RelayFault.model_validate(given)


def test_without_a_fault_every_record_passes_once_in_order(line: Line) -> None:
    line.feed(500)
    with relaying(line):
        line.feed(2_500, start=500)
        assert line.await_out(3_000) == list(range(3_000))
    assert line.counters() == {"seen": 3_000, "passed": 3_000}


def test_repeated_fields_of_a_record_survive(line: Line) -> None:
    with relaying(line):
        line.client.execute_command("XADD", line.source, "*", "k", "1", "k", "2", "n", "0")
        line.await_out(1)
    line.client.set_response_callback("XRANGE", lambda answer, **_: answer)
    assert line.client.execute_command("XRANGE", line.sink, "-", "+")[0][1] == [b"k", b"1", b"k", b"2", b"n", b"0"]


def test_records_held_at_the_end_are_drained(line: Line) -> None:
    put_fault(line.client, Keys(prefix=line.prefix), slow(), ttl_s=60)
    with relaying(line):
        line.feed(50)
        wait_until(lambda: line.counters().get("delayed") == 50, what="the delay", interval_s=0.01)
        assert line.came_out() == []
    assert line.came_out() == list(range(50))


@pytest.mark.parametrize("reorder", [False, True])
def test_a_killed_relay_leaves_nothing_lost_or_repeated(line: Line, reorder: bool) -> None:
    keys = Keys(prefix=line.prefix)
    put_fault(line.client, keys, slow(fraction=0.5, reorder=reorder), ttl_s=60)
    process = line.start()
    line.feed(400)
    wait_until(lambda: line.counters().get("seen") == 400, what="all read", interval_s=0.01)
    process.kill()
    process.wait(10)
    line.client.delete(keys.fault, keys.ack)
    with relaying(line):
        line.feed(100, start=400)
        out = line.await_out(500)
    assert sorted(out) == list(range(500))
    assert reorder or out == sorted(out)


def test_a_fault_that_is_not_renewed_ends_by_itself(line: Line) -> None:
    with relaying(line):
        put_fault(line.client, Keys(prefix=line.prefix), slow(), ttl_s=1.0)
        line.feed(20)
        wait_until(lambda: line.counters().get("delayed") == 20, what="the delay", interval_s=0.01)
        assert line.await_out(20, timeout_s=3) == list(range(20))


def test_the_same_seed_hurts_the_same_records(redis_server: RedisServer) -> None:
    prefix, seen = unique("flights"), []
    for trial in ("a", "b"):
        line = Line(redis_server.url, prefix, trial)
        put_fault(line.client, Keys(prefix=prefix), slow("h", action="drop", fraction=0.25), ttl_s=60)
        line.feed(1_000)
        with relaying(line):
            wait_until(partial(line.has_read, 1_000), what="all read")
        seen.append(line.came_out())
    assert seen[0] == seen[1]
    assert 680 <= len(seen[0]) <= 820
    counts = read_counts(Line(redis_server.url, prefix).client, Keys(prefix=prefix), "h")
    assert counts == {"seen": 2_000, "passed": 2 * len(seen[0]), "dropped": 2_000 - 2 * len(seen[0])}


def test_a_redis_that_restarts_is_outlasted_without_loss(short_folder: Path) -> None:
    port = LabPorts.free().redis
    server = redis_part.start(short_folder / "redis", port, owner=short_folder)
    line = Line(server.url, "flights")
    errors = short_folder / "relay.err"
    process = line.start(errors=errors)
    line.feed(300)
    line.await_out(300)
    processes.stop(server.daemon)
    server = redis_part.start(short_folder / "redis", port, owner=short_folder)
    line.feed(300, start=300)
    assert line.await_out(600) == list(range(600))
    process.terminate()
    assert process.wait(10) == 0
    processes.stop(server.daemon)
    assert "Redis is back" in errors.read_text()
    line.client.close()


def test_a_redis_that_stays_away_ends_the_relay_with_a_message(short_folder: Path) -> None:
    port = LabPorts.free().redis
    server = redis_part.start(short_folder / "redis", port, owner=short_folder)
    line = Line(server.url, "flights")
    errors = short_folder / "relay.err"
    process = line.start("--patience-s", "0.3", errors=errors)
    line.client.close()
    processes.stop(server.daemon)
    assert process.wait(10) == 3
    assert "Redis stayed away" in errors.read_text()
