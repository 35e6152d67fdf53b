"""The night's last task is red where a run was lost or is unreverted, and green over mere findings."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from chaos_tasks.reports.night import Urgency
from squall_operators.campaign import not_in_order


def _night(*urgencies: Urgency) -> Any:
    return SimpleNamespace(act_on=tuple(SimpleNamespace(urgency=one, run_id=f"n.{one}") for one in urgencies))


def _squall(*, over: bool) -> Any:
    return cast(Any, SimpleNamespace(campaign=SimpleNamespace(is_over=lambda campaign_id: over)))


@pytest.mark.parametrize("urgency", [Urgency.SILENT, Urgency.NEWLY_DEVIATED, Urgency.DEVIATED])
def test_a_finding_is_no_disorder(urgency: Urgency) -> None:
    assert not_in_order(_squall(over=True), "n", _night(urgency)) == ""


def test_a_run_without_verdict_or_refusal_is() -> None:
    assert "neither a verdict nor a refusal" in not_in_order(_squall(over=False), "n", _night())


def test_an_unreverted_run_is_and_is_named() -> None:
    assert not_in_order(_squall(over=True), "n", _night(Urgency.UNREVERTED)) == "not reverted: n.unreverted"
