"""Faults on a Redis stream, each on a prefix of its own; the relay need not run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from pydantic import JsonValue

from chaos_tasks.clients import NamedClients
from chaos_tasks.faults.base import Fault
from chaos_tasks.faults.stream.delay import Delay
from chaos_tasks.faults.stream.drop import Drop
from chaos_tasks.lab.redis_server import RedisServer
from chaos_tasks.model.place import StreamPlace
from chaos_tasks.testing.conformance import Arrangement
from tests.conformance.collected import Builder
from tests.integration.faults.worlds import context
from tests.servers import unique


def _on_a_stream(fault: Fault[Any], params: Mapping[str, JsonValue]) -> Builder:
    def build(folder: Path, request: pytest.FixtureRequest) -> Arrangement:
        server: RedisServer = request.getfixturevalue("redis_server")
        return Arrangement(
            fault=fault,
            place=StreamPlace(url=server.url, key_prefix=unique("flights")),
            params=params,
            make_context=lambda: context(folder, NamedClients({})),
        )

    return build


ARRANGEMENTS: dict[str, Builder] = {
    "stream.delay": _on_a_stream(Delay(), {"delay_ms": 200, "fraction": 0.5}),
    "stream.drop": _on_a_stream(Drop(), {"fraction": 0.25}),
}
