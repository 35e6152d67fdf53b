"""The servers that arrangements ask for, outside of pytest: started when first asked for, stopped at the end."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from chaos_tasks.lab import moto_server, postgres, processes, redis_server, seaweedfs
from chaos_tasks.lab.ports import LabPorts
from chaos_tasks.lab.seaweedfs import S3Ports
from tests.servers import make_short_folder

SERVERS = ("redis_server", "moto_ec2", "s3_lab", "pg_server")


class Lab:
    """Stands in for a `pytest.FixtureRequest`, as far as arrangements use one."""

    def __init__(self) -> None:
        self.folder = make_short_folder()
        self._ports = LabPorts.free()
        self._made: dict[str, Any] = {}
        self._finalizers: list[Callable[[], object]] = []

    def getfixturevalue(self, name: str) -> Any:
        """A server by the name of its fixture."""
        if name == "tmp_path_factory":
            return self
        if name not in self._made:
            start: dict[str, Callable[[], Any]] = {
                "redis_server": lambda: redis_server.start(self.folder / "redis", self._ports.redis, owner=self.folder),
                "moto_ec2": lambda: moto_server.start(self.folder / "aws", self._ports.aws, owner=self.folder),
                "s3_lab": lambda: seaweedfs.start(self.folder / "s3", S3Ports.of(self._ports), owner=self.folder),
                "pg_server": lambda: postgres.start(self.folder / "pg", databases=(), durable=False, owner=self.folder),
            }
            self._made[name] = start[name]()
        return self._made[name]

    def start_all(self) -> None:
        """Before anybody is forked: the children share them."""
        for name in SERVERS:
            self.getfixturevalue(name)

    def getbasetemp(self) -> Path:
        """As pytest's tmp_path_factory has it; each process that arranges has one of its own."""
        folder = self.folder / f"base-{os.getpid()}"
        folder.mkdir(exist_ok=True)
        return folder

    def addfinalizer(self, act: Callable[[], object]) -> None:
        """To be called by `finalize`."""
        self._finalizers.append(act)

    def finalize(self) -> None:
        """End what the last arrangement started."""
        while self._finalizers:
            self._finalizers.pop()()

    def close(self) -> None:
        """Stop the servers and remove their folders."""
        self.finalize()
        for server in reversed(self._made.values()):
            processes.stop(server.daemon)
        processes.end_strays(self.folder)
        shutil.rmtree(self.folder, ignore_errors=True)
