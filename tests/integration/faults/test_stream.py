"""Delay and drop do to the records what they say, are undone at once, and end by themselves."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from chaos_tasks.clients import NamedClients
from chaos_tasks.errors import InjectError, RevertError
from chaos_tasks.faults.base import Renewable
from chaos_tasks.faults.stream.delay import Delay
from chaos_tasks.faults.stream.drop import Drop
from chaos_tasks.lab.ports import LabPorts
from chaos_tasks.lab.redis_server import RedisServer
from chaos_tasks.lab.waiting import wait_until
from chaos_tasks.model.handle import Finding
from chaos_tasks.model.place import StreamPlace
from chaos_tasks.testing.clock import FakeClock
from tests.integration.faults.relays import Line, relaying
from tests.integration.faults.worlds import armed, context
from tests.servers import unique

HOUR = {"delay_ms": 3_600_000}


@pytest.fixture
def line(redis_server: RedisServer) -> Line:
    return Line(redis_server.url, unique("flights"))


@pytest.fixture
def place(line: Line) -> StreamPlace:
    return StreamPlace(url=line.url, key_prefix=line.prefix)


def test_a_running_relay_acknowledges_and_lets_go_at_once(line: Line, place: StreamPlace, tmp_path: Path) -> None:
    ctx, fault = context(tmp_path, NamedClients({})), Delay()
    handle, params = armed(fault, place, HOUR, ctx)
    with relaying(line):
        assert fault.inject(handle, params, ctx).evidence["acknowledged"] is True
        assert fault.inspect(handle, params, ctx) is Finding.INJECTED
        line.feed(30)
        wait_until(lambda: line.counters().get("delayed") == 30, what="the delay", interval_s=0.01)
        receipt = fault.revert(handle, params, ctx)
        assert line.await_out(30, timeout_s=1) == list(range(30))
    assert receipt.evidence == {"acknowledged": True, "seen": 30, "delayed": 30}
    assert fault.inspect(handle, params, ctx) is Finding.REVERTED


def test_a_late_record_holds_back_those_behind_it_unless_reordered(
    line: Line, place: StreamPlace, tmp_path: Path
) -> None:
    ctx, fault = context(tmp_path, NamedClients({})), Delay()
    handle, params = armed(fault, place, {"delay_ms": 60_000, "fraction": 0.2, "reorder": True}, ctx)
    fault.inject(handle, params, ctx)
    line.feed(100)
    with relaying(line):
        wait_until(lambda: line.counters().get("seen") == 100, what="all read", interval_s=0.01)
        early = line.came_out()
        delayed = line.counters()["delayed"]
    assert len(early) == 100 - delayed
    assert 8 <= delayed <= 35
    late = [n for n in range(100) if n not in early]
    assert line.came_out() == early + late


def test_a_delayed_record_arrives_as_late_as_asked(line: Line, place: StreamPlace, tmp_path: Path) -> None:
    ctx, fault = context(tmp_path, NamedClients({})), Delay()
    handle, params = armed(fault, place, {"delay_ms": 300, "jitter_ms": 100}, ctx)
    with relaying(line):
        fault.inject(handle, params, ctx)
        line.feed(1)
        line.await_out(1)
    sent, came = (int(line.client.xrange(key)[0][0].split(b"-")[0]) for key in (line.source, line.sink))
    assert 299 <= came - sent < 1_500


def test_dropped_records_are_gone_and_counted(line: Line, place: StreamPlace, tmp_path: Path) -> None:
    ctx, fault = context(tmp_path, NamedClients({})), Drop()
    handle, params = armed(fault, place, {"fraction": 0.5}, ctx)
    receipt = fault.inject(handle, params, ctx)
    assert (receipt.effective, receipt.evidence["acknowledged"]) == (True, False)
    line.feed(200)
    with relaying(line):
        wait_until(lambda: line.counters().get("seen") == 200, what="all read", interval_s=0.01)
        evidence = fault.revert(handle, params, ctx).evidence
        line.feed(50, start=200)
        wait_until(lambda: line.counters().get("seen") == 250, what="all read", interval_s=0.01)
    assert evidence["dropped"] == 250 - len(line.came_out())
    assert line.came_out()[-50:] == list(range(200, 250))


def test_renewing_extends_and_never_brings_back(line: Line, place: StreamPlace, tmp_path: Path) -> None:
    ctx, fault = context(tmp_path, NamedClients({}), lease_s=10), Drop()
    assert isinstance(fault, Renewable)
    handle, params = armed(fault, place, {"fraction": 0.5}, ctx)
    assert not fault.renew(handle, params, ctx)
    fault.inject(handle, params, ctx)
    line.client.pexpire(f"{line.prefix}:fault", 1_000)
    assert fault.renew(handle, params, ctx)
    assert 29_000 < line.client.pttl(f"{line.prefix}:fault") <= 30_000
    fault.revert(handle, params, ctx)
    assert not fault.renew(handle, params, ctx)
    assert not line.client.exists(f"{line.prefix}:fault")


def test_a_second_fault_on_the_same_stream_is_refused(line: Line, place: StreamPlace, tmp_path: Path) -> None:
    ctx = context(tmp_path, NamedClients({}))
    first, first_params = armed(Drop(), place, {"fraction": 0.5}, ctx, id="run/first")
    second, second_params = armed(Delay(), place, HOUR, ctx, id="run/second")
    Drop().inject(first, first_params, ctx)
    with pytest.raises(InjectError, match="another fault"):
        Delay().inject(second, second_params, ctx)
    Delay().revert(second, second_params, ctx)
    assert Drop().inspect(first, first_params, ctx) is Finding.INJECTED


def test_without_redis_nothing_is_claimed(tmp_path: Path) -> None:
    clock = FakeClock()
    ctx, fault = dataclasses.replace(context(tmp_path, NamedClients({})), clock=clock), Drop()
    nowhere = StreamPlace(url=f"redis://127.0.0.1:{LabPorts.free().redis}/0", key_prefix="flights")
    handle, params = armed(fault, nowhere, {"fraction": 0.5}, ctx)
    with pytest.raises(InjectError, match="start Redis"):
        fault.inject(handle, params, ctx)
    with pytest.raises(RevertError, match="start Redis"):
        fault.revert(handle, params, ctx)
    assert clock.monotonic() > 10, "revert waits for a Redis that is restarted"
    assert fault.inspect(handle, params, ctx) is Finding.UNKNOWN
