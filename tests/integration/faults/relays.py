"""A relay process for tests, and what goes in and comes out of it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import redis

from chaos_tasks.lab.waiting import wait_until


class Line:
    """One stream through one relay."""

    def __init__(self, url: str, prefix: str, trial: str = "t1") -> None:
        self.url, self.prefix = url, prefix
        self.source, self.sink = f"{prefix}:{trial}:in", f"{prefix}:{trial}:out"
        self.client: Any = redis.Redis.from_url(url)

    def feed(self, count: int, start: int = 0) -> None:
        """Records n = start .. start + count - 1."""
        with self.client.pipeline(transaction=False) as pipeline:
            for n in range(start, start + count):
                pipeline.xadd(self.source, {"n": n, "body": b"\x00\xff"})
            pipeline.execute()

    def came_out(self) -> list[int]:
        """The numbers that the consumer would see, in order."""
        return [int(fields[b"n"]) for _, fields in self.client.xrange(self.sink)]

    def await_out(self, count: int, timeout_s: float = 10.0) -> list[int]:
        """Wait until at least that many came out."""
        wait_until(
            lambda: self.client.xlen(self.sink) >= count, what=f"{count} records", timeout_s=timeout_s, interval_s=0.01
        )
        return self.came_out()

    def has_read(self, count: int) -> bool:
        """Whether the relay has dealt with that many records of this stream."""
        return bool(self.client.hget(f"{self.sink}:relayed", "number") == b"%d" % count)

    def counters(self) -> dict[str, int]:
        """Of all relays under the prefix."""
        return {name.decode(): int(value) for name, value in self.client.hgetall(f"{self.prefix}:counters").items()}

    def start(self, *options: str, errors: Path | None = None) -> subprocess.Popen[bytes]:
        """A relay process; it answers once this returns."""
        command = [sys.executable, "-m", "chaos_tasks.targets.relay", "--url", self.url, "--from", self.source]
        command += ["--to", self.sink, "--control", self.prefix, *options]
        with (errors or Path("/dev/null")).open("wb") as stream:
            process = subprocess.Popen(command, stderr=stream)
        wait_until(lambda: self.client.exists(f"{self.prefix}:ack") == 1, what="the relay's answer", interval_s=0.01)
        return process


@contextmanager
def relaying(line: Line) -> Iterator[subprocess.Popen[bytes]]:
    """A relay process for the block; ended, drained, after it."""
    process = line.start()
    try:
        yield process
    finally:
        process.terminate()
        process.wait(10)
        line.client.close()
