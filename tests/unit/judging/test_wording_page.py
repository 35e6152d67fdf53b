"""The sentences that docs/verdicts.md explains are those that verdicts are made of."""

from __future__ import annotations

from pathlib import Path

import pytest

from chaos_tasks.judging import wording
from chaos_tasks.model.experiment import Check, NonInferiority, Unit
from chaos_tasks.stats.interval import Interval
from chaos_tasks.stats.reliability import largest_failure_share, share_interval, trials_for_reliability
from tests.unit.judging.cases import AUC

PAGE = Path(__file__).resolve().parents[3] / "docs" / "verdicts.md"
LOSS = Check(
    name="log-loss",
    probe="rows.metric",
    params={"metric": "log_loss"},
    tolerance=NonInferiority(margin=0.01, better="lower"),
    unit=Unit.ROW,
)


def said(check: Check, estimate: float, low: float, high: float, n: int) -> str:
    assert isinstance(check.tolerance, NonInferiority)
    return wording.effect(check, check.tolerance, Interval(estimate, low, high, 0.9, n, "t"), 0.01)


def sentences() -> list[str]:
    broken = share_interval(1, 4, alpha=0.05)
    assert broken is not None
    return [
        wording.with_clause(said(AUC, 0.031, 0.021, 0.042, 3), "and nothing noticed."),
        said(AUC, 0.002, -0.001, 0.005, 5),
        said(AUC, 0.0001, -0.001, 0.001, 4),
        said(AUC, 0.008, -0.007, 0.023, 8)[:-1] + ": more trials are needed to tell.",
        said(AUC, 0.009, 0.011, 0.02, 6),
        said(LOSS, 0.012, 0.011, 0.013, 21467),
        wording.within("resumed", "true", 4, 4, 1 - largest_failure_share(4, alpha=0.05), 0.95),
        wording.outside("resumed", "false", "true", 1, 4, broken.low, 0.95),
    ]


@pytest.mark.parametrize("sentence", sentences())
def test_the_page_explains_the_sentence(sentence: str) -> None:
    assert f"| {sentence} |" in PAGE.read_text(encoding="utf-8")


def test_the_number_of_trials_that_show_nine_of_ten_is_right() -> None:
    assert f"{trials_for_reliability(0.9, alpha=0.05)} without a failure would show 90 %" in PAGE.read_text()
