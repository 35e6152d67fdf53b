"""The Redis that a stream fault lives in is restarted with its data, without, or stays away."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import Any

import pytest
import redis

from chaos_tasks.lab import redis_server
from chaos_tasks.lab.redis_server import RedisServer
from tests.integration.outages.laboratory import Outages
from tests.integration.outages.services import Service, kept, make_outages_of

DELAY = "{name: delay, fault: stream.delay, target: service, params: {delay_ms: 100}}"
ARGUMENTS = "--url {service.url} --produce {service.produce_key} --consume {service.consume_key}"

TRAIN = '''\
"""Sends five records and receives them; under the fault it waits, and does the same once more."""
import argparse, json, pathlib, threading
import redis
parser = argparse.ArgumentParser()
for name in ("seed", "data", "out", "url", "produce", "consume"):
    parser.add_argument(f"--{name}")
options = parser.parse_args()
here, out = pathlib.Path(__file__).parent, pathlib.Path(options.out)
pause = threading.Event()
def carry(first):
    client = redis.Redis.from_url(options.url)
    wanted = set(range(first, first + 5))
    for number in sorted(wanted):
        client.xadd(options.produce, {"n": number})
    for _ in range(600):
        if wanted <= {int(fields[b"n"]) for _, fields in client.xrange(options.consume)}:
            return 1.0
        pause.wait(0.05)
    return 0.0
out.mkdir(parents=True, exist_ok=True)
print("step 1", flush=True)
auc = carry(0)
if "treatment" in str(out):
    (here / "waiting").touch()
    for _ in range(1200):
        if (here / "go").exists():
            break
        pause.wait(0.05)
    auc = min(auc, carry(5))
(out / "metrics.json").write_text(json.dumps({"auc": auc}))
'''


class Server(Service[RedisServer]):
    """A Redis that is stopped and started again, with what it had or without."""

    def started(self) -> RedisServer:
        return redis_server.start(self.folder / "redis", self.ports.redis, owner=self.folder)

    def forget(self) -> None:
        """What it had written down; one without persistence comes back like this."""
        for path in (self.folder / "redis").glob("appendonly*"):
            path.unlink() if path.is_file() else shutil.rmtree(path)

    def keys(self, pattern: str) -> list[bytes]:
        with redis.Redis.from_url(self.running.url) as client:
            found: Any = client.keys(pattern)
        return list(found)

    def came_out(self, run_id: str) -> list[int]:
        """What the consumer of the treatment trial was given, in order."""
        (sink,) = self.keys(f"*{run_id}*treatment*:out")
        with redis.Redis.from_url(self.running.url) as client:
            found: Any = client.xrange(sink)
        return [int(fields[b"n"]) for _, fields in found]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    yield from kept(Server)


@pytest.fixture(scope="module")
def built(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outages]:
    resource = {"type": "redis_stream", "url": server.running.url, "key": "numbers"}
    root = tmp_path_factory.mktemp("redis") / "project"
    outages = make_outages_of(root, resource, family="stream", identities=False, arguments=ARGUMENTS)
    (root / "code" / "train.py").write_text(TRAIN)
    yield outages
    outages.tiny.end_started()
    outages.tiny.clean_up()


def relays_log(built: Outages, run_id: str) -> str:
    """What the relay of the treatment trial said."""
    (log,) = (built.tiny.project.home / "runs" / run_id).glob("**/treatment*/**/companion-relay-service.log")
    return log.read_text()


def test_a_redis_that_comes_back_with_its_data_costs_no_record(built: Outages, server: Server) -> None:
    run = built.wait_under_fault("kept", method=DELAY, marks=lambda: server.keys("*:fault"))
    server.stop()
    server.start()
    assert server.keys("*:fault"), "the fault is in what Redis wrote down"
    built.go_on()
    said = built.ended(run)
    assert built.put_right("kept") == "held"
    assert said.code == 0
    assert server.came_out("kept") == list(range(10)), "none lost, none twice"
    assert "going on where it left off" in relays_log(built, "kept")
    assert not server.keys("*:fault")


def test_a_redis_that_comes_back_empty_has_lost_the_fault_so_the_trial_counts_for_nothing(
    built: Outages, server: Server
) -> None:
    run = built.wait_under_fault("lost", method=DELAY, marks=lambda: server.keys("*:fault"))
    server.stop()
    server.forget()
    server.start()
    built.go_on()
    said = built.ended(run)
    assert built.put_right("lost") == "inconclusive"
    assert said.code == 3
    assert server.came_out("lost") == list(range(5, 10)), "the relay goes on with what comes"
    assert not server.keys("*:fault"), "nobody brings it back"


def test_a_redis_that_stays_away_ends_the_relay_and_leaves_its_fault_to_the_command_that_is_named(
    built: Outages, server: Server
) -> None:
    run = built.wait_under_fault("away", method=DELAY, marks=lambda: server.keys("*:fault"))
    server.stop()
    try:
        said = built.ended(run)  # nobody lets the trial go on: its relay gives up
        assert "Redis stayed away for 10 s" in relays_log(built, "away")
        assert said.code == 5
        assert "squall revert away/delay" in said.text
    finally:
        server.start()
    assert server.keys("*:fault"), "still in"
    put_back = built.tiny.squall("revert", "away/delay")
    assert put_back.code == 0, put_back.text
    assert not server.keys("*:fault")
    assert built.put_right("away") == "unreverted"
