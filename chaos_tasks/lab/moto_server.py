"""The AWS control plane (EC2, Auto Scaling, KMS, SageMaker) of moto: a server process of its own on loopback."""

from __future__ import annotations

import importlib.util
import sys
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from chaos_tasks.errors import SetupError
from chaos_tasks.lab import processes
from chaos_tasks.lab.ports import LOOPBACK
from chaos_tasks.lab.processes import Daemon, DaemonSpec

NAME = "aws"
REGION = "us-east-1"


@dataclass(frozen=True)
class MotoServer:
    """A running server; it forgets everything when it stops."""

    daemon: Daemon
    port: int

    @property
    def endpoint(self) -> str:
        """The `endpoint_url` for boto3 clients."""
        return f"http://{LOOPBACK}:{self.port}"


def start(folder: Path, port: int, *, owner: Path | None = None) -> MotoServer:
    """Start the server with IAM not yet enforced; a no-op if it already runs."""
    daemon = processes.load_alive(folder, NAME) or processes.start(_spec(folder, port, owner))
    server = MotoServer(daemon, port)
    processes.await_ready(daemon, lambda: _answers(server))
    return server


def enforce_iam(server: MotoServer) -> None:
    """From now on every call is checked against the policies of the key that signed it."""
    request = urllib.request.Request(f"{server.endpoint}/moto-api/reset-auth", data=b"0", method="POST")  # noqa: S310
    with urllib.request.urlopen(request, timeout=10):  # noqa: S310  a loopback address
        pass


def _spec(folder: Path, port: int, owner: Path | None) -> DaemonSpec:
    if importlib.util.find_spec("moto") is None:
        raise SetupError("the AWS server is missing: no package moto", remedy="run `make setup`")
    return DaemonSpec(
        name=NAME,
        argv=(sys.executable, "-m", "moto.server", "-H", LOOPBACK, "-p", str(port)),
        folder=folder,
        cwd=folder,
        env={"MOTO_EC2_LOAD_DEFAULT_AMIS": "false"},  # hundreds of images that nobody here boots
        ports={"aws": port},
        stop_grace_s=3.0,
        owner=owner,
    )


def _answers(server: MotoServer) -> bool:
    try:
        with urllib.request.urlopen(f"{server.endpoint}/moto-api/data.json", timeout=5):  # noqa: S310
            return True
    except (urllib.error.URLError, TimeoutError, ConnectionError):
        return False
