"""A fault and a probe for tests, so that no test of the operators depends on the catalogue."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar

from pydantic import Field

from chaos_tasks import registry
from chaos_tasks.faults.base import FaultParams
from chaos_tasks.probes.base import ProbeParams


class TouchParams(FaultParams):
    """Parameters."""

    intensity_field: ClassVar[str | None] = "share"
    share: float = Field(0.1, ge=0, le=0.5)


class Touch:
    """A fault that is never injected."""

    kind = "test.touch"
    params_type = TouchParams


class NoParams(ProbeParams):
    """Parameters."""


class Completed:
    """A probe that is never read."""

    kind = "test.completed"
    params_type = NoParams


@contextmanager
def registered() -> Iterator[None]:
    """Both kinds are known within the block."""
    registry.FAULTS["test.touch"] = f"{__name__}:Touch"  # type: ignore[index]
    registry.PROBES["test.completed"] = f"{__name__}:Completed"  # type: ignore[index]
    _forget()
    try:
        yield
    finally:
        del registry.FAULTS["test.touch"], registry.PROBES["test.completed"]  # type: ignore[attr-defined]
        _forget()


def _forget() -> None:
    registry._table.cache_clear()
    registry._load.cache_clear()
