"""A fault context for tests on real servers: real time, named credentials, nothing else."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import JsonValue

from chaos_tasks.clients import NamedClients, from_credentials
from chaos_tasks.faults.base import Fault, FaultContext
from chaos_tasks.lab.credentials import Credentials
from chaos_tasks.model.handle import Handle
from chaos_tasks.model.place import Place

ANYBODY = {"access_key_id": "test", "secret_access_key": "test"}


class RealClock:
    """The clock of the machine."""

    def now(self) -> datetime:
        """UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)


def named(**credentials: Credentials) -> NamedClients:
    """Clients for these key pairs."""
    return from_credentials(
        {
            name: {"access_key_id": each.access_key, "secret_access_key": each.secret}
            for name, each in credentials.items()
        }
    )


def context(folder: Path, clients: NamedClients, *, lease_s: float = 60.0) -> FaultContext:
    """What a new process would have."""
    return FaultContext(clock=RealClock(), clients=clients, scratch=folder, lease_s=lease_s)


def armed(
    fault: Fault[Any], place: Place, given: Mapping[str, JsonValue], ctx: FaultContext, *, id: str = "run/step"
) -> tuple[Handle, Any]:
    """A handle as the engine makes it, and its typed parameters."""
    params = fault.params_type.model_validate(dict(given))
    handle = Handle(
        id=id,
        run_id="run",
        step="step",
        kind=fault.kind,
        place=place,
        params=dict(given),
        prior=fault.snapshot(place, params, ctx),
        seed=7,
    )
    return handle, params
