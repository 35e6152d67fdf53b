"""The class of risk follows from the undo, from whose the place is, and from where; docs/safety.md has the table."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from chaos_tasks import registry
from chaos_tasks.model.experiment import Risk, Step
from chaos_tasks.model.target import Target
from chaos_tasks.safety.risk import exceeds, highest, risk_of, undo_of

PAGE = Path(__file__).parents[3] / "docs" / "safety.md"
TARGET = Target.model_validate(
    {
        "name": "t",
        "source": {"type": "dvc", "repo": "r", "data": ["a.csv"]},
        "workload": {"type": "command", "run": "true"},
        "resources": {
            "models": {"type": "s3", "bucket": "b", "principal": "p"},
            "vm": {"type": "ec2_instance", "instance_id": "i"},
            "events": {"type": "redis_stream", "url": "redis://x", "key": "k"},
        },
    }
)


def step(fault: str, target: str, **params: Any) -> Step:
    return Step.model_validate({"name": "s", "fault": fault, "target": target, "params": params})


@pytest.mark.parametrize(
    ("fault", "place", "environment", "risk"),
    [
        ("data.label_flip", "data", "lab", Risk.LOW),
        ("data.label_flip", "data", "production", Risk.LOW),  # a clone is a clone
        ("stream.drop", "events", "production", Risk.LOW),
        ("process.pause", "workload", "staging", Risk.LOW),
        ("process.kill", "workload", "lab", Risk.MEDIUM),
        ("airflow.task_kill", "task", "production", Risk.MEDIUM),
        ("cloud.deny_access", "models", "lab", Risk.MEDIUM),
        ("cloud.deny_access", "models", "staging", Risk.HIGH),
        ("cloud.stop_instance", "vm", "dev", Risk.MEDIUM),
        ("cloud.stop_instance", "vm", "somewhere", Risk.HIGH),
    ],
)
def test_classes(fault: str, place: str, environment: str, risk: Risk) -> None:
    params = {"column": "late"} if fault == "data.label_flip" else {}
    params |= {"fraction": 0.9} if fault in ("data.label_flip", "stream.drop") else {}  # type: ignore[dict-item]
    found = risk_of(step(fault, place, **params), TARGET, environment)
    assert found.risk is risk, found.why
    assert found.why


def test_what_expires_by_itself_says_so() -> None:
    assert undo_of("stream.delay") == "expires"
    assert undo_of("data.label_flip") == "restores"
    assert undo_of("process.kill") == "self_heals"


def test_what_cannot_be_undone_is_high_anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chaos_tasks.safety.risk.undo_of", lambda kind: "irreversible")
    for environment in ("lab", "production"):
        found = risk_of(step("process.kill", "workload"), TARGET, environment)
        assert found.risk is Risk.HIGH


def test_classes_are_ordered() -> None:
    assert exceeds(Risk.HIGH, Risk.MEDIUM)
    assert not exceeds(Risk.MEDIUM, Risk.MEDIUM)
    assert highest(()) is Risk.LOW


def test_the_documentation_has_the_undo_of_every_kind() -> None:
    rows = dict(re.findall(r"^\| `([a-z_.]+)` \| (\w+) \|", PAGE.read_text(), re.MULTILINE))
    assert rows == {kind: undo_of(kind) for kind in registry.FAULTS}
