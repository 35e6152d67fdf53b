"""A fork is faithful when it ends with its control's metrics, every bit of them."""

from __future__ import annotations

import math
from typing import Any

import pytest

from chaos_tasks.cli.findings import Level
from chaos_tasks.cli.fork_check import compare
from chaos_tasks.model.trial import Arm, ForkPoint, Trial, TrialStatus
from tests.unit.judging.cases import trial

METRICS = {"auc": 0.75, "loss": math.nan}


def both(**changes: Any) -> tuple[Trial, Trial]:
    control = trial(Arm.CONTROL, 1, metrics=METRICS, files={"metrics.json": "a"})
    given = {"metrics": METRICS, "files": {"metrics.json": "a"}, "fork": ForkPoint(step=60, file="f", sha256="s")}
    return control, trial(Arm.TREATMENT, 1, **{**given, **changes})


def said(**changes: Any) -> list[tuple[Level, str]]:
    return [(one.level, one.text) for one in compare("flights", *both(**changes))]


def test_equal_to_the_last_bit_is_good() -> None:
    [(level, text)] = said()
    assert level is Level.GOOD
    assert "step 60" in text
    assert "60 steps saved" in text


@pytest.mark.parametrize("metrics", [{**METRICS, "auc": math.nextafter(0.75, 1)}, {"auc": 0.75}, {}])
def test_one_bit_or_one_metric_less_is_bad(metrics: dict[str, float]) -> None:
    [(level, text)] = said(metrics=metrics)
    assert level is Level.BAD
    assert "differs from its control in" in text


def test_a_void_fork_is_bad_with_its_reason() -> None:
    [(level, text)] = said(status=TrialStatus.VOID, error="the workload did not resume")
    assert level is Level.BAD
    assert "did not resume" in text


def test_other_bytes_with_equal_metrics_are_worth_knowing() -> None:
    assert [level for level, _ in said(files={"metrics.json": "b"})] == [Level.GOOD, Level.WARN]
