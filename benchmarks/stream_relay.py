"""What the relay costs: throughput and latency of a Redis stream read directly and through it, in one run.

    python -m benchmarks.stream_relay [--records 20000] [--rounds 3]

Prints a table and writes benchmarks/results/stream_relay.json.  Direct and relayed rounds alternate, so that a busy
machine slows both; the ratios are what travels to another machine.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from threading import Thread
from typing import Any

from chaos_tasks.lab import processes, redis_server
from chaos_tasks.lab.ports import LabPorts
from chaos_tasks.lab.waiting import wait_until

PACED = 1_000  # records of the latency measurement, one per 2 ms
PACE_S = 0.002
Numbers = dict[str, float]


def consume(client: Any, key: str, count: int, latencies: list[float] | None) -> None:
    """Read a stream to its end as a consumer does."""
    position, seen = b"0-0", 0
    while seen < count:
        for _, entries in client.xread({key: position}, count=1_000, block=1_000):
            now = time.perf_counter_ns()
            if latencies is not None:
                latencies.extend((now - int(fields[b"t"])) / 1e6 for _, fields in entries)
            seen += len(entries)
            position = entries[-1][0]


def measure(url: str, source: str, sink: str, records: int) -> Numbers:
    """Records per second in bulk, and milliseconds from producer to consumer at a pace."""
    import redis

    producer, consumer = redis.Redis.from_url(url), redis.Redis.from_url(url)
    reader = Thread(target=consume, args=(consumer, sink, records, None))
    began = time.perf_counter()
    reader.start()
    for start in range(0, records, 500):
        with producer.pipeline(transaction=False) as pipeline:
            for _ in range(min(500, records - start)):
                pipeline.xadd(source, {"t": 0, "body": b"x" * 200})
            pipeline.execute()
    reader.join()
    bulk_s = time.perf_counter() - began
    latencies: list[float] = []
    newest = producer.xrevrange(sink, count=1)
    if not newest:
        raise AssertionError(f"{sink} is empty after {records} records")
    last = newest[0][0]
    reader = Thread(target=follow, args=(consumer, sink, last, latencies))
    reader.start()
    for _ in range(PACED):
        producer.xadd(source, {"t": time.perf_counter_ns(), "body": b"x" * 200})
        time.sleep(PACE_S)
    reader.join()
    ordered = sorted(latencies)
    p50, p99 = ordered[len(ordered) // 2], ordered[int(len(ordered) * 0.99)]
    producer.close()
    consumer.close()
    return {"records_per_s": records / bulk_s, "p50_ms": p50, "p99_ms": p99}


def follow(client: Any, key: str, position: bytes, latencies: list[float]) -> None:
    """Time each new record at its arrival."""
    while len(latencies) < PACED:
        for _, entries in client.xread({key: position}, block=1_000):
            now = time.perf_counter_ns()
            latencies.extend((now - int(fields[b"t"])) / 1e6 for _, fields in entries)
            position = entries[-1][0]


def relayed(url: str, prefix: str, records: int) -> Numbers:
    """The same through a relay process."""
    import redis

    source, sink = f"{prefix}:in", f"{prefix}:out"
    command = [sys.executable, "-m", "chaos_tasks.targets.relay", "--url", url, "--from", source, "--to", sink]
    process = subprocess.Popen([*command, "--control", prefix])
    try:
        with redis.Redis.from_url(url) as client:
            wait_until(lambda: client.exists(f"{prefix}:ack") == 1, what="the relay's answer")
        return measure(url, source, sink, records)
    finally:
        process.terminate()
        process.wait(30)


def main() -> None:
    """Alternate, take medians, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--records", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="squall-bench-"))
    server = redis_server.start(folder / "redis", LabPorts.free().redis, owner=folder)
    rounds: dict[str, list[Numbers]] = {"direct": [], "relayed": []}
    try:
        for n in range(asked.rounds):
            rounds["direct"].append(measure(server.url, f"direct{n}", f"direct{n}", asked.records))
            rounds["relayed"].append(relayed(server.url, f"relayed{n}", asked.records))
    finally:
        processes.stop(server.daemon)
        shutil.rmtree(folder, ignore_errors=True)
    report(rounds, asked.records)


def report(rounds: dict[str, list[Numbers]], records: int) -> None:
    """A table, and the same as JSON."""
    medians = {
        way: {name: statistics.median(each[name] for each in measured) for name in measured[0]}
        for way, measured in rounds.items()
    }
    print(f"{'':8} {'records/s':>10} {'p50 ms':>8} {'p99 ms':>8}")
    for way, numbers in medians.items():
        print(f"{way:8} {numbers['records_per_s']:10.0f} {numbers['p50_ms']:8.3f} {numbers['p99_ms']:8.3f}")
    ratios = {name: medians["relayed"][name] / medians["direct"][name] for name in medians["direct"]}
    print(f"{'ratio':8} {ratios['records_per_s']:10.2f} {ratios['p50_ms']:8.2f} {ratios['p99_ms']:8.2f}")
    results = Path(__file__).parent / "results"
    results.mkdir(exist_ok=True)
    content = {"records": records, "medians": medians, "relayed_over_direct": ratios}
    (results / "stream_relay.json").write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
