"""Replays flights through the stream and says what the decisions cost."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import events
import scoring
from alarms import quantile

HERE = Path(__file__).parent
GRACE = 3.0
DEADLINE = 0.25
Child = subprocess.Popen[str]


def start(script: str, progress: events.Lines, *arguments: object) -> Child:
    command = [sys.executable, str(HERE / script), *(str(a) for a in arguments)]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    progress.write(event="process", name=script.removesuffix(".py"), pid=child.pid)
    return child


def ready(child: Child) -> None:
    """Returns once the child has said so, or has died."""
    assert child.stdout is not None
    child.stdout.readline()


def start_consumer(args: argparse.Namespace, progress: events.Lines, *more: str) -> Child:
    where = ("--url", args.url, "--key", args.consume_key)
    return start("consumer.py", progress, *where, "--records", args.records, "--out", args.out, *more)


def start_producer(args: argparse.Namespace, progress: events.Lines) -> Child:
    where = ("--url", args.produce_url or args.url, "--key", args.produce_key)
    what = ("--flights", args.flights, "--rate", args.rate, "--records", args.records, "--seed", args.seed)
    return start("producer.py", progress, *where, *what, "--out", args.out)


def outlast(args: argparse.Namespace, consumer: Child, progress: events.Lines) -> bool:
    """Whether all was consumed in time; a consumer that dies is started again `restarts` times."""
    end, left = time.monotonic() + args.records / args.rate + args.grace, args.restarts
    while True:
        try:
            if consumer.wait(max(0.0, end - time.monotonic())) == 0:
                return True
        except subprocess.TimeoutExpired:
            consumer.kill()
            return False
        if left == 0:
            return False
        left -= 1
        consumer = start_consumer(args, progress, "--resume")


def run(args: argparse.Namespace) -> None:
    progress = events.Lines(args.out / "progress.jsonl")
    consumer, producer = start_consumer(args, progress), start_producer(args, progress)
    ready(consumer)
    ready(producer)
    progress.write(event="start", step=0, steps=args.records, loss=None)
    assert producer.stdin is not None
    producer.stdin.write("go\n")
    producer.stdin.flush()
    complete = outlast(args, consumer, progress)
    producer.kill() if not complete else producer.wait()
    measured = measure(args.out, args.records, args.deadline)
    (args.out / "metrics.json").write_text(json.dumps(measured, indent=1) + "\n")
    progress.write(event="end", step=int(measured["records_scored"]), steps=args.records, loss=None)


def measure(out: Path, records: int, deadline: float) -> dict[str, float]:
    """Over all flights that were due, whether or not their record arrived."""
    sent: list[dict[str, Any]] = events.read(out / "sent.jsonl")
    lines: list[dict[str, Any]] = events.read(out / "decisions.jsonl")
    first = {d["flight_id"]: d for d in reversed(lines) if "flight_id" in d}
    lags = [d["lag"] for d in first.values()]
    in_time = {key: d["held"] for key, d in first.items() if d["lag"] <= deadline}
    costs = [scoring.cost(s["late"], in_time.get(s["flight_id"], False)) for s in sent]
    return {
        "decision_cost_per_flight": sum(costs) / len(costs) if costs else float("nan"),
        "records_sent": float(sum(s["sent"] for s in sent)),
        "records_scored": float(len(first)),
        "records_missed": float(records - len(first)),
        "records_after_deadline": float(len(first) - len(in_time)),
        "records_repeated": float(sum(d.get("again", False) for d in lines)),
        "records_poison": float(sum("poison" in d for d in lines)),
        "held_share": sum(in_time.values()) / records,
        "lag_p50_s": quantile(lags, 0.5),
        "lag_p99_s": quantile(lags, 0.99),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", required=True, help="of the consumer's Redis, as redis://127.0.0.1:6379/0")
    parser.add_argument("--produce-url", help="of the producer's, where it is another")
    parser.add_argument("--produce-key", default="flights")
    parser.add_argument("--consume-key", default="flights")
    parser.add_argument("--flights", type=Path, default=Path("sealed/eval.parquet"), help="a prepared table")
    parser.add_argument("--rate", type=float, default=400.0, help="records per second")
    parser.add_argument("--records", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0, help="which flights")
    parser.add_argument("--deadline", type=float, default=DEADLINE, help="seconds in which to decide")
    parser.add_argument("--grace", type=float, default=GRACE, help="seconds to wait for stragglers")
    parser.add_argument("--restarts", type=int, default=1, help="of a consumer that died")
    parser.add_argument("--out", type=Path, required=True)
    run(parser.parse_args())


if __name__ == "__main__":
    main()
