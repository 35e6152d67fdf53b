"""A kind that is registered and not arranged would be a fault that nobody has checked."""

from __future__ import annotations

from chaos_tasks import registry
from tests.conformance.collected import arrangements


def test_every_registered_kind_has_an_arrangement() -> None:
    assert sorted(arrangements()) == registry.fault_kinds()
