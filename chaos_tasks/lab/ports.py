"""Which ports the lab listens on: fixed ones that a setting can move, or free ones picked at start."""

from __future__ import annotations

import os
import random
import socket
from collections.abc import Mapping

import psutil
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from chaos_tasks.errors import SetupError

LOOPBACK = "127.0.0.1"
VARIABLE_PREFIX = "SQUALL_PORT_"
GRPC_OFFSET = 10_000
"""SeaweedFS listens for gRPC at each of its ports plus this."""


class LabPorts(BaseModel):
    """One port per listener; PostgreSQL has none, it is reached through a socket file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    airflow: int = Field(default=8080, ge=1024, le=65535)
    mlflow: int = Field(default=5050, ge=1024, le=65535)
    redis: int = Field(default=6390, ge=1024, le=65535)
    aws: int = Field(default=5566, ge=1024, le=65535)
    s3: int = Field(default=8333, ge=1024, le=65535 - GRPC_OFFSET)
    s3_master: int = Field(default=9333, ge=1024, le=65535 - GRPC_OFFSET)
    s3_filer: int = Field(default=8888, ge=1024, le=65535 - GRPC_OFFSET)
    s3_volume: int = Field(default=9340, ge=1024, le=65535 - GRPC_OFFSET)
    s3_admin: int = Field(default=23646, ge=1024, le=65535 - GRPC_OFFSET)

    @classmethod
    def from_settings(cls, table: Mapping[str, int], environment: Mapping[str, str] | None = None) -> LabPorts:
        """The defaults, overridden by `[lab.ports]`, overridden by SQUALL_PORT_<NAME>."""
        source = os.environ if environment is None else environment
        chosen = dict(table)
        for name in cls.model_fields:
            text = source.get(f"{VARIABLE_PREFIX}{name.upper()}")
            if text is not None:
                chosen[name] = _number(f"{VARIABLE_PREFIX}{name.upper()}", text)
        unknown = sorted(set(chosen) - set(cls.model_fields))
        if unknown:
            known = ", ".join(cls.model_fields)
            raise SetupError(f"no such lab port: {', '.join(unknown)}", remedy=f"[lab.ports] takes {known}")
        try:
            return cls(**chosen)
        except ValidationError as error:
            wrong = "; ".join(f"{each['loc'][0]}: {each['msg']}" for each in error.errors())
            raise SetupError(f"lab port {wrong}", remedy="mend [lab.ports] in squall.toml or SQUALL_PORT_*") from None

    @classmethod
    def free(cls) -> LabPorts:
        """Ports that nobody listens on now; for labs that run side by side."""
        taken: set[int] = set()
        return cls(**{name: _draw(taken, grpc=name.startswith("s3")) for name in cls.model_fields})


def is_free(port: int) -> bool:
    """True if a server could listen on the port at loopback now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def accepts(port: int) -> bool:
    """True if somebody listens on the port at loopback."""
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex((LOOPBACK, port)) == 0


def require_free(name: str, port: int) -> None:
    """Raise a SetupError that names the port, its holder and how to move, unless the port is free."""
    if is_free(port):
        return
    setting = name.partition("+")[0]
    raise SetupError(
        f"port {port} ({name}) is in use by {holder(port)}",
        remedy=f"stop that process, run `squall down` if it is an old lab, "
        f"or choose another port: {VARIABLE_PREFIX}{setting.upper()}=NUMBER or [lab.ports] {setting} in squall.toml",
    )


def holder(port: int) -> str:
    """Who listens on a port, as far as this user may know."""
    try:
        listening = [c for c in psutil.net_connections("tcp") if c.status == psutil.CONN_LISTEN]
    except psutil.AccessDenied:
        return "a process that this user may not see"
    for connection in listening:
        if connection.laddr and connection.laddr.port == port and connection.pid is not None:
            return _describe(connection.pid)
    return "a process that this user may not see"


def _describe(pid: int) -> str:
    try:
        command = " ".join(psutil.Process(pid).cmdline())
    except psutil.Error:
        return f"pid {pid}"
    return f"pid {pid} ({command[:80]})"


def _draw(taken: set[int], *, grpc: bool) -> int:
    # Below the range from which the system takes outgoing ports, so that no client connection lands on it meanwhile.
    for _ in range(2000):
        port = random.randrange(12_000, 21_000)  # not a secret
        wanted = {port, port + GRPC_OFFSET} if grpc else {port}
        if not wanted & taken and all(is_free(number) for number in wanted):
            taken |= wanted
            return port
    raise SetupError("no free port between 12000 and 21000", remedy="stop servers that are not needed")


def _number(variable: str, text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise SetupError(f"{variable}={text!r} is not a port number", remedy="give a number, 1024 to 65535") from None
