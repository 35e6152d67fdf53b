"""The relay between a producer and a consumer: copies one Redis stream to another, through the fault that is in.

    python -m chaos_tasks.targets.relay --url URL --from KEY --to KEY --control PREFIX

It runs beside each trial of both arms, so that control and treatment differ by the fault alone.  Records keep their
fields and order.  What was read, what was sent and what is held are written in one transaction, so a relay that dies,
or whose Redis restarts, goes on without losing or repeating a record.  When the fault ends, held records leave at once;
on SIGTERM it drains what is there and ends.  Exit codes: 0 drained, 3 Redis stayed away.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import blake2b
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Any, cast

from chaos_tasks.redacting import reveal
from chaos_tasks.targets.stream import ACK_MS, COUNTERS_S, Ack, Keys, RelayFault, parse_fault

if TYPE_CHECKING:
    from redis import Redis
    from redis.client import Pipeline

BATCH = 1_000
BLOCK_MS = 50  # also how late a new fault is noticed while no record comes
MAX_HELD = 50_000  # beyond this, records wait in the source stream instead of in memory
ACK_EVERY_S = ACK_MS / 1000 / 4
URL_VARIABLE = "SQUALL_STREAM_URL"
START = b"0-0"

Records = Sequence[tuple[bytes, Sequence[bytes]]]

_SELECTION, _JITTER = 0, 1


def draw(seed: int, number: int, lane: int) -> float:
    """Uniform in [0, 1), a function of its arguments alone: record 7 meets the same fate in each run of a seed."""
    digest = blake2b(b"%d:%d:%d" % (seed, number, lane), digest_size=8).digest()
    return (int.from_bytes(digest, "big") >> 11) / (1 << 53)


@dataclass(frozen=True, order=True)
class Held:
    """A record on its way; sorted by the moment it leaves, then by arrival."""

    due: float
    number: int
    id: bytes = field(compare=False)
    fields: Sequence[bytes] = field(compare=False)


@dataclass
class Batch:
    """What one round does, to be written in one transaction."""

    send: list[Sequence[bytes]] = field(default_factory=list)
    hold: list[Held] = field(default_factory=list)
    released: list[bytes] = field(default_factory=list)
    position: bytes = b""
    counts: dict[str, int] = field(default_factory=dict)

    def count(self, name: str) -> None:
        """One more."""
        self.counts[name] = self.counts.get(name, 0) + 1


class Sluice:
    """Decides what happens to each record; no input or output."""

    def __init__(self, number: int = 0) -> None:
        self.number = number
        self.held: list[Held] = []
        self._last_due = 0.0

    def put(self, id: bytes, fields: Sequence[bytes], fault: RelayFault | None, now: float, batch: Batch) -> None:
        """Take the next record: pass, hold or drop it."""
        self.number += 1
        batch.position = id
        batch.count("seen")
        selected = fault is not None and draw(fault.seed, self.number, _SELECTION) < fault.fraction
        if fault is not None and selected and fault.action == "drop":
            batch.count("dropped")
            return
        batch.count("delayed" if selected else "passed")
        due = now + _delay_s(fault, self.number) if fault is not None and selected else now
        if fault is not None and not fault.reorder:
            due = max(due, self._last_due)
        if due <= now:
            batch.send.append(fields)
            return
        self._last_due = max(self._last_due, due)
        record = Held(due, self.number, id, fields)
        self.hold(record)
        batch.hold.append(record)

    def hold(self, record: Held) -> None:
        """Keep a record until it is due."""
        heappush(self.held, record)

    def release(self, fault: RelayFault | None, now: float, batch: Batch) -> None:
        """Let go what is due; all, in order of arrival, when no fault delays any more."""
        if fault is not None and fault.action == "delay":
            leaving = []
            while self.held and self.held[0].due <= now:
                leaving.append(heappop(self.held))
        else:
            leaving = sorted(self.held, key=lambda record: record.number)
            self.held, self._last_due = [], 0.0
        batch.send.extend(record.fields for record in leaving)
        batch.released.extend(record.id for record in leaving)

    def wait_ms(self, now: float) -> int:
        """How long to wait for records at most: 1 to BLOCK_MS."""
        until_due = (self.held[0].due - now) * 1000 if self.held else BLOCK_MS
        return max(1, min(BLOCK_MS, int(until_due)))


def _delay_s(fault: RelayFault, number: int) -> float:
    jitter = fault.jitter_ms * draw(fault.seed, number, _JITTER) if fault.jitter_ms else 0.0
    return (fault.delay_ms + jitter) / 1000


class Relay:
    """Moves records until told to stop."""

    def __init__(self, redis: Redis, source: str, sink: str, keys: Keys, *, now: Callable[[], float] = time.monotonic):
        self._redis = redis
        self._source, self._sink, self._keys = source, sink, keys
        self._state, self._holding = f"{sink}:relayed", f"{sink}:held"
        self._now = now
        self._name = f"{os.uname().nodename}:{os.getpid()}"
        self._acked: str | None = None
        self._acked_at = 0.0
        self.stopping = False
        # Raw answers: a dictionary would lose repeated fields of a record, and cost time.
        redis.set_response_callback("XREAD", _raw)
        redis.set_response_callback("XRANGE", _raw)
        self.resume()

    def resume(self) -> None:
        """Take up what Redis says was last done; also right after a connection was lost mid-transaction."""
        position, number = cast("list[bytes | None]", self._redis.hmget(self._state, "position", "number"))
        self._position = position or START
        self._sluice = Sluice(int(number or 0))
        now = self._now()
        for id, held_number in cast("dict[bytes, bytes]", self._redis.hgetall(self._holding)).items():
            for _, fields in cast("Records", self._redis.xrange(self._source, id, id)):
                self._sluice.hold(Held(now, int(held_number), id, fields))

    def round(self) -> int:
        """Read, decide, write; returns how many records were read."""
        records, fault = self._read()
        now, batch = self._now(), Batch()
        self._sluice.release(fault, now, batch)
        for id, fields in records:
            self._sluice.put(id, fields, fault, now, batch)
        self._write(batch, "" if fault is None else fault.handle)
        return len(records)

    def drain(self) -> None:
        """Move what is there, and let go what is held: a delay must not become a loss at the end."""
        while self.round() or self._sluice.held:
            batch = Batch()
            self._sluice.release(None, self._now(), batch)
            self._write(batch, "")
        self._redis.delete(self._keys.ack)

    def _read(self) -> tuple[Records, RelayFault | None]:
        """One round trip: the next records, and the fault as it is once they have come."""
        full = len(self._sluice.held) >= MAX_HELD
        wait_ms = 1 if self.stopping else self._sluice.wait_ms(self._now())
        pipeline: Any = self._redis.pipeline(transaction=False)
        source = f"{self._sink}:never" if full else self._source  # nobody writes there: it only waits
        pipeline.execute_command("XREAD", "COUNT", BATCH, "BLOCK", wait_ms, "STREAMS", source, self._position)
        pipeline.get(self._keys.fault)
        found, raw_fault = pipeline.execute()
        return found[0][1] if found else (), parse_fault(raw_fault)

    def _write(self, batch: Batch, handle: str) -> None:
        ack_due = handle != self._acked or self._now() - self._acked_at >= ACK_EVERY_S
        if not (batch.position or batch.released or ack_due):
            return
        with self._redis.pipeline(transaction=True) as pipeline:
            self._queue_records(pipeline, batch)
            self._queue_counts(pipeline, batch, handle)
            if ack_due:
                pipeline.set(self._keys.ack, Ack(relay=self._name, handle=handle).canonical(), px=ACK_MS)
            pipeline.execute()
        if batch.position:
            self._position = batch.position
        if ack_due:
            self._acked, self._acked_at = handle, self._now()

    def _queue_records(self, pipeline: Any, batch: Batch) -> None:
        for fields in batch.send:
            pipeline.execute_command("XADD", self._sink, "*", *fields)
        if batch.hold:
            pipeline.hset(self._holding, mapping={record.id: record.number for record in batch.hold})
        if batch.released:
            pipeline.hdel(self._holding, *batch.released)
        if batch.position:
            pipeline.hset(self._state, mapping={"position": batch.position, "number": self._sluice.number})

    def _queue_counts(self, pipeline: Pipeline, batch: Batch, handle: str) -> None:
        for name, count in batch.counts.items():
            pipeline.hincrby(self._keys.counters, name, count)
            if handle:
                pipeline.hincrby(self._keys.counters_of(handle), name, count)
        if handle and batch.counts:
            pipeline.expire(self._keys.counters_of(handle), COUNTERS_S)


def _raw(response: Any, **_: Any) -> Any:
    return response


def run(relay: Relay, *, patience_s: float, say: Callable[[str], None]) -> int:
    """Relay until told to stop; outlast a Redis that goes away for less than ``patience_s``."""
    import redis.exceptions

    away_since: float | None = None
    while True:
        try:
            if away_since is not None:
                relay.resume()
                say(f"Redis is back after {time.monotonic() - away_since:.1f} s; going on where it left off")
                away_since = None
            if relay.stopping:
                relay.drain()
                return 0
            relay.round()
        except (redis.exceptions.ConnectionError, redis.exceptions.TimeoutError) as error:
            if away_since is None:
                away_since = time.monotonic()
                say(f"Redis does not answer ({type(error).__name__}); trying again for {patience_s:g} s")
            if time.monotonic() - away_since > patience_s:
                say(f"Redis stayed away for {patience_s:g} s; is it running? Records wait in the source stream")
                return 3
            time.sleep(0.1)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    import redis

    asked = _parser().parse_args(arguments)
    url = reveal(asked.url, os.environ)  # by reference, so that no password stands in the list of processes
    client = redis.Redis.from_url(url, protocol=2, socket_connect_timeout=3, socket_timeout=10)
    relay = _connected(client, asked)
    if relay is None:
        return 3

    def stop(*_: object) -> None:
        relay.stopping = True

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    return run(relay, patience_s=asked.patience_s, say=_say)


def _connected(client: Redis, asked: argparse.Namespace) -> Relay | None:
    import redis.exceptions

    deadline = time.monotonic() + asked.patience_s
    while time.monotonic() < deadline:
        with suppress(redis.exceptions.ConnectionError, redis.exceptions.TimeoutError):
            return Relay(client, asked.source, asked.sink, Keys(prefix=asked.control))
        time.sleep(0.1)
    _say(f"Redis did not answer for {asked.patience_s:g} s; is it running at the address given?")
    return None


def _say(text: str) -> None:
    sys.stderr.write(f"relay: {text}\n")
    sys.stderr.flush()


def _parser() -> argparse.ArgumentParser:
    summary = (__doc__ or "").split("\n")[0]
    parser = argparse.ArgumentParser(prog="python -m chaos_tasks.targets.relay", description=summary)
    url = os.environ.get(URL_VARIABLE)
    parser.add_argument("--url", default=url, required=url is None, help=f"or {URL_VARIABLE}, out of sight of `ps`")
    parser.add_argument("--from", dest="source", required=True, metavar="KEY", help="stream to read")
    parser.add_argument("--to", dest="sink", required=True, metavar="KEY", help="stream to write")
    parser.add_argument("--control", required=True, metavar="PREFIX", help="prefix of the fault's and relay's keys")
    parser.add_argument("--patience-s", type=float, default=10.0, help="how long Redis may be away")
    return parser


if __name__ == "__main__":
    sys.exit(main())
