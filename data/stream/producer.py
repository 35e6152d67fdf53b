"""Replays flights into a Redis stream at a steady rate, each with the moment at which it was due."""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import redis
from events import Lines

RETRY = 0.05
GRACE = 3.0
Flight = dict[str, Any]


def flights(path: Path, records: int, seed: int) -> list[Flight]:
    """`records` flights drawn from the table by the seed, in the order of their schedule."""
    found: list[Flight] = pq.ParquetFile(path).read().to_pylist()
    drawn = random.Random(seed).sample(range(len(found)), min(records, len(found)))
    return [found[i] for i in sorted(drawn)]


def send(client: redis.Redis, key: str, flight: Flight, due: float, give_up: float) -> bool:
    """Whether the record went in; a broken connection is tried again until `give_up`."""
    record = json.dumps({**{k: v for k, v in flight.items() if k != "late"}, "due": due})
    while time.time() < give_up:
        try:
            client.xadd(key, {"flight": record})
            return True
        except (redis.ConnectionError, redis.TimeoutError):
            time.sleep(RETRY)
    return False


def replay(client: redis.Redis, key: str, found: list[Flight], rate: float, sent: Lines) -> None:
    """Due times are fixed beforehand, so that a stall shows as lag and not as a slower stream."""
    start = time.time()
    give_up = start + len(found) / rate + GRACE
    for i, flight in enumerate(found):
        due = start + i / rate
        time.sleep(max(0.0, due - time.time()))
        done = send(client, key, flight, due, give_up)
        sent.write(flight_id=flight["flight_id"], late=bool(flight["late"]), due=due, sent=done)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", required=True)
    parser.add_argument("--key", required=True)
    parser.add_argument("--flights", type=Path, required=True, help="a prepared table")
    parser.add_argument("--rate", type=float, default=300.0, help="records per second")
    parser.add_argument("--records", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True, help="folder of sent.jsonl")
    args = parser.parse_args()
    found = flights(args.flights, args.records, args.seed)
    client = redis.Redis.from_url(args.url, socket_timeout=1.0, socket_connect_timeout=1.0)
    print("ready", flush=True)
    sys.stdin.readline()  # the consumer is there as well
    replay(client, args.key, found, args.rate, Lines(args.out / "sent.jsonl"))


if __name__ == "__main__":
    main()
