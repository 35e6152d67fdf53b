"""Calls that are tried again: what passes by itself, and what a server says that has only just come back."""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from chaos_tasks.targets.aws import persist
from chaos_tasks.testing.clock import FakeClock

AWAY = EndpointConnectionError(endpoint_url="http://127.0.0.1:1")
REFUSED = ClientError(
    {"Error": {"Code": "InvalidAccessKeyId"}, "ResponseMetadata": {"HTTPStatusCode": 403}},  # type: ignore[typeddict-item]
    "UpdateAccessKey",
)


def tried(*errors: Exception, within_s: float = 30.0) -> int:
    """How often it was called until it succeeded."""
    calls = 0
    left = list(errors)

    def act() -> None:
        nonlocal calls
        calls += 1
        if left:
            raise left.pop(0)

    persist(FakeClock(), act, within_s=within_s)
    return calls


def test_a_server_that_comes_back_and_does_not_know_its_users_yet_is_waited_for() -> None:
    assert tried(AWAY, REFUSED, REFUSED) == 4


def test_a_refusal_by_a_server_that_was_there_is_lasting() -> None:
    with pytest.raises(ClientError):
        tried(REFUSED)


def test_a_refusal_is_not_waited_for_longer_than_was_asked() -> None:
    with pytest.raises(ClientError):
        tried(AWAY, *[REFUSED] * 50, within_s=5.0)
