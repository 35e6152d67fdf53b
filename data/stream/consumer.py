"""Reads flights as one of a consumer group, decides for each whether its connection waits, and says so."""

from __future__ import annotations

import argparse
import json
import math
import time
from pathlib import Path
from typing import Any

import events
import redis
import scoring
from alarms import Watch

GROUP, NAME = "deciders", "decider-1"
BLOCK_MS, COUNT = 50, 64
RETRY = 0.1
REPORT_EVERY = 50
Entry = tuple[bytes, dict[bytes, bytes]]


class Consumer:
    """Decides once per flight: a record that comes again changes nothing."""

    def __init__(self, client: redis.Redis, key: str, model: scoring.Model, expected: int, out: Path) -> None:
        self.client, self.key, self.model, self.expected = client, key, model, expected
        self.decisions = events.Lines(out / "decisions.jsonl")
        self.progress = events.Lines(out / "progress.jsonl")
        self.alarms = events.Lines(out / "alarms.jsonl")
        self.decided = {d["flight_id"] for d in events.read(out / "decisions.jsonl") if "flight_id" in d}
        self.watch = Watch()
        self.begin = "0"  # first what was delivered to us before we died, then what is new

    def join(self, fresh: bool) -> None:
        """Joins the group; a fresh start skips whatever an earlier run left on the stream."""
        try:
            self.client.xgroup_create(self.key, GROUP, id="$" if fresh else "0", mkstream=True)
        except redis.ResponseError:
            if fresh:
                self.client.xgroup_destroy(self.key, GROUP)
                self.client.xgroup_create(self.key, GROUP, id="$")

    def read(self) -> list[Entry]:
        """The next records, none when the server is away; a stream that was deleted is joined anew."""
        try:
            answer: Any = self.client.xreadgroup(GROUP, NAME, {self.key: self.begin}, count=COUNT, block=BLOCK_MS)
        except redis.ResponseError:
            self.join(fresh=False)
            return []
        except (redis.ConnectionError, redis.TimeoutError):
            time.sleep(RETRY)
            return []
        entries: list[Entry] = answer[0][1] if answer else []
        if self.begin != ">":
            self.begin = entries[-1][0].decode() if entries else ">"
        return entries

    def decide(self, fields: dict[bytes, bytes]) -> None:
        flight = json.loads(fields[b"flight"])
        chance, due = scoring.score(self.model, flight), float(flight["due"])
        lag = time.time() - due
        self.watch.record(time.time(), lag)
        again = flight["flight_id"] in self.decided
        held = scoring.hold(chance) and not math.isnan(chance)
        self.decided.add(flight["flight_id"])
        self.decisions.write(flight_id=flight["flight_id"], score=chance, held=held, lag=lag, again=again)
        if not again and len(self.decided) % REPORT_EVERY == 0:
            self.progress.write(event="step", step=len(self.decided), steps=self.expected, loss=None)

    def handle(self, entry: Entry) -> None:
        """A record that cannot be understood is put aside, with an alarm."""
        try:
            self.decide(entry[1])
        except (KeyError, TypeError, ValueError) as error:
            self.decisions.write(poison=type(error).__name__)
            self.alarms.write(alarm="poison_record")

    def acknowledge(self, entries: list[Entry]) -> None:
        """What is not acknowledged comes again after a restart."""
        try:
            self.client.xack(self.key, GROUP, *(entry[0] for entry in entries))
        except (redis.ConnectionError, redis.TimeoutError):
            time.sleep(RETRY)

    def run(self) -> None:
        while len(self.decided) < self.expected:
            if entries := [entry for entry in self.read() if entry[1]]:
                for entry in entries:
                    self.handle(entry)
                self.acknowledge(entries)
            for name in self.watch.check(time.time()):
                self.alarms.write(alarm=name)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", required=True)
    parser.add_argument("--key", required=True)
    parser.add_argument("--model", type=Path, default=Path(__file__).with_name("model.json"))
    parser.add_argument("--records", type=int, required=True, help="leave after so many flights")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--resume", action="store_true", help="go on where a killed consumer stopped")
    args = parser.parse_args()
    client = redis.Redis.from_url(args.url, socket_timeout=1.0, socket_connect_timeout=1.0)
    consumer = Consumer(client, args.key, scoring.load(args.model), args.records, args.out)
    consumer.join(fresh=not args.resume)
    print("ready", flush=True)
    consumer.run()


if __name__ == "__main__":
    main()
